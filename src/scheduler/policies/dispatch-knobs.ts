import { cork } from '../dataplane/baselines/cork.js';
import { delay } from '../dataplane/baselines/delay.js';
import { dispatchPolicy, type DispatchRules } from '../dataplane/baselines/dispatch.js';
import { greedy } from '../dataplane/baselines/greedy.js';
import { batchWindow } from '../dataplane/baselines/window.js';
import { decideBatch } from '../dataplane/batcher.js';
import type { DispatchPolicy } from '../dataplane/policy.js';
import type { Event } from '../domain/event.js';

/* The choices that make up a dispatch rule, each of which can be set on any policy: `released(order=edf,batching=greedy)`. */

export const KNOBS = {
  order: ['edf', 'fifo'],
  batching: ['sponge', 'greedy', 'delay', 'window', 'window-fork', 'cork'],
  admission: ['sponge', 'none'],
  /** Whether a stated deadline ends a request's wait in the queue. */
  expiry: ['on', 'off'],
} as const;

export type DispatchKnobs = { readonly [Knob in keyof typeof KNOBS]: (typeof KNOBS)[Knob][number] };

export const OURS: DispatchKnobs = { order: 'edf', batching: 'sponge', admission: 'sponge', expiry: 'on' };
/** A server that knows nothing of deadlines. */
export const PLAIN: DispatchKnobs = { order: 'fifo', batching: 'greedy', admission: 'none', expiry: 'off' };

export interface DispatchTimes {
  /** Of the rules that wait for a batch to fill. */
  readonly waitMs: number;
  /** One for all requests. */
  readonly sloMs: number;
}

interface DispatchRule {
  readonly dispatch: DispatchPolicy;
  /** Of those that learn from what happened. */
  readonly observe?: (event: Event) => void;
}

/** A fresh one for each system: some remember. */
export function dispatchRule(
  { order, batching, admission, expiry }: DispatchKnobs,
  times: DispatchTimes,
): DispatchRule {
  const { batch, ...learning } = batchingRule(batching, times);
  const rules: DispatchRules = { order, admission, batching: batch, isDeadlineAware: expiry === 'on' };
  return { dispatch: dispatchPolicy(rules), ...learning };
}

function batchingRule(
  name: DispatchKnobs['batching'],
  { waitMs, sloMs }: DispatchTimes,
): { readonly batch: DispatchRules['batching']; readonly observe?: (event: Event) => void } {
  switch (name) {
    case 'sponge':
      return { batch: decideBatch };
    case 'greedy':
      return { batch: greedy };
    case 'delay':
      return { batch: delay({ maxQueueDelayMs: waitMs }) };
    case 'window':
    case 'window-fork':
      return batchWindow({ maxBatchTimeMs: waitMs, timeLeft: name === 'window' ? 'fixed' : 'cumulative' });
    case 'cork':
      return cork({ maxLatencyMs: sloMs });
  }
}
