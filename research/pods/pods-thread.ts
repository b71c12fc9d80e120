import { parentPort } from 'node:worker_threads';
import type { ThreadAnswer, ThreadRequest } from '../../src/simulator/comparison/parallel.js';
import { runPodsJob, type PodsJob, type PodsRun } from './pods-jobs.js';

/* A thread of `pods-experiment.ts`. */

const port = parentPort!;
const answer = (message: ThreadAnswer<PodsRun>): void => port.postMessage(message);

port.on('message', ({ index, job }: ThreadRequest<PodsJob>) => {
  try {
    answer({ kind: 'done', index, result: runPodsJob(job) });
  } catch (error) {
    answer({ kind: 'failed', index, message: error instanceof Error ? error.message : String(error) });
  }
});
