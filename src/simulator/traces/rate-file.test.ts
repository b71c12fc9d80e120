import { describe, expect, it } from 'vitest';
import { parseRates } from './rate-file.js';
import { forEachDataLine, MAX_TRACE_LINES } from './trace-text.js';

describe('a file of request rates', () => {
  it('has a number a line; comments and empty lines are no seconds', () => {
    expect(parseRates('load.txt', '# a morning\n12\n\n 0.5 \r\n0 # pause\n1e2')).toEqual([12, 0.5, 0, 100]);
  });

  it.each([
    ['12\nmany\n', 'load.txt:2: the rate is "many", not a number; write one number ≥ 0 a line, requests/s'],
    ['12\n3 4\n', 'load.txt:2: the rate is "3 4", not a number; '],
    ['# x\n-3\n', 'load.txt:2: the rate is -3, below 0; '],
    ['# only words\n', 'load.txt: no data; give a file with at least one line of numbers'],
    ['0\n0\n', 'load.txt: every rate is 0; give one above 0'],
  ])('is refused where it is %j', (text, message) => {
    expect(() => parseRates('load.txt', text)).toThrow(message);
  });
});

describe('a text', () => {
  it('has a bounded number of lines, empty ones too', () => {
    const text = '\n'.repeat(MAX_TRACE_LINES);
    expect(() => forEachDataLine('a', text, () => undefined)).toThrow('a: no data');
    expect(() => forEachDataLine('a', `${text}1`, () => undefined)).toThrow(
      'a:5000001: more than 5000000 lines; shorten the file',
    );
  });
});
