import { availableParallelism, freemem } from 'node:os';
import { statSync } from 'node:fs';
import type { Scaler } from '../../scheduler/controlplane/scaler.js';

/*
 * How many warm instances a model gets where nobody says: as many as there are whole cores, within memory. Two batches side by side on a
 * core each neither wait for each other's threads nor for the slower half of a quota; more than a few instances buy only insurance
 * against bursts (docs/planner.md).
 */

/** Beyond four the least cores for a load hardly fall any more. */
const MOST_BY_DEFAULT = 4;
/** Of what is free when the model is loaded. */
const MEMORY_SHARE = 0.5;
/** Anonymous memory of a worker process before its model (docs/decisions/0014). */
export const PROCESS_BYTES = 60 * 1024 ** 2;
/** A loaded model, its prepacked weights and its activations, over its file. */
const LOADED_TO_FILE = 3;

export const loadedBytes = (fileBytes: number): number => LOADED_TO_FILE * fileBytes;

/** One more instance in a process: 12 to 16 MB with sessions of its own for two threads, and its activations. */
const THREAD_BYTES = 40 * 1024 ** 2;

export type InstanceCount = number | 'auto';

export interface CountedModel {
  readonly modelPath: string;
  /** Served side by side, each with an equal share of memory. */
  readonly modelCount: number;
  /** Of one process, rather than a process each. */
  readonly areThreads: boolean;
}

/** Integer ≥ 1. One where instances could not be limited one by one. */
export function instanceCount(asked: InstanceCount, { kind, limits }: Scaler, model: CountedModel): number {
  if (asked !== 'auto') return asked;
  if (kind !== 'cgroup-v1' && kind !== 'cgroup-v2') return 1;
  const byCores = Math.min(Math.round(limits.maxMillicores / 1000), availableParallelism(), MOST_BY_DEFAULT);
  const processBytes = PROCESS_BYTES + loadedBytes(statSync(model.modelPath).size);
  const eachBytes = model.areThreads ? THREAD_BYTES : processBytes;
  const byMemory = 1 + Math.floor((MEMORY_SHARE * availableBytes()) / model.modelCount / eachBytes);
  return Math.max(1, Math.min(byCores, byMemory));
}

function availableBytes(): number {
  const limited = process.constrainedMemory();
  const free = freemem();
  return limited > 0 ? Math.min(free, process.availableMemory()) : free;
}
