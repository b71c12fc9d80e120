import { parentPort } from 'node:worker_threads';
import type { ThreadAnswer, ThreadRequest } from './parallel.js';
import { runJob, type Job, type JobResult } from './simulate.js';

/* A thread of `simulate.ts`. */

const port = parentPort!;
const answer = (message: ThreadAnswer<JobResult>): void => port.postMessage(message);

port.on('message', ({ index, job }: ThreadRequest<Job>) => {
  try {
    const result = runJob(job, (fraction) => answer({ kind: 'progress', index, fraction }));
    answer({ kind: 'done', index, result });
  } catch (error) {
    answer({ kind: 'failed', index, message: error instanceof Error ? error.message : String(error) });
  }
});
