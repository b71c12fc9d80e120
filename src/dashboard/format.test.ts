import { describe, expect, it } from 'vitest';
import { ago, cores, duration, elapsed, NOTHING, percent, perSecond, significant, whole } from './format.js';

describe('numbers for people', () => {
  it('have as many digits as they are worth', () => {
    expect([0, 0.0123, 0.5, 9.876, 98.76, 987.6, -0.25].map(significant)).toEqual([
      '0',
      '0.012',
      '0.50',
      '9.88',
      '98.8',
      '988',
      '−0.25',
    ]);
  });

  it('have their unit', () => {
    expect([0.0931, 84.4, -12.2, 2500, 12_345].map(duration)).toEqual([
      '0.093 ms',
      '84 ms',
      '−12 ms',
      '2.50 s',
      '12.3 s',
    ]);
    expect(cores(2500)).toBe('2.50');
    expect([9.96, 123.4].map(perSecond)).toEqual(['10.0', '123']);
    expect(whole(1_234_567)).toBe('1\u202f234\u202f567');
  });

  it('do not round up to all', () => {
    expect([1, 0.99996, 0.9994, 0.987, 0].map(percent)).toEqual(['100 %', '99.99 %', '99.94 %', '98.7 %', '0 %']);
  });

  it('are a dash where there is nothing', () => {
    for (const format of [cores, duration, percent, perSecond, whole]) {
      expect([format(null), format(undefined), format(NaN)]).toEqual([NOTHING, NOTHING, NOTHING]);
    }
  });
});

describe('instants', () => {
  it('count from the start of a log', () => {
    expect([0, 59.6, 62.5, 3725].map((sec) => elapsed(sec))).toEqual(['0:00', '1:00', '1:03', '1:02:05']);
    expect([2.5, 59.999].map((sec) => elapsed(sec, 2))).toEqual(['0:02.50', '1:00.00']);
  });

  it('count back from now', () => {
    expect([0, 0.25, 30, 90, 180].map(ago)).toEqual(['now', '−0.25 s', '−30 s', '−90 s', '−3 min']);
  });
});
