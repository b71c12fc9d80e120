import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { outlineJson } from './json-outline.js';

const costOf = (text: string): number => outlineJson(Buffer.from(text)).cost;

function membersOf(value: unknown): number {
  if (typeof value !== 'object' || value === null) return 0;
  const inner = Object.values(value).reduce((sum: number, each) => sum + membersOf(each), 0);
  return inner + (Array.isArray(value) ? 0 : Object.keys(value).length);
}

describe('what JSON will cost', () => {
  it('is by what it consists of, and not by its bytes', () => {
    const long = costOf(`["${'x'.repeat(100_000)}", ${'1'.repeat(100_000)}]`);
    const short = costOf(`[${Array(1000).fill('""').join(',')}]`);
    expect(long).toBeLessThan(20);
    expect(short).toBeGreaterThan(8000);
  });

  it('refuses more members than a request can have, wherever they are', () => {
    const object = `{${Array.from({ length: 16_385 }, (_, index) => `"k${index}":0`).join(',')}}`;
    expect(() => costOf(object)).toThrow('JSON has more than 16384 members in its objects');
    expect(() => costOf(`[${Array(16_385).fill('{"k":0}').join(',')}]`)).toThrow('16384 members');
    expect(costOf(`{${Array.from({ length: 16_384 }, (_, index) => `"k${index}":0`).join(',')}}`)).toBeGreaterThan(0);
  });

  it('refuses what is nested deeper than a tensor can be', () => {
    expect(() => costOf('['.repeat(41))).toThrow('JSON is nested more than 40 levels deep');
    expect(() => costOf('{"a":'.repeat(41))).toThrow('40 levels');
    // A tensor of 32 axes in its request.
    expect(costOf(`{"inputs":[{"data":${'['.repeat(32)}1${']'.repeat(32)}}]}`)).toBeGreaterThan(0);
  });

  it('takes what is in a string for nothing else, whatever it is', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary' }), (text) => {
        expect(costOf(JSON.stringify(text))).toBe(costOf('""'));
      }),
    );
    expect(costOf(JSON.stringify('\\"[[[{{{'))).toBe(costOf('""'));
  });

  it('counts every member of any JSON', () => {
    fc.assert(
      fc.property(fc.jsonValue({ maxDepth: 10 }), (value) => {
        const text = JSON.stringify(value);
        const strings = text.replaceAll(/\\./g, '').split('"').length >> 1;
        const containers = text.replaceAll(/"(?:[^"\\]|\\.)*"/g, '""').replaceAll(/[^[{]/g, '').length;
        const commas = text.replaceAll(/"(?:[^"\\]|\\.)*"/g, '""').replaceAll(/[^,]/g, '').length;
        expect(costOf(text)).toBe(commas + 15 * membersOf(value) + 8 * strings + 3 * containers);
      }),
    );
  });

  it('has an answer for anything', () => {
    fc.assert(
      fc.property(fc.uint8Array(), (bytes) => {
        try {
          expect(outlineJson(bytes).cost).toBeGreaterThanOrEqual(0);
        } catch (error) {
          expect((error as Error).message).toContain('levels deep');
        }
      }),
    );
  });
});
