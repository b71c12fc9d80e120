import { readFile, stat } from 'node:fs/promises';
import { dirname, resolve } from 'node:path';
import type { StepTarget } from '../../scheduler/pipeline/step-target.js';
import { writtenPipeline } from '../../scheduler/pipeline/written-pipeline.js';
import { oneLine } from '../workers/load-failure.js';
import { schedulingOf } from './ensemble.js';
import type { PipelineSource } from './pipeline-source.js';

/* `pipeline.yaml` in a folder of the repository makes a pipeline of it (`scheduler/pipeline/written-pipeline.ts` reads what it says). */

export const PIPELINE_FILE = 'pipeline.yaml';
const MAX_FILE_BYTES = 1024 * 1024;

/** Null where there is none. @throws Error of one line: what is wrong in it, and where */
export async function readPipeline(path: string): Promise<PipelineSource | null> {
  const info = await stat(path).catch(() => null);
  if (info?.isFile() !== true) return null;
  try {
    if (info.size > MAX_FILE_BYTES) throw new Error('it is larger than 1 MiB');
    const { parse } = await import('yaml');
    return pipelineIn(parse(await readFile(path, 'utf8')), dirname(path));
  } catch (error) {
    throw new Error(`${path}: ${oneLine(error)}`, { cause: error });
  }
}

/** @throws Error of one line   @param folder that its functions are relative to */
export function pipelineIn(value: unknown, folder: string): PipelineSource {
  const written = writtenPipeline(value);
  const targets = new Map([...written.targets].map(([step, target]) => [step, inFolder(target, folder)]));
  return { ...written, targets, outputs: [], scheduling: schedulingOf(written.description, targets) };
}

function inFolder(target: StepTarget, folder: string): StepTarget {
  return target.kind === 'model' ? target : { ...target, file: resolve(folder, target.file) };
}
