import type { Event } from '../../scheduler/domain/event.js';
import type { SpareCallbacks } from '../workers/spare-worker.js';
import { restartDelayMs } from '../workers/worker-supervisor.js';
import { keptFreeBytes } from '../pressure.js';

/*
 * Which models of a server have a spare process beside their worker: those whose worker was lost of late, as far as memory goes. A spare
 * is the model in memory once more, so a model that has never lost its worker has none, and where there is no room for all, the one that
 * lost it last has it. One is loaded at a time.
 */

export type SpareMode = 'never' | 'after-crash' | 'always';
export const SPARE_MODES: readonly SpareMode[] = ['never', 'after-crash', 'always'];

/** After the last loss. Poison is remembered for half of that. */
const KEPT_MS = 600_000;
const KEPT_TEXT = 'no worker was lost for 10 minutes';
const LOOK_EVERY_MS = 5000;

/** A model that can have one. */
export interface SparedModel {
  /** Its worker runs: while it is being started again, all CPU is for that. */
  readonly isWorkerReady: boolean;
  /** Of a process with the model loaded. */
  readonly residentBytes: number;
  /** Loads a spare on what CPU others leave. @throws Error, one line, where none can be started */
  load(callbacks: Omit<SpareCallbacks, 'onMovedOut'>): Promise<void>;
  end(message: string): void;
  /** Good news, one line. */
  readonly onNotice: (line: string) => void;
  /** Bad news, one line. */
  readonly onLog: (line: string) => void;
}

export interface SparesOptions {
  readonly mode: SpareMode;
  readonly nowMs: () => number;
  readonly memory: { readonly limitBytes: number; usedBytes(): number };
}

/** One model's place among those that may have a spare. */
export interface SpareKeeper {
  /** Of that model. */
  observe(event: Event): void;
  /** It has none from now on; one that stands ready stays until its pool is closed. */
  stop(): void;
}

interface Kept {
  readonly model: SparedModel;
  state: 'none' | 'loading' | 'waiting';
  lastLossAtMs: number;
  failureCount: number;
  retryAtMs: number;
  /** That there is no memory for it was said. */
  isShortSaid: boolean;
}

export class Spares {
  readonly #options: SparesOptions;
  readonly #kept = new Set<Kept>();
  readonly #timer: NodeJS.Timeout | undefined;

  constructor(options: SparesOptions) {
    this.#options = options;
    if (options.mode !== 'never') this.#timer = setInterval(() => this.settle(), LOOK_EVERY_MS).unref();
  }

  add(model: SparedModel): SpareKeeper {
    const kept: Kept = {
      model,
      state: 'none',
      lastLossAtMs: -Infinity,
      failureCount: 0,
      retryAtMs: 0,
      isShortSaid: false,
    };
    if (this.#options.mode !== 'never') this.#kept.add(kept);
    // Its worker is ready already; not from inside its making.
    setImmediate(() => this.settle());
    return {
      observe: ({ kind }) => {
        if (kind === 'worker-lost') kept.lastLossAtMs = this.#options.nowMs();
        // What the pool tells is told first.
        else if (kind === 'worker-ready') setImmediate(() => this.settle());
      },
      stop: () => {
        this.#kept.delete(kept);
        // What becomes of it is no news any more.
        kept.state = 'none';
      },
    };
  }

  close(): void {
    clearInterval(this.#timer);
    this.#kept.clear();
  }

  /** Ends a spare that is not needed or not to be afforded any more, or begins to load the one that is needed most. */
  settle(): void {
    for (const kept of this.#kept) if (kept.state === 'waiting' && !this.#isWanted(kept)) this.#end(kept, KEPT_TEXT);
    if (!this.#hasRoomFor(0)) {
      this.#endLeastNeeded(Infinity, 'memory is short');
      return;
    }
    if ([...this.#kept].some(({ state }) => state === 'loading')) return;
    const nowMs = this.#options.nowMs();
    const lacking = [...this.#kept]
      .filter((kept) => kept.state === 'none' && this.#isWanted(kept) && kept.retryAtMs <= nowMs)
      .filter(({ model }) => model.isWorkerReady)
      .sort((a, b) => b.lastLossAtMs - a.lastLossAtMs);
    for (const kept of lacking) {
      if (this.#hasRoomFor(kept.model.residentBytes)) {
        void this.#load(kept);
        return;
      }
      // Its memory is free when its process has ended: the next look finds it.
      if (this.#endLeastNeeded(kept.lastLossAtMs, 'another model needs its memory more')) return;
      if (!kept.isShortSaid) {
        const mib = Math.ceil(kept.model.residentBytes / 1024 ** 2);
        kept.model.onLog(`there is no memory for a spare process, which needs ${mib} MiB: a restart is a model load`);
      }
      kept.isShortSaid = true;
    }
  }

  async #load(kept: Kept): Promise<void> {
    const { model } = kept;
    const { nowMs } = this.#options;
    kept.state = 'loading';
    kept.isShortSaid = false;
    const onLost = (message: string): void => {
      if (kept.state === 'none') return;
      kept.state = 'none';
      kept.retryAtMs = nowMs() + restartDelayMs(++kept.failureCount);
      model.onLog(`the spare process is gone: ${message}`);
    };
    try {
      await model.load({
        onReady: () => {
          kept.state = 'waiting';
          model.onNotice('a spare process stands ready');
          this.settle();
        },
        onTaken: () => {
          kept.state = 'none';
          kept.failureCount = 0;
        },
        onLost,
      });
    } catch (error) {
      onLost((error as Error).message);
    }
  }

  #isWanted({ lastLossAtMs }: Kept): boolean {
    return this.#options.mode === 'always' || this.#options.nowMs() - lastLossAtMs < KEPT_MS;
  }

  /** Beside what is kept free for requests. */
  #hasRoomFor(bytes: number): boolean {
    const { limitBytes } = this.#options.memory;
    return this.#options.memory.usedBytes() + bytes <= limitBytes - keptFreeBytes(limitBytes);
  }

  /** @returns whether there was one whose model lost its worker before that */
  #endLeastNeeded(beforeMs: number, message: string): boolean {
    const [least] = [...this.#kept]
      .filter(({ state, lastLossAtMs }) => state === 'waiting' && lastLossAtMs < beforeMs)
      .sort((a, b) => a.lastLossAtMs - b.lastLossAtMs);
    if (least === undefined) return false;
    this.#end(least, message);
    return true;
  }

  #end(kept: Kept, message: string): void {
    kept.state = 'none';
    kept.model.onNotice(`the spare process is ended: ${message}`);
    kept.model.end(message);
  }
}
