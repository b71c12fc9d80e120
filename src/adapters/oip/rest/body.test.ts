import { PassThrough } from 'node:stream';
import { describe, expect, it } from 'vitest';
import { ReceiveBudget } from '../receive-budget.js';
import { acceptedCoding, readBody } from './body.js';

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

describe('readBody', () => {
  it('leaves nothing with the request that would keep the body while it waits', async () => {
    const stream = new PassThrough();
    const before = ['data', 'end', 'close'].map((event) => stream.listenerCount(event));
    const body = await new Promise<Buffer | undefined>((resolve) => {
      const limits = { maxBytes: 10, timeoutMs: 60_000, declaredBytes: null };
      readBody(stream, limits, new ReceiveBudget(1e6).open(), (_error, bytes) => resolve(bytes));
      stream.write('ab');
      stream.end('cd');
    });
    expect(body?.toString()).toBe('abcd');
    expect(['data', 'end', 'close'].map((event) => stream.listenerCount(event))).toEqual(before);
  });
});
