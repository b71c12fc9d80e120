import { describe, expect, it } from 'vitest';
import { parseMahimahi } from './mahimahi.js';

describe('a Mahimahi trace', () => {
  it('delivers 1500 bytes a line, in bins of 100 ms that end with their last millisecond', () => {
    // (0, 100]: 10, 10, 100 → 3 packets; (100, 200]: 101 → 1; (200, 250]: 250 → 1 in a bin of 50 ms.
    const trace = parseMahimahi('cell.up', '10\n10\n100\n101\n250\n');
    expect(trace.durationMs).toBe(250);
    expect([0, 100, 200].map((atMs) => trace.bytesPerMsAt(atMs))).toEqual([45, 15, 30]);
  });

  it('repeats after its last line, and keeps its mean', () => {
    const trace = parseMahimahi('cell.up', '10\n10\n100\n101\n250\n');
    expect(trace.bytesPerMsAt(250)).toBe(45);
    expect(trace.transferEndAtMs(0, 5 * 1500)).toBeCloseTo(250, 9);
    expect(trace.transferEndAtMs(0, 50 * 1500)).toBeCloseTo(2500, 9);
  });

  it('has bins without packets, packets at 0 ms, and other bins if asked', () => {
    const trace = parseMahimahi('cell.up', '0\n30\n');
    expect(trace.bytesPerMsAt(0)).toBe(100);
    const fine = parseMahimahi('cell.up', '0\n30\n', 10);
    expect([0, 10, 20].map((atMs) => fine.bytesPerMsAt(atMs))).toEqual([150, 0, 150]);
    expect(() => parseMahimahi('cell.up', '30\n', 0)).toThrow(RangeError);
  });

  it.each([
    ['5\nabc\n', 'cell.up:2: the instant is "abc", not a number; a line of a Mahimahi trace is a whole number of ms'],
    ['5\n7.5\n', 'cell.up:2: the instant "7.5" is not a whole number of ms; for Mbit/s, name the file .csv'],
    ['5\n-1\n', 'cell.up:2: the instant is -1, below 0; '],
    ['# made by hand\n5\n3\n', 'cell.up:3: 3 ms comes after 5 ms; sort the lines; for Mbit/s, name the file .csv'],
    ['5\n1450274031248\n', 'cell.up:2: the trace is longer than 604800000 ms; shorten it; instants are in ms'],
    ['0\n0\n', 'cell.up: the trace lasts 0 ms; its last line must be after 0 ms'],
    ['', 'cell.up: no data; '],
  ])('is refused where it is %j', (text, message) => {
    expect(() => parseMahimahi('cell.up', text)).toThrow(message);
  });
});
