import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { compareVersions, isVersion, versionsBy } from './versions.js';

const version = fc.bigInt({ min: 1n, max: 10n ** 30n });

describe('versions', () => {
  it('are in the order of their numbers, however long', () => {
    fc.assert(
      fc.property(version, version, (a, b) => {
        const expected = a < b ? -1 : Number(a > b);
        expect(Math.sign(compareVersions(String(a), String(b)))).toBe(expected);
      }),
    );
  });

  it('are whole numbers that do not begin with a zero', () => {
    const names = ['1', '1764400000', '1764400000000000000', '0', '01', 'v1', '1.0', '-1', ''];
    expect(names.filter(isVersion)).toEqual(['1', '1764400000', '1764400000000000000']);
  });

  it('are served by a policy', () => {
    const all = ['1', '2', '9', '10'];
    expect(versionsBy({ kind: 'latest', count: 1 }, all)).toEqual(['10']);
    expect(versionsBy({ kind: 'latest', count: 3 }, all)).toEqual(['2', '9', '10']);
    expect(versionsBy({ kind: 'latest', count: 9 }, all)).toEqual(all);
    expect(versionsBy({ kind: 'all' }, all)).toEqual(all);
    expect(versionsBy({ kind: 'specific', versions: ['10', '2', '3'] }, all)).toEqual(['2', '10']);
  });
});
