import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { loadAuthorsTrace, loadRates, loadTrace, readTraceText } from './load-trace.js';

const folder = mkdtempSync(join(tmpdir(), 'sponge-traces-'));
afterAll(() => {
  rmSync(folder, { recursive: true });
});

function file(name: string, text: string): string {
  const path = join(folder, name);
  writeFileSync(path, text);
  return path;
}

describe('loadTrace', () => {
  it.each([
    ['bus.log', '1450274031248 725 51.0638457375333 3.73004886707942 3263799 725\n', 725, 3263799 / 725],
    ['bus.txt', '\n1 2 3 4 2000 1000\n', 1000, 2],
    ['cell.down', '50\n50\n', 50, 60],
    ['cell', '# recorded by hand\n50\n50\n', 50, 60],
    ['log.csv', 'seconds,megabytes_per_s\n0,1\n1,2\n', 2000, 1000],
    ['log.txt', 'seconds,megabytes_per_s\n0,1\n1,2\n', 2000, 1000],
    ['whole.csv', '8\n16\n', 2000, 1000],
    ['fractions.txt', '8.0\n16.0\n', 2000, 1000],
  ])('reads %s in its own format', (name, text, durationMs, firstBytesPerMs) => {
    const trace = loadTrace(file(name, text));
    expect(trace.durationMs).toBe(durationMs);
    expect(trace.bytesPerMsAt(0)).toBe(firstBytesPerMs);
  });

  it('says what to do where whole Mbit/s look like Mahimahi', () => {
    const path = file('rates.txt', '20\n25\n18\n');
    expect(() => loadTrace(path)).toThrow(
      `${path}:3: 18 ms comes after 25 ms; sort the lines; for Mbit/s, name the file .csv`,
    );
  });

  it('names a file that is missing, no file, or too large', () => {
    const missing = join(folder, 'missing.csv');
    expect(() => loadTrace(missing)).toThrow(`${missing}: no such file; check the path`);
    expect(() => loadTrace(folder)).toThrow(`${folder}: not a regular file; give the path of a text file`);
    const path = file('large.csv', '12345\n');
    expect(() => readTraceText(path, 5)).toThrow(`${path}: 6 bytes, more than 5; shorten the file`);
    expect(readTraceText(path, 6)).toBe('12345\n');
  });

  it('complains about what is no text at all', () => {
    const path = file('image.bin', '\u0000\u001bPNG\u0000');
    expect(() => loadTrace(path)).toThrow(`${path}:1: no column seconds | ms in "\\u0000\\u001bPNG\\u0000"; `);
  });
});

describe('loadAuthorsTrace', () => {
  it('reads a Ghent log a row a second in whole bytes/ms, other formats as they are', () => {
    // 3 263 799 bytes / 725 ms = 4501.79.
    const trace = loadAuthorsTrace(file('a.log', '1450274031248 725 51.0638457375333 3.73004886707942 3263799 725\n'));
    expect([trace.durationMs, trace.bytesPerMsAt(0)]).toEqual([1000, 4501]);
    expect(loadAuthorsTrace(file('a.csv', 'ms,bytes_per_ms\n0,1.5\n20,2\n')).bytesPerMsAt(0)).toBe(1.5);
  });
});

describe('loadRates', () => {
  it('reads a number a line', () => {
    expect(loadRates(file('load.txt', '# requests/s\n3\n4.5\n'))).toEqual([3, 4.5]);
  });
});
