import { parentPort } from 'node:worker_threads';
import type { ThreadAnswer, ThreadRequest } from '../../src/simulator/comparison/parallel.js';
import type { EvaluationJob } from './evaluation-jobs.js';
import { runEvaluation, type EvaluationResult } from './evaluation-run.js';

/* A thread of `evaluation.ts`. */

const port = parentPort!;
const answer = (message: ThreadAnswer<EvaluationResult>): void => port.postMessage(message);

port.on('message', ({ index, job }: ThreadRequest<EvaluationJob>) => {
  try {
    const result = runEvaluation(job, (fraction) => answer({ kind: 'progress', index, fraction }));
    answer({ kind: 'done', index, result });
  } catch (error) {
    answer({ kind: 'failed', index, message: error instanceof Error ? error.message : String(error) });
  }
});
