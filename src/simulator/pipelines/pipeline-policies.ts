import type { PolicyTitle } from '../../scheduler/policies/chosen-policy.js';
import { deadlineOf, type DeadlineSplit } from '../../scheduler/pipeline/timing.js';
import { parsePolicySpec } from '../policies/policy-spec.js';
import { equalSplit, noSplit, proportionalSplit, wholeDeadline } from './splits.js';

/* Policies of a pipeline: ours, ours with another split of the deadline, and what others would do. */

export type PipelinePolicy =
  /** Models on a node, each served by `sponge`. */
  | { readonly kind: 'node'; readonly split: DeadlineSplit; readonly instances: number | null }
  | {
      readonly kind: 'fixed';
      readonly split: DeadlineSplit;
      /** Of each instance, requests of a batch, and how long the first waits for others. */
      readonly cores: number;
      readonly batchSize: number;
      readonly waitMs: number;
      /** Null: nothing is dropped. */
      readonly dropMargin: number | null;
      /** When it is noticed that a client has given up at its deadline: what waits for it then does not run. */
      readonly notices: NoticesTimeouts;
      /** Whether who has waited at one step for as long as the client gave the whole is refused there. */
      readonly limitsQueues: boolean;
    };

/** `between-steps`: nothing new is begun for it, and what waits runs. */
export type NoticesTimeouts = 'never' | 'between-steps' | 'at-once';

interface PipelinePolicyKind {
  readonly title: string;
  /** With their defaults; 0 instances are the scenario's. */
  readonly parameters: Readonly<Record<string, number>>;
  readonly of: (numbers: Readonly<Record<string, number>>) => PipelinePolicy;
}

function ours(split: DeadlineSplit): Pick<PipelinePolicyKind, 'parameters' | 'of'> {
  return {
    parameters: { instances: 0 },
    of: ({ instances }) => ({ kind: 'node', split, instances: instances === 0 ? null : instances! }),
  };
}

const FIXED = { cores: 1, batch: 8, waitMs: 10 };

/** By the number of the parameter `cancel`. */
const NOTICES: readonly NoticesTimeouts[] = ['never', 'at-once', 'between-steps'];

const KINDS: Readonly<Record<string, PipelinePolicyKind>> = {
  sponge: { title: 'ours: one deadline for the whole, divided anew before each step', ...ours(deadlineOf) },
  'equal-split': { title: 'the same, and an equal share of the deadline for each step', ...ours(equalSplit) },
  'proportional-split': {
    title: 'the same, and shares in proportion to what steps take, fixed at the door',
    ...ours(proportionalSplit),
  },
  // What a Triton does (its documentation and sources, late 2025): queues have no limits unless they are set, in size or time; that a client has left
  // is noticed of gRPC alone, and of an ensemble between its steps, as a step's own request knows nothing of the client's; the time that a client gives
  // its request can be the limit of each step's queue, from the step's beginning on.
  triton: {
    title:
      'Triton-like: a queue for each step, FIFO, batches of a fixed size; that a client has left is heard at once, with cancel=0 never, with cancel=2 between steps; timeout=1: who waits at one step for as long as the whole may take is refused',
    parameters: { ...FIXED, cancel: 1, timeout: 0 },
    of: ({ cores, batch, waitMs, cancel, timeout }) => ({
      ...{ kind: 'fixed', split: noSplit, dropMargin: null, notices: NOTICES[cancel!]!, limitsQueues: timeout === 1 },
      ...{ cores: cores!, batchSize: batch!, waitMs: waitMs! },
    }),
  },
  pard: {
    title: 'PARD-like: drops early by what is behind, and turns its order round under overload',
    parameters: { ...FIXED, margin: 0.1 },
    of: ({ cores, batch, waitMs, margin }) => ({
      ...{ kind: 'fixed', split: wholeDeadline, dropMargin: margin!, notices: 'at-once', limitsQueues: false },
      ...{ cores: cores!, batchSize: batch!, waitMs: waitMs! },
    }),
  },
};

export function pipelinePolicyTitles(): readonly PolicyTitle[] {
  return Object.entries(KINDS).map(([name, { title }]) => ({ name, title }));
}

/** @throws Error, one line   @param text such as `triton(cores=2,batch=4)` */
export function parsePipelinePolicy(text: string): PipelinePolicy {
  const { name, parameters } = parsePolicySpec(text);
  const kind = Object.hasOwn(KINDS, name) ? KINDS[name] : undefined;
  if (kind === undefined)
    throw new Error(`no policy of a pipeline is called ${name}; there are ${Object.keys(KINDS).join(', ')}`);
  const numbers = { ...kind.parameters };
  for (const [key, value] of Object.entries(parameters)) {
    if (!Object.hasOwn(numbers, key))
      throw new Error(`policy ${name} has no parameter ${key}; it has ${Object.keys(numbers).join(', ')}`);
    numbers[key] = numberOf(key, value);
  }
  return kind.of(numbers);
}

const WHOLE: readonly string[] = ['instances', 'batch', 'cancel', 'timeout'];
/** Of parameters that choose. */
const MOST: Readonly<Record<string, number>> = { cancel: NOTICES.length - 1, timeout: 1 };

function numberOf(key: string, text: string): number {
  const value = Number(text);
  const least = key === 'cores' || key === 'batch' ? 0.1 : 0;
  const most = MOST[key] ?? Infinity;
  const isRight =
    Number.isFinite(value) && value >= least && value <= most && (!WHOLE.includes(key) || Number.isInteger(value));
  const upTo = most < Infinity ? ` from 0 to ${most}` : '';
  if (!isRight)
    throw new Error(`policy parameter ${key}=${text}: give a ${WHOLE.includes(key) ? 'whole ' : ''}number${upTo}`);
  return value;
}
