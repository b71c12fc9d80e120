import { describe, expect, it } from 'vitest';
import { parseBandwidthCsv } from './csv.js';

describe('bandwidth as CSV', () => {
  it.each([
    ['seconds,mbit_per_s', '0,8', '1.5,16', [1000, 2000, 1500, 3000]],
    ['ms,bytes_per_ms', '0,1000', '20,2000', [1000, 2000, 20, 40]],
    ['ms,megabytes_per_s', '5,0.5', '25,4', [500, 4000, 20, 40]],
    // In any order, with others, spaces and capitals.
    ['place, Mbit_per_s , MS', 'bridge, 8, 100', 'quay, 16, 110', [1000, 2000, 10, 20]],
  ])('reads %s', (header, first, second, [firstRate, secondRate, borderMs, durationMs]) => {
    const trace = parseBandwidthCsv('a.csv', `${header}\n${first}\n${second}\n`);
    // 8 Mbit/s = 10^6 bytes/s = 1000 bytes/ms. The last row lasts as long as the one before it.
    expect(trace.bytesPerMsAt(0)).toBe(firstRate);
    expect(trace.bytesPerMsAt(borderMs! - 0.001)).toBe(firstRate);
    expect(trace.bytesPerMsAt(borderMs!)).toBe(secondRate);
    expect(trace.durationMs).toBe(durationMs);
  });

  it('reads one column without a header as Mbit/s, a row a second', () => {
    const trace = parseBandwidthCsv('a.csv', '\uFEFF# drive home\n8\n0\n.8e1 # tunnel\n');
    expect(trace.durationMs).toBe(3000);
    expect([0, 1000, 2000].map((atMs) => trace.bytesPerMsAt(atMs))).toEqual([1000, 0, 1000]);
  });

  it('makes a constant of one row', () => {
    expect(parseBandwidthCsv('a.csv', 'ms,bytes_per_ms\n7,3\n').bytesPerMsAt(12_345)).toBe(3);
  });

  it.each([
    [
      'time,mbit_per_s\n0,1',
      'a.csv:1: no column seconds | ms in "time,mbit_per_s"; give a header with seconds | ms and',
    ],
    ['ms,rate\n0,1', 'a.csv:1: no column bytes_per_ms | mbit_per_s | megabytes_per_s in "ms,rate"; give a header with'],
    ['ms,seconds,bytes_per_ms', 'a.csv:1: more than one column seconds | ms in "ms,seconds,bytes_per_ms"; '],
    ['1,5\n2,5\n', 'a.csv:1: no column seconds | ms in "1,5"; give a header'],
    ['3\n2,5\n', 'a.csv:2: 2 columns instead of 1; separate by commas; decimals take a point'],
    ['ms,bytes_per_ms\n0,1\n1\n', 'a.csv:3: 1 columns instead of 2; '],
    ['ms,bytes_per_ms\n0,1\n1,\n', 'a.csv:3: the bandwidth is "", not a number; write a number ≥ 0'],
    ['ms,bytes_per_ms\n0,1\n\n1,0x10\n', 'a.csv:4: the bandwidth is "0x10", not a number; '],
    ['ms,bytes_per_ms\n0,-1\n', 'a.csv:2: the bandwidth is -1, below 0; '],
    ['ms,bytes_per_ms\n0,1e999\n', 'a.csv:2: the bandwidth is "1e999", not a number; '],
    ['ms,bytes_per_ms\n0,1\n0,2\n', 'a.csv:3: 0 ms comes after 0 ms; sort the rows, one an instant'],
    ['ms,bytes_per_ms\n', 'a.csv: a header and no rows; add a row'],
    ['ms,bytes_per_ms\n0,0\n', 'a.csv: no bandwidth anywhere, no transfer would end; give a trace with some'],
    ['ms,bytes_per_ms\n0,1e308\n', 'a.csv: the bandwidth overflows; check its unit'],
    ['', 'a.csv: no data; '],
  ])('is refused where it is %j', (text, message) => {
    expect(() => parseBandwidthCsv('a.csv', text)).toThrow(message);
  });

  it('quotes only the beginning of what is not a number', () => {
    const text = `ms,bytes_per_ms\n0,${'x'.repeat(1000)}\n`;
    expect(() => parseBandwidthCsv('a.csv', text)).toThrow(`the bandwidth is "${'x'.repeat(40)}…", not a number`);
  });
});
