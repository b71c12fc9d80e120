import type { TensorContract } from '../triton-config/tensor-contract.js';
import { warmupSamples } from '../triton-config/warmup-samples.js';
import type { WorkerFacts } from '../workers/messages.js';
import type { Sample } from '../workers/samples.js';
import { oneLine } from '../workers/load-failure.js';
import { CONFIG_FILE } from './model-config-file.js';
import type { ModelSource } from './model-repository.js';
import { ofOneClass, readSamples } from './sample-files.js';

/* Requests that somebody gives a model to be profiled and tried with. */

interface SampleContext {
  /** Files from the command line; null where there are none. */
  readonly samplePaths: readonly string[] | null;
  readonly contract: TensorContract;
  readonly facts: Pick<WorkerFacts, 'hints'>;
  readonly onLog: (line: string) => void;
}

/**
 * Files of requests count before those that a model's configuration describes. All of one shape class.
 * @throws Error of one line: no request of this model, no such file
 */
export async function samplesOf(source: ModelSource, context: SampleContext): Promise<readonly Sample[]> {
  const { settings } = source;
  const { contract, facts, onLog } = context;
  const paths = context.samplePaths ?? settings.samplePaths;
  if (paths.length > 0) return readSamples(paths, contract.model, onLog);
  if (settings.config === null || settings.config.warmups.length === 0) return [];
  const { warmups, folder } = settings.config;
  try {
    const samples = await warmupSamples(warmups, { contract, hints: facts.hints, folder });
    return ofOneClass(samples, 'the first model_warmup', onLog);
  } catch (error) {
    throw new Error(`${CONFIG_FILE}: ${oneLine(error)}`, { cause: error });
  }
}
