import { describe, expect, it } from 'vitest';
import { lengthsApart, paddedLength, statedLengths, stepOf } from './lengths.js';

const line =
  (runMs: number, tokenMs: number) =>
  (tokens: number): number =>
    runMs + tokens * tokenMs;

describe('the lengths that texts are padded to', () => {
  it('lie as far apart as a run costs without any tokens, by powers of two', () => {
    // 2.4 / 0.3 = 8 tokens; 2.3 / 0.3 is less.
    expect(stepOf(line(2.41, 0.3), 256)).toBe(8);
    expect(stepOf(line(2.3, 0.3), 256)).toBe(4);
    expect(stepOf(line(20, 0.3), 256)).toBe(64);
  });

  it('lie within bounds, whatever was learnt', () => {
    expect(stepOf(line(0, 1), 512)).toBe(4);
    expect(stepOf(line(1000, 1), 512)).toBe(64);
    expect(stepOf(line(1, 0), 512)).toBe(64);
    expect(stepOf(() => null, 512)).toBe(8);
    expect(stepOf(line(1, 1), 8)).toBe(8);
  });

  it('lie further apart where they are long, so that padding stays an eighth at most', () => {
    const lengths = lengthsApart(4, 256);
    expect(lengths.slice(0, 3)).toEqual([4, 8, 12]);
    expect(lengths.slice(-3)).toEqual([224, 240, 256]);
    expect(lengths).toHaveLength(32);
    for (let tokens = 33; tokens <= 256; tokens++)
      expect(paddedLength(tokens, lengths) / tokens - 1, String(tokens)).toBeLessThan(1 / 8);
    expect(lengthsApart(64, 50)).toEqual([50]);
  });

  it('are as stated, in order, up to the longest text; none stays none', () => {
    expect(statedLengths([64, 16, 16, 900], 100)).toEqual([16, 64, 100]);
    expect(statedLengths([], 100)).toEqual([]);
    expect([1, 16, 17, 101].map((tokens) => paddedLength(tokens, [16, 64, 100]))).toEqual([16, 16, 64, 101]);
    expect(paddedLength(7, [])).toBe(7);
  });
});
