import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { Event } from '../../scheduler/domain/event.js';
import { EventDigest } from './event-digest.js';

function digestOf(events: readonly Event[]): string {
  const digest = new EventDigest();
  for (const event of events) digest.observe(event);
  return digest.text;
}

const resized = (atMs: number, cpuMillicores: number): Event => ({
  kind: 'resized',
  atMs,
  resizeId: 1,
  cpuMillicores,
  isWritten: true,
  tookMs: 0,
});

describe('the event digest', () => {
  it('is 16 hexadecimal digits', () => {
    expect(digestOf([resized(1, 1000)])).toMatch(/^[0-9a-f]{16}$/);
  });

  it('tells logs apart that differ in order, in an instant by its last bit, or in what happened', () => {
    const texts = [
      digestOf([]),
      digestOf([resized(1, 1000), resized(2, 2000)]),
      digestOf([resized(2, 2000), resized(1, 1000)]),
      digestOf([resized(1, 1000), resized(2 + 2 ** -51, 2000)]),
      digestOf([resized(1, 1000), resized(2, 2001)]),
      digestOf([resized(1, 1000), { kind: 'worker-ready', atMs: 2 }]),
    ];
    expect(new Set(texts).size).toBe(texts.length);
  });

  it('hardly ever gives two numbers the same digest', () => {
    const seen = new Set<string>();
    const values = fc.sample(fc.double({ noNaN: true }), { numRuns: 20_000, seed: 7 });
    for (const value of new Set(values.map((each) => each + 0))) {
      const digest = new EventDigest();
      digest.add(value);
      seen.add(digest.text);
    }
    expect(seen.size).toBe(new Set(values.map((each) => each + 0)).size);
  });
});
