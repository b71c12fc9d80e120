import { describe, expect, it } from 'vitest';
import { acceptedCoding } from './body.js';

describe('acceptedCoding', () => {
  it.each([
    [undefined, null],
    ['', null],
    ['br', null],
    ['gzip', 'gzip'],
    ['deflate', 'deflate'],
    ['deflate, GZIP;q=0.5', 'gzip'],
    ['gzip;q=0, deflate', 'deflate'],
    ['gzip; q=0.0', null],
    ['gzip;q=0.01', 'gzip'],
    ['*', null],
  ] as const)('Accept-Encoding %j → %s', (header, expected) => {
    expect(acceptedCoding(header)).toBe(expected);
  });
});
