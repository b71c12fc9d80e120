import { requiredInputs, shapeText, type ModelSignature } from '../../scheduler/domain/tensor.js';
import type { BatchVerdict } from '../onnx/batch-analysis.js';
import type { InputHints } from '../onnx/input-hints.js';
import { tryBatching, type RunBatch, type TrialResult } from '../workers/batch-trial.js';
import { WorkerLostError } from '../workers/synthetic-load.js';
import type { SampleSource } from '../workers/samples.js';

/*
 * Whether requests of a model share batches: what its graph proves, else what a trial does not refute, unless the operator
 * says otherwise.
 */

export const BATCHING_MODES = ['auto', 'off', 'on'] as const;
export type BatchingMode = (typeof BATCHING_MODES)[number];

export interface BatchingDecision {
  readonly isBatchable: boolean;
  /** One line for people: what it rests on, or why not. */
  readonly reason: string;
  /** It rests on a trial, which can only refute: real batches are to be looked at. */
  readonly isAudited: boolean;
  /** The worker died while it was tried: that is remembered, and not done again. */
  readonly hasKilled: boolean;
  /** What the operator should know; null where there is nothing. */
  readonly warning: string | null;
}

export interface BatchingQuestion {
  readonly mode: BatchingMode;
  readonly verdict: BatchVerdict;
  readonly signature: ModelSignature;
  /** Null while nobody knows what a request looks like. */
  readonly samples: SampleSource | null;
  /** What inputs may be, as far as the graph tells: rows that are made of samples keep to it. */
  readonly hints: InputHints;
  readonly run: RunBatch;
}

export async function decideBatching(question: BatchingQuestion): Promise<BatchingDecision> {
  const { mode, verdict, signature, samples, hints, run } = question;
  if (mode === 'off') return alone('batching is turned off');
  if (mode === 'on') return forced(verdict);
  if (verdict.kind === 'independent') return together('proven: its graph keeps rows apart');
  const place = `${verdict.node}: ${verdict.reason}`;
  if (verdict.kind === 'coupled') return alone(place);
  const fixed = [...requiredInputs(signature), ...signature.outputs].find(({ shape }) => shape?.[0] !== -1);
  if (fixed !== undefined)
    return alone(`'${fixed.name}' has the shape ${shapeText(fixed.shape)}: no dynamic first axis`);
  if (samples === null) return alone(`its graph does not tell (${place}), and nothing is there to try it with`);
  const trial = await survivingTrial(samples, run, hints);
  switch (trial.kind) {
    case 'killed':
      return {
        ...alone(`its graph does not tell (${place}), and the worker died while it was tried: ${trial.message}`),
        hasKilled: true,
      };
    case 'passed':
      return { ...together(`tried, and audited while it serves (${place})`), isAudited: true };
    case 'coupled':
      return alone(trial.reason);
    case 'failed':
      return alone(`its graph does not tell (${place}), and it does not run on made-up inputs: ${trial.message}`);
  }
}

/** Rows that no client sent may be the end of a process: SIGFPE at the least integer over −1, for example. */
async function survivingTrial(
  samples: SampleSource,
  run: RunBatch,
  hints: InputHints,
): Promise<TrialResult | { readonly kind: 'killed'; readonly message: string }> {
  try {
    return await tryBatching(samples, run, hints);
  } catch (error) {
    if (error instanceof WorkerLostError) return { kind: 'killed', message: error.message };
    throw error;
  }
}

function forced(verdict: BatchVerdict): BatchingDecision {
  if (verdict.kind === 'independent') return together('turned on, and proven');
  const found = `${verdict.node}: ${verdict.reason}`;
  const warning =
    verdict.kind === 'coupled'
      ? `batching is turned on, but requests of one batch change each other’s answers (${found})`
      : `batching is turned on, and the graph does not tell whether that is right (${found})`;
  return { ...together(`turned on, whatever the graph says (${found})`), warning };
}

function together(reason: string): BatchingDecision {
  return { isBatchable: true, reason, isAudited: false, hasKilled: false, warning: null };
}

export function alone(reason: string): BatchingDecision {
  return { isBatchable: false, reason, isAudited: false, hasKilled: false, warning: null };
}
