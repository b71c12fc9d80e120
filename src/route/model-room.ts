/*
 * What is believed of one model on one pod: where one more request would stand, by its deadline. From the pod's last report, in instants
 * of ours, and what was sent there that the report does not know of yet.
 *
 * Invariants: marks ascend in `dueAtMs`, `startAtMs`, `doneAtMs` and `roomMs`; there are `MOST_BELIEVED_MARKS` at most, whatever is sent. A
 * request that is placed makes nothing better: every later answer has no more to spare than it would have had.
 */
import type { ModelReport } from '../scheduler/domain/pod-report.js';

/** Beyond it a placed request is told by its neighbour. */
const MOST_BELIEVED_MARKS = 64;

/** Changed in place: a report may find hundreds of requests still on their way. */
interface Mark {
  dueAtMs: number;
  startAtMs: number;
  doneAtMs: number;
  /** Infinity where nobody is behind. */
  roomMs: number;
}

export interface Standing {
  /** What it would have to spare, and whoever comes behind it: the least of them, by planned latencies. */
  readonly spareMs: number;
  /** The same if all goes as well as it may: negative, and it is no use to send it there. */
  readonly hopeMs: number;
}

export class ModelRoom {
  readonly report: ModelReport;
  readonly #marks: Mark[];

  /** @param madeAtMs of the report, by our clock */
  constructor(report: ModelReport, madeAtMs: number) {
    this.report = report;
    this.#marks = report.marks.map(({ dueInMs, startInMs, doneInMs, roomMs }, index) => ({
      dueAtMs: index === 0 ? -Infinity : madeAtMs + dueInMs,
      startAtMs: madeAtMs + startInMs,
      doneAtMs: madeAtMs + doneInMs,
      roomMs: roomMs ?? Infinity,
    }));
  }

  /** Where a request would stand that is due then. @param inputBytes null where they are not known */
  standing(nowMs: number, dueAtMs: number, inputBytes: number | null): Standing {
    const { aloneMs, leastMs } = this.report;
    const index = this.#indexOf(nowMs, dueAtMs);
    const scale = this.#scaleOf(inputBytes);
    const startAtMs = Math.max(nowMs, this.#marks[index]!.startAtMs);
    const roomBehindMs = this.#marks[index + 1]?.roomMs ?? Infinity;
    const requestMs = this.#workMs(dueAtMs - startAtMs);
    // Nobody is refused for a size that was only guessed at.
    const leastScale = Math.min(1, scale);
    const toleranceMs = HOPE_OF_ALONE * aloneMs;
    return {
      spareMs: Math.min(dueAtMs - startAtMs - scale * aloneMs, roomBehindMs - scale * requestMs),
      hopeMs:
        Math.min(dueAtMs - startAtMs - leastScale * leastMs, roomBehindMs - leastScale * requestMs) +
        (startAtMs > nowMs ? toleranceMs : 0),
    };
  }

  /**
   * Of the time of all instances, what one costs others that has so long from its start on: in a batch that does most if there is time for
   * one, and else in one that it cuts short.
   */
  #workMs(leftMs: number): number {
    const { aloneMs, requestMs, instanceCount } = this.report;
    const share = Math.min(1, Math.max(0, (leftMs / aloneMs - 1) / (FULL_BATCH_OF_ALONE - 1)));
    return Math.max(requestMs, (1 - share) * (aloneMs / instanceCount) + share * requestMs);
  }

  /** Behind all that waits. */
  finishAtMs(nowMs: number): number {
    return Math.max(nowMs, this.#marks.at(-1)!.startAtMs) + this.report.aloneMs;
  }

  /** A request was sent there, due then. */
  place(nowMs: number, dueAtMs: number, inputBytes: number | null): void {
    const { aloneMs, instanceCount } = this.report;
    const index = this.#indexOf(nowMs, dueAtMs);
    const scale = this.#scaleOf(inputBytes);
    const before = this.#marks[index]!;
    const requestMs = this.#workMs(dueAtMs - Math.max(nowMs, before.startAtMs));
    // It shares a batch with those that wait; where nobody does it has its own.
    const workMs = scale * (before.startAtMs > nowMs ? requestMs : Math.max(requestMs, aloneMs / instanceCount));
    const startAtMs = Math.max(nowMs, before.startAtMs) + workMs;
    const doneAtMs = Math.max(nowMs, before.doneAtMs) + workMs;
    for (let later = index + 1; later < this.#marks.length; later++) {
      const mark = this.#marks[later]!;
      mark.startAtMs = Math.max(nowMs, mark.startAtMs) + workMs;
      mark.doneAtMs = Math.max(nowMs, mark.doneAtMs) + workMs;
      mark.roomMs -= workMs;
    }
    const next = this.#marks[index + 1];
    const ownRoomMs = dueAtMs - Math.max(nowMs, before.startAtMs) - scale * aloneMs;
    const roomMs = Math.min(ownRoomMs, next?.roomMs ?? Infinity);
    for (let earlier = 0; earlier <= index; earlier++) {
      const mark = this.#marks[earlier]!;
      mark.roomMs = Math.min(mark.roomMs, roomMs);
    }
    if (this.#marks.length < MOST_BELIEVED_MARKS)
      this.#marks.splice(index + 1, 0, { dueAtMs, startAtMs, doneAtMs, roomMs });
    // As one with the next, as if all of both were due as the first of them; or with the last there is.
    else if (next !== undefined) Object.assign(next, { dueAtMs, roomMs });
    else Object.assign(before, { startAtMs, doneAtMs });
  }

  /** The last that is due by then; but nothing goes before a batch that has begun since, and nothing interrupts it. */
  #indexOf(nowMs: number, dueAtMs: number): number {
    const last = this.#marks.length - 1;
    let index = 0;
    // The batch of a mark begins when one more could have started before it.
    while (index < last && (this.#marks[index + 1]!.dueAtMs <= dueAtMs || this.#marks[index]!.startAtMs < nowMs))
      index += 1;
    return index;
  }

  /** Against the requests of late: what a larger one takes, at the most in proportion. */
  #scaleOf(inputBytes: number | null): number {
    const { requestBytes } = this.report;
    if (inputBytes === null || requestBytes === 0) return 1;
    return Math.min(GREATEST_SCALE, Math.max(LEAST_SCALE, inputBytes / requestBytes));
  }
}

/**
 * A pod finds better batches than a list schedule, and who is behind may be given up instead: what is over by less than this share of a
 * batch is for the pod to decide. With 10 ms instead, three pods at 0.7 of what they can do lost 2 in 100 more than if
 * nobody were refused here; with this, a tenth of one (`test/simulation/pods.ts`).
 */
const HOPE_OF_ALONE = 0.75;

/**
 * A batch that does most is taken to last so many times as long as one request alone. With every request at its share of such a batch, 16
 * pods at 1.1 of what they can do, budgets from twice what one takes alone, lost 4 in 100 more than by requests under way: whoever
 * was in a hurry was let in everywhere, and cut every batch short (`research/pods`).
 */
const FULL_BATCH_OF_ALONE = 5;

/** Every request costs something whatever its size, and a head may say anything of it. */
const LEAST_SCALE = 0.25;
const GREATEST_SCALE = 64;
