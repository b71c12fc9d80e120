import { PassThrough } from 'node:stream';
import { describe, expect, it } from 'vitest';
import { ReceiveBudget } from '../receive-budget.js';
import type { AssembledBody } from '../body-assembly.js';
import type { BodyPlace } from '../../../protocol/service.js';
import { acceptedCoding, ClientGone, readBody } from './body.js';

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
    expect(acceptedCoding(header)?.coding ?? null).toBe(expected);
  });

  it('knows who asks from who only says what it can read', () => {
    const asked = ['gzip', 'deflate;q=1', 'gzip;q=0, deflate', 'gzip, deflate', 'gzip, deflate, br'];
    expect(asked.map((header) => acceptedCoding(header)!.isAskedFor)).toEqual([true, true, true, false, false]);
  });
});

describe('readBody', () => {
  it('leaves nothing with the request that would keep the body while it waits', async () => {
    const stream = new PassThrough();
    const before = ['data', 'end', 'close'].map((event) => stream.listenerCount(event));
    const body = await new Promise<AssembledBody | undefined>((resolve) => {
      const limits = { maxBytes: 10, timeoutMs: 60_000, declaredBytes: null };
      readBody(stream, limits, new ReceiveBudget(1e6).open(), (_error, received) => resolve(received));
      stream.write('ab');
      stream.end('cd');
    });
    expect(body?.bytes.toString()).toBe('abcd');
    expect(['data', 'end', 'close'].map((event) => stream.listenerCount(event))).toEqual(before);
  });

  /** Of so many bytes; counts what becomes of the one that it gives. */
  function placeOf(byteCount: number): { place: BodyPlace; isReleased: () => boolean } {
    let releases = 0;
    const place = { bytes: new Uint8Array(byteCount), release: () => void (releases += 1) };
    return { place, isReleased: () => releases === 1 };
  }

  it('reads into a place, which is asked for when an eighth of the body has come', async () => {
    const stream = new PassThrough();
    const { place, isReleased } = placeOf(16);
    let isAsked = false;
    const findPlace = (): BodyPlace => {
      isAsked = true;
      return place;
    };
    const limits = { maxBytes: 16, timeoutMs: 60_000, declaredBytes: 16, findPlace };
    const body = await new Promise<AssembledBody | undefined>((resolve) => {
      readBody(stream, limits, new ReceiveBudget(1e6).open(), (_error, received) => resolve(received));
      stream.emit('data', Buffer.from('0'));
      expect(isAsked).toBe(false);
      stream.emit('data', Buffer.from('1'));
      expect(isAsked).toBe(true);
      stream.end('23456789abcdef');
    });
    expect(body?.bytes.toString()).toBe('0123456789abcdef');
    expect(body?.place).toBe(place);
    expect(Buffer.from(place.bytes).toString()).toBe('0123456789abcdef');
    expect(isReleased()).toBe(false);
  });

  it('gives the place back where the client leaves before the end', async () => {
    const stream = new PassThrough();
    const { place, isReleased } = placeOf(16);
    const limits = { maxBytes: 16, timeoutMs: 60_000, declaredBytes: 16, findPlace: () => place };
    const error = await new Promise<Error | null>((resolve) => {
      readBody(stream, limits, new ReceiveBudget(1e6).open(), resolve);
      stream.emit('data', Buffer.from('0123'));
      stream.destroy();
    });
    expect(error).toBeInstanceOf(ClientGone);
    expect(isReleased()).toBe(true);
  });
});
