import { describe, expect, it } from 'vitest';
import { FetchProgressLine } from './fetch-progress.js';

describe('the line of a fetch', () => {
  it('says how much there is of how much, how fast, and how long it takes', () => {
    let atMs = 0;
    const lines: string[] = [];
    const line = new FetchProgressLine(
      (text) => lines.push(text),
      () => atMs,
    );
    line.at('m.onnx', 10_000_000, 40_000_000);
    atMs = 100;
    line.at('m.onnx', 11_000_000, 40_000_000);
    atMs = 1000;
    // 5 MB in a second since it was begun; what was there before came in no time.
    line.at('m.onnx', 15_000_000, 40_000_000);
    expect(lines).toEqual([
      'fetching m.onnx: 10.0 of 40.0 MB (25 %)',
      'fetching m.onnx: 15.0 of 40.0 MB (37 %), 5.0 MB/s, 5 s left',
    ]);
  });

  it('is of all files where they are known, and of none where the length is not', () => {
    const lines: string[] = [];
    const all = new FetchProgressLine(
      (text) => lines.push(text),
      () => 0,
    );
    all.expect(3, 8_000_000);
    all.at('a', 2_000_000, 2_000_000);
    all.at('b', 1_000_000, 3_000_000);
    new FetchProgressLine(
      (text) => lines.push(text),
      () => 0,
    ).at('c', 500_000, null);
    expect(lines).toEqual(['fetching a: 2.0 of 8.0 MB (25 %), file 1 of 3', 'fetching c: 0.5 MB']);
  });
});
