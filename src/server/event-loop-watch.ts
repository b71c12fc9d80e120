import type { Clock, Timer } from '../scheduler/clock/clock.js';
import { LoopDelays } from './loop-delays.js';

/*
 * Knows when the router's own event loop stood still, so that nobody else is blamed for it: not a client whose bytes lay unread, not
 * a worker whose answer did, not the network, not the model. A timer that is late tells of a standstill after it; until that timer
 * has fired, the time since it was due does.
 *
 * Invariants: standstills do not overlap, and are kept newest last, a bounded number of them.
 */

/** 50 timers a second cost less than a thousandth of a core. */
const BEAT_MS = 20;
/** Timers are a few milliseconds late on a busy machine; less than this delays nobody noticeably. */
const LEAST_STANDSTILL_MS = 20;
/** In a row, until nothing that came during a standstill can be unread: one turn accepts a connection, the next one reads it. */
const BEATS_IN_TIME = 2;
/** The longest time back that is asked for is a body's or a run's; a loop that stands still more often than this is asked about its delay. */
const MAX_KEPT = 256;
/** Of the newest beat in the running mean: what one was late by is all but gone after ten in time. */
const DELAY_GAIN = 0.2;
/** Of standstills that are told of: shorter ones are all in the histogram of the metrics. */
const LEAST_TOLD_MS = 50;
/** More than this does not count in the mean, so that one standstill, of whatever length, makes 200 ms of it. */
const MOST_DELAY_MS = 1000;

interface Standstill {
  readonly fromMs: number;
  readonly toMs: number;
}

export class EventLoopWatch {
  /** What its beats were late by. */
  readonly delays = new LoopDelays();
  readonly #clock: Clock;
  readonly #standstills: Standstill[] = [];
  #lastBeatAtMs: number;
  /** When the next beat is due; Infinity once closed. */
  #dueAtMs: number;
  #timer: Timer;
  #meanDelayMs = 0;
  /** Since when something may have been lying unread, until so many more beats are in time. */
  #catchingUp: { readonly sinceMs: number; beatsLeft: number } | null = null;

  readonly #onStandstill: (standstillMs: number) => void;

  /**
   * @param clock whose timers do not keep the process alive
   * @param onStandstill hears of each that is over, if it was long enough to matter to somebody
   */
  constructor(clock: Clock, onStandstill: (standstillMs: number) => void = () => undefined) {
    this.#onStandstill = onStandstill;
    this.#clock = clock;
    this.#lastBeatAtMs = clock.nowMs();
    this.#dueAtMs = this.#lastBeatAtMs + BEAT_MS;
    this.#timer = clock.schedule(this.#dueAtMs, this.#beat);
  }

  /** How late timers have been of late, ms: a running mean, so that one standstill does not count as a state. */
  get meanDelayMs(): number {
    return this.#meanDelayMs;
  }

  /** How much of the time since then the loop stood still, ms. */
  standstillMs(sinceMs: number): number {
    const nowMs = this.#clock.nowMs();
    const open = this.#openStandstill(nowMs);
    let sum = open === null ? 0 : open.toMs - Math.max(sinceMs, open.fromMs);
    for (let index = this.#standstills.length - 1; index >= 0; index--) {
      const { fromMs, toMs } = this.#standstills[index]!;
      if (toMs <= sinceMs) break;
      sum += toMs - Math.max(sinceMs, fromMs);
    }
    return Math.max(0, sum);
  }

  /**
   * The instant since when what is read just now may have been lying unread; now itself where the loop has been running. After a
   * standstill that lasts until beats are in time again: by then everything that had come has been read, also of connections that
   * had to be accepted first.
   */
  unreadSinceMs(): number {
    if (this.#catchingUp !== null) return this.#catchingUp.sinceMs;
    const nowMs = this.#clock.nowMs();
    return this.#openStandstill(nowMs)?.fromMs ?? nowMs;
  }

  close(): void {
    this.#timer.cancel();
    this.#dueAtMs = Infinity;
  }

  readonly #beat = (): void => {
    const nowMs = this.#clock.nowMs();
    const open = this.#openStandstill(nowMs);
    if (open !== null) {
      this.#standstills.push(open);
      if (this.#standstills.length > MAX_KEPT) this.#standstills.shift();
      this.#catchingUp = { sinceMs: this.#catchingUp?.sinceMs ?? open.fromMs, beatsLeft: BEATS_IN_TIME };
    } else if (this.#catchingUp !== null) {
      this.#catchingUp.beatsLeft -= 1;
      if (this.#catchingUp.beatsLeft === 0) this.#catchingUp = null;
    }
    const lateMs = this.#lateMs(nowMs);
    this.delays.record(lateMs);
    this.#meanDelayMs += DELAY_GAIN * (Math.min(lateMs, MOST_DELAY_MS) - this.#meanDelayMs);
    this.#lastBeatAtMs = nowMs;
    this.#dueAtMs = nowMs + BEAT_MS;
    this.#timer = this.#clock.schedule(this.#dueAtMs, this.#beat);
    const standstillMs = open === null ? 0 : open.toMs - open.fromMs;
    if (standstillMs >= LEAST_TOLD_MS) this.#onStandstill(standstillMs);
  };

  #lateMs(nowMs: number): number {
    return Math.max(0, nowMs - this.#dueAtMs);
  }

  /** From the last beat on nothing is known to have been read: it may have begun right after it. */
  #openStandstill(nowMs: number): Standstill | null {
    return this.#lateMs(nowMs) < LEAST_STANDSTILL_MS ? null : { fromMs: this.#lastBeatAtMs, toMs: nowMs };
  }
}
