import { Worker } from 'node:worker_threads';
import type { ScenarioFile } from '../simulate.js';
import { CLIENT_OUTCOMES, joinColumns, type ClientOutcome, type LoadColumns, type LoadCounts } from './load-ledger.js';
import type { FromLoadThread, LoadShare, ToLoadThread } from './load-thread.js';
import type { LoadTarget } from './target.js';

/* A load on as many threads as asked for: from a scenario, a seed and a server to what became of every request. */

export interface LoadOptions {
  readonly file: ScenarioFile;
  readonly seed: number;
  readonly target: LoadTarget;
  readonly threads: number;
  /** Told a few times a second. */
  readonly onProgress?: (progress: LoadProgress) => void;
  readonly signal?: AbortSignal;
}

export interface LoadProgress extends LoadCounts {
  readonly elapsedMs: number;
  readonly planned: number;
}

export interface LoadResult {
  readonly columns: LoadColumns;
  /** Planned: clients send for so long. */
  readonly durationMs: number;
  /** Requests of the plan; fewer were sent where the run was interrupted. */
  readonly planned: number;
  readonly isInterrupted: boolean;
  /** Wall time of the plan's 0. */
  readonly startUnixMs: number;
  readonly generator: GeneratorUse;
}

/** What the generator itself took: a load is honest only while this is small. */
export interface GeneratorUse {
  readonly threads: number;
  /** Mean cores of this process over the run. */
  readonly cores: number;
  /** Of the busiest thread's event loop. */
  readonly busiestFraction: number;
}

/** Until all threads have their timers set. */
const START_AHEAD_MS = 100;

/** @throws Error where a thread fails */
export async function load({ file, seed, target, threads, onProgress, signal }: LoadOptions): Promise<LoadResult> {
  const crew = Array.from({ length: threads }, (_, thread) => new LoadThread({ file, seed, target, thread, threads }));
  const stop = (): void => crew.forEach((member) => member.tell({ kind: 'stop' }));
  try {
    const [first] = await Promise.all(crew.map((member) => member.ready));
    const planned = first!.requestCount;
    signal?.throwIfAborted();
    signal?.addEventListener('abort', stop);
    const startUnixMs = performance.timeOrigin + performance.now() + START_AHEAD_MS;
    const cpuBefore = process.cpuUsage();
    const startedAtMs = performance.now();
    const reporting = setInterval(() => {
      const elapsedMs = Math.max(0, performance.now() - startedAtMs - START_AHEAD_MS);
      onProgress?.({ ...sumOf(crew.map(({ counts }) => counts)), elapsedMs, planned });
    }, 250);
    crew.forEach((member) => member.tell({ kind: 'begin', startUnixMs }));
    const parts = await Promise.all(crew.map((member) => member.done)).finally(() => clearInterval(reporting));
    const { user, system } = process.cpuUsage(cpuBefore);
    return {
      columns: joinColumns(parts.map(({ columns }) => columns)),
      durationMs: file.scenario.durationSec * 1000,
      planned,
      isInterrupted: signal?.aborted === true,
      startUnixMs,
      generator: {
        threads,
        cores: (user + system) / 1000 / (performance.now() - startedAtMs),
        busiestFraction: Math.max(...parts.map(({ busyFraction }) => busyFraction)),
      },
    };
  } finally {
    signal?.removeEventListener('abort', stop);
    await Promise.all(crew.map((member) => member.end()));
  }
}

const NOTHING: LoadCounts = { sent: 0, outcomes: { 'on-time': 0, late: 0, refused: 0, lost: 0, cancelled: 0 } };

function sumOf(counts: readonly LoadCounts[]): LoadCounts {
  const total = (of: (each: LoadCounts) => number): number => counts.reduce((sum, each) => sum + of(each), 0);
  const outcomes = CLIENT_OUTCOMES.map((name) => [name, total((each) => each.outcomes[name])] as const);
  return { sent: total(({ sent }) => sent), outcomes: Object.fromEntries(outcomes) as Record<ClientOutcome, number> };
}

type Told<Kind extends FromLoadThread['kind']> = Extract<FromLoadThread, { kind: Kind }>;

class LoadThread {
  counts: LoadCounts = NOTHING;
  readonly ready: Promise<Told<'ready'>>;
  readonly done: Promise<Told<'done'>>;
  readonly #worker: Worker;

  constructor(share: LoadShare) {
    this.#worker = new Worker(new URL('./load-thread.js', import.meta.url), { workerData: share });
    this.#worker.on('message', (message: FromLoadThread) => {
      if (message.kind === 'progress') this.counts = message.counts;
    });
    this.ready = this.#toldOf('ready');
    this.done = this.#toldOf('done');
    // Whoever waits for it hears of a failure.
    this.ready.catch(() => undefined);
    this.done.catch(() => undefined);
  }

  tell(message: ToLoadThread): void {
    this.#worker.postMessage(message);
  }

  async end(): Promise<void> {
    await this.#worker.terminate();
  }

  #toldOf<Kind extends FromLoadThread['kind']>(kind: Kind): Promise<Told<Kind>> {
    return new Promise((resolve, reject) => {
      this.#worker.on('message', (message: FromLoadThread) => {
        if (message.kind === kind) resolve(message as Told<Kind>);
      });
      this.#worker.on('error', reject);
      this.#worker.on('exit', () => reject(new Error('a thread of the load generator ended before its load did')));
    });
  }
}
