import fc from 'fast-check';
import { expect, it } from 'vitest';
import { dueAt, TEN_MS_EACH } from '../../test/simulation/fixed-latency.js';
import type { AdmittedRequest } from '../domain/request.js';
import { compareByDeadline } from './edf-queue.js';
import type { QueueEntry } from './queue-entry.js';
import { QueueOrder } from './queue-order.js';

function entryOf(sequence: number, dueAtMs: number): QueueEntry {
  return {
    request: dueAt(sequence, dueAtMs) as AdmittedRequest,
    sequence,
    dueAtMs,
    priority: 0,
    byteCount: 1,
    admittedAtMs: 0,
    model: TEN_MS_EACH,
    onOutcome: () => undefined,
    isStaged: true,
    isSetAside: false,
    isListed: false,
    isRetry: false,
    state: 'queued',
  };
}

it('lists what is queued in queue order, whatever came, left, was set aside or came back in between', () => {
  const step = fc.record({
    kind: fc.constantFrom('add', 'add', 'add', 'take', 'set aside', 'come back', 'list'),
    dueAtMs: fc.integer({ min: 0, max: 20 }),
    pick: fc.nat(),
  });
  fc.assert(
    fc.property(fc.array(step, { maxLength: 300 }), (steps) => {
      const order = new QueueOrder();
      const entries: QueueEntry[] = [];
      const queued = (): QueueEntry[] => entries.filter((entry) => entry.state === 'queued' && !entry.isSetAside);
      const check = (): void => expect(order.list()).toEqual(queued().sort(compareByDeadline));
      for (const { kind, dueAtMs, pick } of steps) {
        const chosen = queued()[pick % Math.max(1, queued().length)];
        const gone = entries.filter((entry) => entry.state === 'running');
        if (kind === 'add') {
          const entry = entryOf(entries.length, dueAtMs);
          entries.push(entry);
          order.add(entry);
        } else if (kind === 'take' && chosen !== undefined) chosen.state = 'running';
        else if (kind === 'set aside' && chosen !== undefined) chosen.isSetAside = true;
        else if (kind === 'come back' && gone.length > 0) {
          const back = gone[pick % gone.length]!;
          back.state = 'queued';
          order.add(back);
        } else if (kind === 'list') check();
      }
      check();
    }),
  );
});
