import { describe, expect, it } from 'vitest';
import { authorsBandwidth, ghentBandwidth, parseGhent } from './ghent.js';

const FIRST_ROW = '1450274031248 725 51.0638457375333 3.73004886707942 3263799 725';
const SECOND_ROW = '1450274032248 1725 51.0638457375333 3.73004886707942 2000500 1000';

describe('a Ghent log', () => {
  const log = parseGhent('bus.log', `${FIRST_ROW}\n${SECOND_ROW}\n`);

  it('gives the length and bandwidth of each row, exact and as the authors cut it', () => {
    // 3 263 799 bytes / 725 ms = 4501.79.
    expect(log).toEqual({
      stepMs: [725, 1000],
      bytesPerMs: [3263799 / 725, 2000.5],
      truncatedBytesPerMs: [4501, 2000],
    });
  });

  it('becomes a trace whose steps last as long as the rows say', () => {
    const trace = ghentBandwidth('bus.log', log);
    expect(trace.durationMs).toBe(1725);
    expect(trace.bytesPerMsAt(724)).toBe(3263799 / 725);
    expect(trace.bytesPerMsAt(725)).toBe(2000.5);
    expect(trace.transferEndAtMs(0, 3263799)).toBeCloseTo(725, 9);
  });

  it("becomes the authors' trace with a second for each row", () => {
    const trace = authorsBandwidth('bus.log', log);
    expect(trace.durationMs).toBe(2000);
    expect([0, 999, 1000, 2000].map((atMs) => trace.bytesPerMsAt(atMs))).toEqual([4501, 4501, 2000, 4501]);
  });

  it('may have carriage returns, other white space and rows without bytes', () => {
    const { bytesPerMs } = parseGhent('bus.log', `${FIRST_ROW}\r\n\r\n 1 2\t3 4  0 1000 \r\n`);
    expect(bytesPerMs).toEqual([3263799 / 725, 0]);
  });

  it.each([
    ['1 2 3 4 5\n', 'bus.log:2: 5 columns instead of 6; a row of a Ghent log is: epoch ms, ms since start, latitude'],
    ['1 2 3 4 5 6 7\n', 'bus.log:2: 7 columns instead of 6; a row of a Ghent log is'],
    ['1 2 3 4 x 1000\n', 'bus.log:2: bytes since last row is "x", not a number; a row of a Ghent log is'],
    ['1 2 north 4 5 1000', 'bus.log:2: latitude is "north", not a number; '],
    ['1 2 3 4 -5 1000', 'bus.log:2: bytes since last row is -5, below 0; '],
    ['1 2 3 4 5 0', 'bus.log:2: no time has passed since the last row; remove the row'],
    ['1 2 3 4 5 NaN', 'bus.log:2: ms since last row is "NaN", not a number; '],
  ])('is refused with the line where a row is %j', (row, message) => {
    expect(() => parseGhent('bus.log', `${FIRST_ROW}\n${row}`)).toThrow(message);
  });

  it('is refused where it is empty or carries nothing', () => {
    expect(() => parseGhent('bus.log', '\n\n')).toThrow(
      'bus.log: no data; give a file with at least one line of numbers',
    );
    const silent = parseGhent('bus.log', '1 2 3 4 0 1000\n');
    expect(() => ghentBandwidth('bus.log', silent)).toThrow('bus.log: no bandwidth anywhere, no transfer would end; ');
  });
});
