import type { Worker } from 'node:worker_threads';

/** What a thread is sent, and what it answers. */
export interface ThreadRequest<Job> {
  readonly index: number;
  readonly job: Job;
}

export type ThreadAnswer<Result> =
  | { readonly kind: 'progress'; readonly index: number; readonly fraction: number }
  | { readonly kind: 'done'; readonly index: number; readonly result: Result }
  | { readonly kind: 'failed'; readonly index: number; readonly message: string };

export interface ParallelOptions<Job, Result> {
  readonly jobs: readonly Job[];
  /** 1: in this thread, without any other. */
  readonly threads: number;
  /** Of a module that answers each `ThreadRequest` with `ThreadAnswer`s. */
  readonly startThread: () => Worker;
  readonly runHere: (job: Job, onProgress: (fraction: number) => void) => Result;
  readonly nameOf: (job: Job) => string;
  /** @param now the job that has just begun or gone on */
  readonly onProgress: (fraction: number, now: string) => void;
}

/**
 * Runs jobs on threads, each taking the next one when it is free. Results come in the order of the jobs. The first job that
 * fails ends all.
 */
export async function inParallel<Job, Result>(options: ParallelOptions<Job, Result>): Promise<Result[]> {
  const { jobs, nameOf } = options;
  const fractions = new Float64Array(jobs.length);
  let finished = 0;
  const report = (index: number, fraction: number): void => {
    finished += fraction - fractions[index]!;
    fractions[index] = fraction;
    options.onProgress(finished / jobs.length, nameOf(jobs[index]!));
  };
  const threads = Math.min(options.threads, jobs.length);
  if (threads > 1) return onThreads(options, threads, report);
  const results: Result[] = [];
  for (const [index, job] of jobs.entries()) {
    results.push(options.runHere(job, (fraction) => report(index, fraction)));
    report(index, 1);
    await new Promise(setImmediate); // Signals and the progress bar want their turn.
  }
  return results;
}

async function onThreads<Job, Result>(
  { jobs, startThread }: ParallelOptions<Job, Result>,
  threads: number,
  report: (index: number, fraction: number) => void,
): Promise<Result[]> {
  const results = new Array<Result>(jobs.length);
  const workers: Worker[] = [];
  let next = 0;
  const work = (): Promise<void> =>
    new Promise((resolve, reject) => {
      const worker = startThread();
      workers.push(worker);
      const giveNext = (): void => {
        if (next >= jobs.length) resolve();
        else {
          const index = next++;
          worker.postMessage({ index, job: jobs[index]! } satisfies ThreadRequest<Job>);
        }
      };
      worker.on('message', (answer: ThreadAnswer<Result>) => {
        switch (answer.kind) {
          case 'progress':
            report(answer.index, answer.fraction);
            return;
          case 'done':
            results[answer.index] = answer.result;
            report(answer.index, 1);
            giveNext();
            return;
          case 'failed':
            reject(new Error(answer.message));
            return;
        }
      });
      worker.on('error', reject);
      giveNext();
    });
  try {
    await Promise.all(Array.from({ length: threads }, work));
    return results;
  } finally {
    await Promise.all(workers.map((worker) => worker.terminate()));
  }
}
