/*
 * What becomes of those who wait while there is no worker, and when there is one again: whoever cannot outlast the restart is told, the
 * others are staged anew. Thousands may wait, so both are done in pieces.
 */
import type { Clock, Timer } from '../clock/clock.js';
import type { Event } from '../domain/event.js';
import type { HeldRequests } from './held-requests.js';
import { Outage } from './outage.js';
import { Pieces } from './pieces.js';
import { mayBeLate, type QueueEntry } from './queue-entry.js';

export interface RecoveryOptions {
  readonly clock: Clock;
  readonly held: HeldRequests;
  readonly isDeadlineAware: boolean;
  readonly maxMillicores: number;
  /** Sends a queued request's inputs. */
  readonly stage: (entry: QueueEntry) => void;
  /** Decides what becomes of the members of batches that ran in the lost worker. */
  readonly settleBroken: (nowMs: number, message: string) => void;
  readonly emit: (event: Event) => void;
}

export class Recovery {
  readonly outage = new Outage();
  readonly #options: RecoveryOptions;
  readonly #restaging: Pieces<QueueEntry>;
  readonly #refusing: Pieces<QueueEntry>;
  #patienceTimer: Timer | null = null;

  constructor(options: RecoveryOptions) {
    const { clock, held, stage } = options;
    this.#options = options;
    this.#restaging = new Pieces(clock, (entry) => {
      if (entry.state === 'queued') stage(entry);
    });
    this.#refusing = new Pieces(clock, (entry) => {
      const nowMs = clock.nowMs();
      if (entry.state === 'queued') held.finish(nowMs, entry, this.outage.refusal(nowMs));
    });
  }

  onReady(isTakeover: boolean): void {
    const { clock, held, emit } = this.#options;
    this.outage.end();
    this.#patienceTimer?.cancel();
    this.#refusing.drop(); // They may be in time after all.
    const waiting = held.waiting(); // What arrives because of this news is staged on arrival.
    emit({ kind: 'worker-ready', atMs: clock.nowMs(), ...(isTakeover ? { isTakeover } : {}) });
    this.#restaging.begin(waiting);
  }

  onLost(message: string, restartEstimateMs: number): void {
    const { clock, held, settleBroken, emit } = this.#options;
    const nowMs = clock.nowMs();
    this.outage.begin(nowMs, message, restartEstimateMs);
    this.#patienceTimer?.cancel();
    this.#patienceTimer = clock.schedule(this.outage.endOfPatienceAtMs, () => this.#endPatience());
    emit({ kind: 'worker-lost', atMs: nowMs, message, restartEstimateMs });
    held.dropFinishedExploring();
    settleBroken(nowMs, message);
    this.#restaging.drop();
    const waiting = held.waiting();
    for (const entry of waiting) entry.isStaged = false;
    this.#refusing.begin(waiting.filter((entry) => !this.#outlastsRestart(nowMs, entry)));
  }

  stop(): void {
    this.#patienceTimer?.cancel();
    this.#restaging.drop();
    this.#refusing.drop();
  }

  /** No deadline ends the wait of these. */
  #endPatience(): void {
    const { held, isDeadlineAware } = this.#options;
    this.#refusing.begin(held.waiting().filter(({ request }) => !isDeadlineAware || mayBeLate(request)));
  }

  #outlastsRestart(nowMs: number, { request, model }: QueueEntry): boolean {
    const { isDeadlineAware, maxMillicores } = this.#options;
    if (!isDeadlineAware || mayBeLate(request)) return true;
    return this.outage.readyAtMs(nowMs) + model.leastLatencyMs(1, maxMillicores) <= request.dueAtMs;
  }
}
