import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { requestsToGiveUp, type PendingRequest } from './overload.js';

const request = (sequence: number, dueAtMs: number, cores: number, functions = 0): PendingRequest => ({
  ...{ sequence, dueAtMs, aloneMs: Math.max(cores, functions) },
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
