import type { ScenarioFile } from '../simulator/comparison/simulate.js';
import { CLIENT_OUTCOMES, joinColumns, type ClientOutcome, type LoadColumns, type LoadCounts } from './load-ledger.js';
import type { FromLoadThread, LoadShare, ToLoadThread } from './load-share.js';
import { thisProcess, type LoadSite, type ThreadLink } from './load-site.js';
import type { LoadTarget } from './target.js';

/* A load on as many threads as asked for: from a scenario, a seed and a server to what became of every request. */

export interface LoadOptions {
  readonly file: ScenarioFile;
  readonly seed: number;
  readonly target: LoadTarget;
  readonly threads: number;
  /** Default: this process. */
  readonly site?: LoadSite;
  /** Told when the plan's 0 will be, wall time, a little before it is. */
  readonly onBegin?: (startUnixMs: number) => void;
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
  /** Clients sent for so long: as planned, unless they were interrupted. */
  readonly durationMs: number;
  /** Requests of the plan; where the run was interrupted, those that had ended by then are all there is. */
  readonly planned: number;
  readonly isInterrupted: boolean;
  /** Wall time of the plan's 0. */
  readonly startUnixMs: number;
  readonly generator: GeneratorUse;
}

/** What the generator itself took: a load is honest only while this is small. */
export interface GeneratorUse {
  readonly threads: number;
  /** Mean cores over the run, of this process and of those that its threads ran in. */
  readonly cores: number;
  /** Of the busiest thread's event loop. */
  readonly busiestFraction: number;
}

/** Until all threads have their timers set. */
const START_AHEAD_MS = 100;

/** @throws Error where a thread fails */
export async function load(options: LoadOptions): Promise<LoadResult> {
  const { file, seed, target, threads, site = thisProcess, onBegin, onProgress, signal } = options;
  const { clientAddresses } = site;
  const crew = Array.from({ length: threads }, (_, thread) => {
    return new LoadThread(site, { file, seed, target, thread, threads, clientAddresses });
  });
  const stop = (): void => crew.forEach((member) => member.tell({ kind: 'stop' }));
  try {
    const [first] = await Promise.all(crew.map((member) => member.ready));
    const planned = first!.requestCount;
    signal?.throwIfAborted();
    signal?.addEventListener('abort', stop);
    const startUnixMs = Date.now() + START_AHEAD_MS;
    onBegin?.(startUnixMs);
    const cpuBefore = process.cpuUsage();
    const startedAtMs = performance.now();
    const reporting = setInterval(() => {
      const elapsedMs = Math.max(0, performance.now() - startedAtMs - START_AHEAD_MS);
      onProgress?.({ ...sumOf(crew.map(({ counts }) => counts)), elapsedMs, planned });
    }, 250);
    const failure = new Promise<never>((_, reject) => site.begin(startUnixMs, reject));
    crew.forEach((member) => member.tell({ kind: 'begin', startUnixMs }));
    const allDone = Promise.all(crew.map((member) => member.done));
    const parts = await Promise.race([allDone, failure]).finally(() => {
      clearInterval(reporting);
      site.end();
    });
    const isInterrupted = signal?.aborted === true;
    const plannedMs = file.scenario.durationSec * 1000;
    const { user, system } = process.cpuUsage(cpuBefore);
    const cpuElsewhereMs = parts.reduce((sum, { pid, cpuMs }) => sum + (pid === process.pid ? 0 : cpuMs), 0);
    return {
      columns: joinColumns(parts.map(({ columns }) => columns)),
      durationMs: isInterrupted ? Math.max(1, Math.min(plannedMs, Date.now() - startUnixMs)) : plannedMs,
      planned,
      isInterrupted,
      startUnixMs,
      generator: {
        threads,
        cores: ((user + system) / 1000 + cpuElsewhereMs) / (performance.now() - startedAtMs),
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
  readonly #link: ThreadLink;

  constructor(site: LoadSite, share: LoadShare) {
    this.#link = site.startThread(share);
    this.#link.onTold((message) => {
      if (message.kind === 'progress') this.counts = message.counts;
    });
    this.ready = this.#toldOf('ready');
    this.done = this.#toldOf('done');
    // Whoever waits for it hears of a failure.
    this.ready.catch(() => undefined);
    this.done.catch(() => undefined);
  }

  tell(message: ToLoadThread): void {
    this.#link.tell(message);
  }

  end(): Promise<void> {
    return this.#link.end();
  }

  #toldOf<Kind extends FromLoadThread['kind']>(kind: Kind): Promise<Told<Kind>> {
    return new Promise((resolve, reject) => {
      this.#link.onTold((message) => {
        if (message.kind === kind) resolve(message as Told<Kind>);
      });
      this.#link.onLost(reject);
    });
  }
}
