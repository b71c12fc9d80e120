import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { isTooMuch, requestsToGiveUp, type PendingRequest } from './overload.js';

const request = (sequence: number, dueAtMs: number, cores: number, functions = 0): PendingRequest => ({
  ...{ sequence, dueAtMs, aloneMs: Math.max(cores, functions), hasBegun: false },
  workMs: new Map([
    ['cores', cores],
    ['functions', functions],
  ]),
});

/** Whether all can be met, by deadline, one resource beside the other. */
function areMet(nowMs: number, kept: readonly PendingRequest[]): boolean {
  return ['cores', 'functions'].every((resource) => {
    let endMs = nowMs;
    return [...kept]
      .sort((a, b) => a.dueAtMs - b.dueAtMs)
      .every(({ dueAtMs, workMs }) => (endMs += workMs.get(resource)!) <= dueAtMs || workMs.get(resource) === 0);
  });
}

/** The most that any choice of requests keeps. */
function mostKept(nowMs: number, pending: readonly PendingRequest[]): number {
  let most = 0;
  for (let choice = 0; choice < 2 ** pending.length; choice++) {
    const kept = pending.filter((_, index) => (choice >> index) & 1);
    if (kept.length > most && areMet(nowMs, kept)) most = kept.length;
  }
  return most;
}

const requests = (functionMs: fc.Arbitrary<number>): fc.Arbitrary<PendingRequest[]> =>
  fc
    .array(fc.tuple(fc.integer({ min: 1, max: 120 }), fc.integer({ min: 1, max: 40 }), functionMs), { maxLength: 8 })
    .map((all) => all.map(([due, cores, functions], index) => request(index, due, cores, functions)));

describe('whom to give up', () => {
  it('is nobody while all can be met', () => {
    // 10 + 20 = 30 ≤ 30, and 30 + 30 = 60 ≤ 60.
    expect(requestsToGiveUp(0, [request(1, 10, 10), request(2, 30, 20), request(3, 60, 30)])).toEqual(new Set());
  });

  it('is who has the most left to do, and of those alike the newest', () => {
    // Due at 50 with 60 to do: the 30 of the second go.
    expect(requestsToGiveUp(0, [request(1, 50, 10), request(2, 50, 30), request(3, 50, 20)])).toEqual(new Set([2]));
    expect(requestsToGiveUp(0, [request(1, 50, 20), request(2, 50, 20), request(3, 50, 20)])).toEqual(new Set([3]));
  });

  it('is nobody for whom something was done already', () => {
    const begun = { ...request(1, 50, 40), hasBegun: true };
    // 40 + 20 > 50: the newcomer goes, though the other has more to do; and nobody, where all have begun.
    expect(requestsToGiveUp(0, [begun, request(2, 50, 20)])).toEqual(new Set([2]));
    expect(requestsToGiveUp(0, [begun, { ...request(2, 50, 20), hasBegun: true }])).toEqual(new Set());
  });

  it('is nobody else for one that is lost by itself', () => {
    expect(requestsToGiveUp(0, [request(1, 10, 20), request(2, 25, 20)])).toEqual(new Set());
  });

  it('counts resources beside each other', () => {
    expect(requestsToGiveUp(0, [request(1, 30, 30, 0), request(2, 30, 0, 30)])).toEqual(new Set());
    expect(requestsToGiveUp(0, [request(1, 30, 0, 20), request(2, 30, 0, 20)])).toEqual(new Set([2]));
  });

  it('is as few as any choice can give up of one resource, and leaves those who can be met', () => {
    fc.assert(
      fc.property(requests(fc.constant(0)), fc.integer({ min: 0, max: 30 }), (pending, nowMs) => {
        const given = requestsToGiveUp(nowMs, pending);
        const lost = pending.filter(({ dueAtMs, aloneMs }) => nowMs + aloneMs > dueAtMs);
        const kept = pending.filter((each) => !given.has(each.sequence) && !lost.includes(each));
        expect(areMet(nowMs, kept)).toBe(true);
        expect(kept.length).toBe(mostKept(nowMs, pending));
      }),
      { numRuns: 2000 },
    );
  });

  it('leaves those who can be met of two resources', () => {
    fc.assert(
      fc.property(requests(fc.integer({ min: 0, max: 40 })), (pending) => {
        const given = requestsToGiveUp(0, pending);
        const kept = pending.filter((each) => !given.has(each.sequence) && each.aloneMs <= each.dueAtMs);
        expect(areMet(0, kept)).toBe(true);
      }),
    );
  });
});

describe('whether a newcomer is too much', () => {
  const held = [request(1, 40, 20), request(2, 100, 30)];

  it('is asked of itself, behind whoever is due before it, with all work so many times what is predicted', () => {
    // 20 + 10 = 30 ≤ 50, and 1.7 · 30 = 51.
    expect(isTooMuch(0, held, request(3, 50, 10), 1)).toBe(false);
    expect(isTooMuch(0, held, request(3, 50, 10), 1.7)).toBe(true);
  });

  it('is asked of those behind it, and of nobody before it', () => {
    // 20 + 40 + 30 = 90 ≤ 100; 20 + 55 + 30 = 105.
    expect(isTooMuch(0, held, request(3, 90, 40), 1)).toBe(false);
    expect(isTooMuch(0, held, request(3, 90, 55), 1)).toBe(true);
    // The first is late by itself at three times 20, which is none of the newcomer's affair: 3 · (20 + 5) ≤ 80, 3 · 55 ≤ 170.
    expect(isTooMuch(0, [request(1, 40, 20), request(2, 170, 30)], request(3, 80, 5), 3)).toBe(false);
  });

  it('is asked of each resource that it takes', () => {
    expect(isTooMuch(0, [request(1, 30, 0, 30)], request(2, 40, 35, 0), 1)).toBe(false);
    expect(isTooMuch(0, [request(1, 30, 0, 30)], request(2, 40, 0, 15), 1)).toBe(true);
  });
});
