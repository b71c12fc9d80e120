import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { ModelReport } from '../scheduler/domain/pod-report.js';
import { ModelRoom } from './model-room.js';

/** One instance, 30 ms alone, 10 ms each in full batches; nothing waits. */
function report(fields: Partial<ModelReport> = {}): ModelReport {
  return {
    name: 'm',
    version: '1',
    isLatest: true,
    isReady: true,
    heldRequests: 0,
    defaultSloMs: 1000,
    requestBytes: 0,
    leastMs: 20,
    aloneMs: 30,
    instanceCount: 1,
    requestMs: 10,
    marks: [{ dueInMs: 0, startInMs: 0, doneInMs: 0, roomMs: null }],
    spareCoreSeconds: 1,
    ...fields,
  };
}

/** One waits that is due in 200 ms and done in 50, another that is due in 500 and done in 100. */
const WAITING = report({
  marks: [
    { dueInMs: 0, startInMs: 20, doneInMs: 20, roomMs: 150 },
    { dueInMs: 200, startInMs: 50, doneInMs: 50, roomMs: 150 },
    { dueInMs: 500, startInMs: 100, doneInMs: 100, roomMs: 400 },
  ],
});

const spareOf = (room: ModelRoom, nowMs: number, dueAtMs: number): number =>
  room.standing(nowMs, dueAtMs, null).spareMs;

describe('room', () => {
  it('of a pod that does nothing is the budget without what a request takes', () => {
    expect(spareOf(new ModelRoom(report(), 1000), 1000, 1100)).toBe(70);
    // The report is old by now, and the pod still does nothing.
    expect(spareOf(new ModelRoom(report(), 1000), 5000, 5100)).toBe(70);
  });

  it('is behind whom is due before, and takes from those behind', () => {
    const room = new ModelRoom(WAITING, 1000);
    // First of all: 100 − 20 − 30 = 50; the others can spare 150 − 10.
    expect(spareOf(room, 1000, 1100)).toBe(50);
    // Behind the first: 300 − 50 − 30 = 220.
    expect(spareOf(room, 1000, 1300)).toBe(220);
    // Behind the first, and the second can spare 400 − 10 = 390, which is less than 499 − 80.
    expect(spareOf(room, 1000, 1499)).toBe(390);
    // Behind all: 600 − 100 − 30.
    expect(spareOf(room, 1000, 1600)).toBe(470);
  });

  it('is what it was while the pod works, and less once it should be through', () => {
    const room = new ModelRoom(WAITING, 1000);
    expect(spareOf(room, 1050, 1600)).toBe(470);
    expect(spareOf(room, 1150, 1600)).toBe(420);
  });

  it('is behind a batch that has begun, whoever is due before it', () => {
    const room = new ModelRoom(WAITING, 1000);
    // At 1020 the first begins, until 1050.
    expect(spareOf(room, 1020, 1190)).toBe(1190 - 1020 - 30);
    expect(spareOf(room, 1021, 1190)).toBe(1190 - 1050 - 30);
    // At 1050 the second began as well.
    expect(spareOf(room, 1060, 1190)).toBe(1190 - 1100 - 30);
  });

  it('is taken from others by more where there is no time for a full batch', () => {
    const room = new ModelRoom(report({ marks: [{ dueInMs: 0, startInMs: 20, doneInMs: 20, roomMs: null }] }), 0);
    // 60 − 20 = 40 are left when it starts, of the 150 of a full batch: nine tenths of a batch of its own, and so 28.33 ms.
    room.place(0, 60, null);
    expect(room.finishAtMs(0)).toBeCloseTo(20 + (30 - (20 * (40 / 30 - 1)) / 4) + 30, 6);
    // Who has the time for one costs a share of it.
    room.place(0, 1000, null);
    expect(room.finishAtMs(0)).toBeCloseTo(20 + (30 - (20 * (40 / 30 - 1)) / 4) + 10 + 30, 6);
  });

  it('counts what is sent: one that begins a batch takes what it takes alone, others what one more takes', () => {
    const room = new ModelRoom(report(), 1000);
    room.place(1000, 1500, null);
    // From 1030 on.
    expect(spareOf(room, 1000, 1600)).toBe(540);
    room.place(1000, 1500, null);
    expect(spareOf(room, 1000, 1600)).toBe(530);
    // Before both: 400 − 30; and they can spare (500 − 30 − 30) − 10.
    expect(spareOf(room, 1000, 1400)).toBe(370);
    expect(room.finishAtMs(1000)).toBe(1070);
  });

  it('is hoped for by what is sure, and by less than a batch that is missing', () => {
    const room = new ModelRoom(WAITING, 1000);
    // 70 − 20 − 20 = 30, and three quarters of 30 more.
    expect(room.standing(1000, 1070, null).hopeMs).toBe(52.5);
    // One that could start at once is hoped for by what is sure alone.
    expect(new ModelRoom(report(), 1000).standing(1000, 1019, null).hopeMs).toBe(-1);
  });

  it('takes a larger request for more, and refuses nobody for that', () => {
    const room = new ModelRoom(report({ requestBytes: 1000 }), 1000);
    expect(room.standing(1000, 1100, 2000)).toEqual({ spareMs: 40, hopeMs: 80 });
    expect(room.standing(1000, 1100, 500)).toEqual({ spareMs: 85, hopeMs: 90 });
    expect(room.standing(1000, 1100, null)).toEqual({ spareMs: 70, hopeMs: 80 });
  });

  it('only ever becomes less by what is sent, and is told in a bounded number of marks', () => {
    const placements = fc.array(fc.record({ afterMs: fc.nat(20), budgetMs: fc.integer({ min: 1, max: 3000 }) }), {
      maxLength: 200,
    });
    fc.assert(
      fc.property(placements, fc.integer({ min: 1, max: 3000 }), (sent, budgetMs) => {
        const room = new ModelRoom(WAITING, 0);
        let nowMs = 0;
        for (const { afterMs, budgetMs: own } of sent) {
          nowMs += afterMs;
          const dueAtMs = nowMs + budgetMs;
          const before = room.standing(nowMs, dueAtMs, null);
          room.place(nowMs, nowMs + own, null);
          const after = room.standing(nowMs, dueAtMs, null);
          expect(after.spareMs).toBeLessThanOrEqual(before.spareMs + 1e-9);
          expect(after.hopeMs).toBeLessThanOrEqual(before.hopeMs + 0.75 * 30 + 1e-9);
        }
      }),
    );
  });

  it('agrees with going through everyone, one after another', () => {
    // One instance, no gain of batches: then everybody takes 10 ms, whoever it is, and EDF is a plain sum.
    const dues = fc.array(fc.integer({ min: 1, max: 400 }), { maxLength: 30 });
    fc.assert(
      fc.property(dues, fc.integer({ min: 1, max: 400 }), (placed, due) => {
        const room = new ModelRoom(report({ aloneMs: 10, leastMs: 10 }), 0);
        for (const each of placed) room.place(0, each, null);
        const before = placed.filter((each) => each <= due);
        const ownMs = due - 10 * (before.length + 1);
        const behind = placed.filter((each) => each > due).sort((a, b) => a - b);
        const behindMs = behind.map((each, index) => each - 10 * (before.length + index + 1) - 10);
        expect(spareOf(room, 0, due)).toBeCloseTo(Math.min(ownMs, ...behindMs), 6);
      }),
    );
  });
});
