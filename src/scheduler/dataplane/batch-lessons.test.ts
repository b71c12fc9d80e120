import { describe, expect, it } from 'vitest';
import { endedAtMs } from './batch-lessons.js';

/** Began at 100; 40 ms of it the worker computed. */
const batch = { startedAtMs: 100 };
const completed = { kind: 'completed', outputs: [], computeMs: 40 } as const;

describe('the end of a batch', () => {
  it('is when its result came', () => {
    expect(endedAtMs(145, batch, completed)).toBe(145);
    expect(endedAtMs(145, batch, { kind: 'aborted', message: 'too long' })).toBe(145);
  });

  it('is at most so much earlier as its result may have lain unread', () => {
    expect(endedAtMs(900, batch, { ...completed, unreadMs: 300 })).toBe(600);
  });

  it('is not before the worker had computed it', () => {
    expect(endedAtMs(900, batch, { ...completed, unreadMs: 850 })).toBe(140);
  });

  it('is never after it was read', () => {
    // Two clocks: the worker measured more than the router did.
    expect(endedAtMs(130, batch, { ...completed, unreadMs: 0 })).toBe(130);
  });
});
