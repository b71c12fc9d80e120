import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { dueAt, TEN_MS_EACH } from '../../../test/simulation/fixed-latency.js';
import { VirtualClock } from '../clock/virtual-clock.js';
import type { AdmittedRequest, InferRequest } from '../domain/request.js';
import { Deadlines } from './deadlines.js';
import { compareByDeadline, EdfQueue } from './edf-queue.js';
import { mayBeLate, type QueueEntry } from './queue-entry.js';

function entryOf(request: InferRequest, key = request.dueAtMs, isSetAside = false): QueueEntry {
  return {
    request: request as AdmittedRequest,
    sequence: request.sequence,
    dueAtMs: key,
    priority: request.priority,
    byteCount: 1,
    admittedAtMs: 0,
    shapeClass: request.shapeClass,
    model: TEN_MS_EACH,
    onOutcome: () => undefined,
    candidate: {
      sequence: request.sequence,
      dueAtMs: request.dueAtMs,
      admittedAtMs: 0,
      classIndex: 0,
      byteCount: 1,
      mustRunAlone: false,
    },
    isStaged: true,
    isSetAside,
    isExploring: false,
    isRetry: false,
    wasKilled: false,
    isSuspect: false,
    state: 'queued',
  };
}

/** A queue, its deadlines, and what was told: [sequence, instant]. */
class Waiting {
  readonly clock: VirtualClock;
  readonly deadlines: Deadlines;
  readonly due: [number, number][] = [];
  onDue: (sequence: number, nowMs: number) => void = () => undefined;
  readonly #queue = new EdfQueue<QueueEntry>();
  readonly #entries = new Map<number, QueueEntry>();

  constructor(timerLatenessMs = 0) {
    this.clock = new VirtualClock({ timerLatenessMs });
    this.deadlines = new Deadlines(this.clock, this.#queue, (sequence, nowMs) => {
      this.due.push([sequence, nowMs]);
      this.leave(sequence);
      this.onDue(sequence, nowMs);
    });
  }

  /** `key` is the queue's; under EDF it is the deadline. */
  enter(request: InferRequest, key = request.dueAtMs): void {
    const entry = entryOf(request, key);
    this.#entries.set(entry.sequence, entry);
    this.#queue.push(entry);
    this.deadlines.watch(entry);
  }

  enterAside(request: InferRequest): void {
    const entry = entryOf(request, request.dueAtMs, true);
    this.#entries.set(entry.sequence, entry);
    this.deadlines.watch(entry);
  }

  leave(sequence: number): void {
    const entry = this.#entries.get(sequence);
    if (entry === undefined) return;
    this.#entries.delete(sequence);
    if (!entry.isSetAside) this.#queue.remove(entry);
    this.deadlines.forget(entry);
  }
}

describe('deadlines', () => {
  it('fire each at its instant, in order of instants and not of calls', () => {
    const waiting = new Waiting();
    waiting.enter(dueAt(1, 30));
    waiting.enter(dueAt(2, 10));
    waiting.enter(dueAt(3, 20));
    waiting.clock.advanceTo(100);
    expect(waiting.due).toEqual([[2, 10], [3, 20], [1, 30]]); // prettier-ignore
  });

  it('fire no later than a timer is late, for several at once', () => {
    const waiting = new Waiting(1);
    waiting.enter(dueAt(1, 10));
    waiting.enter(dueAt(2, 10.5));
    waiting.enter(dueAt(3, 11.5));
    waiting.clock.advanceTo(100);
    // The timer for 10 fires at 11 and finds both; the next one, for 11.5, at 12.5.
    expect(waiting.due).toEqual([[1, 11], [2, 11], [3, 12.5]]); // prettier-ignore
  });

  it('do not fire for what has left, and go on with the next', () => {
    const waiting = new Waiting();
    waiting.enter(dueAt(1, 10));
    waiting.enter(dueAt(2, 20));
    waiting.leave(1);
    waiting.clock.advanceTo(100);
    expect(waiting.due).toEqual([[2, 20]]);
  });

  it('of thousands at one instant are told some at a time, so that others are heard between', () => {
    const waiting = new Waiting();
    for (let sequence = 1; sequence <= 1000; sequence++) waiting.enter(dueAt(sequence, 10));
    const heardAfter: number[] = [];
    const hear = (): void => {
      heardAfter.push(waiting.due.length);
      if (waiting.due.length < 1000) waiting.clock.schedule(10, hear);
    };
    waiting.clock.schedule(10, hear);
    waiting.clock.advanceTo(10);
    expect(waiting.due.map(([sequence]) => sequence)).toEqual(Array.from({ length: 1000 }, (_, index) => index + 1));
    expect(heardAfter).toEqual([128, 256, 384, 512, 640, 768, 896, 1000]);
  });

  it('can be watched anew from inside', () => {
    const waiting = new Waiting();
    waiting.onDue = (sequence, nowMs) => {
      if (sequence < 3) waiting.enter(dueAt(sequence + 1, nowMs + 5));
    };
    waiting.enter(dueAt(1, 10));
    waiting.clock.advanceTo(100);
    expect(waiting.due).toEqual([[1, 10], [2, 15], [3, 20]]); // prettier-ignore
  });

  it('fire at their own instants in a queue that goes by another key, also for what came before it was known', () => {
    const waiting = new Waiting();
    waiting.enter(dueAt(1, 30));
    waiting.enter(dueAt(2, 40), 2);
    waiting.enter(dueAt(3, 20), 3);
    waiting.clock.advanceTo(100);
    // In the order of keys 2 would stand first and hide the others until 40.
    expect(waiting.due).toEqual([[3, 20], [1, 30], [2, 40]]); // prettier-ignore
  });

  it('fire for what is set aside, unless it may be late: then nothing changes for it', () => {
    const waiting = new Waiting();
    waiting.enterAside(dueAt(1, 20));
    waiting.enterAside(dueAt(2, 10, { isDeadlineDefaulted: true }));
    waiting.enterAside(dueAt(3, 10, { isBestEffort: true }));
    waiting.enter(dueAt(4, 15));
    waiting.enter(dueAt(5, 25, { isDeadlineDefaulted: true }));
    waiting.clock.advanceTo(100);
    expect(waiting.due).toEqual([[4, 15], [1, 20], [5, 25]]); // prettier-ignore
  });

  it('keep one timer, and none once stopped', () => {
    const waiting = new Waiting();
    for (let sequence = 1; sequence <= 9; sequence++) waiting.enter(dueAt(sequence, 100 - sequence));
    expect(waiting.clock.pendingCount).toBe(1);
    waiting.deadlines.stop();
    expect(waiting.clock.runUntilIdle()).toBe(0);
    expect(waiting.due).toEqual([]);
  });

  it('fire once for each that still waits, at its instant and in order, whatever comes and leaves in between', () => {
    const step = fc.record({
      kind: fc.constantFrom('enter', 'enter', 'enter by another key', 'enter aside', 'leave', 'pass'),
      inMs: fc.integer({ min: 0, max: 20 }),
      pick: fc.nat(),
      isLateAllowed: fc.boolean(),
    });
    fc.assert(
      fc.property(fc.array(step, { maxLength: 100 }), (steps) => {
        const waiting = new Waiting();
        const expected: InferRequest[] = [];
        let sequence = 0;
        for (const { kind, inMs, pick, isLateAllowed } of steps) {
          const nowMs = waiting.clock.nowMs();
          const request = dueAt(++sequence, nowMs + inMs + 1, { isDeadlineDefaulted: isLateAllowed });
          if (kind === 'enter') waiting.enter(request);
          else if (kind === 'enter by another key') waiting.enter(request, pick % 50);
          else if (kind === 'enter aside') waiting.enterAside(request);
          if (kind.startsWith('enter') && !(kind === 'enter aside' && mayBeLate(request))) expected.push(request);
          if (kind === 'pass') waiting.clock.advanceBy(inMs);
          if (kind === 'leave') {
            waiting.leave(pick % sequence);
            const index = expected.findIndex((each) => each.sequence === pick % sequence && each.dueAtMs > nowMs);
            if (index !== -1) expected.splice(index, 1);
          }
        }
        waiting.clock.advanceBy(100);
        expect(waiting.due).toEqual(expected.sort(compareByDeadline).map((each) => [each.sequence, each.dueAtMs]));
      }),
    );
  });
});
