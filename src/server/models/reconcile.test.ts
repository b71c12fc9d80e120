import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { reconcile, type Stamped } from './reconcile.js';

const of = (...versions: readonly string[]): Stamped[] =>
  versions.map((text) => {
    const [version, stamp = ''] = text.split('@');
    return { version: version!, stamp };
  });

describe('what has to be done for a model', () => {
  it('is nothing where its files are as they were', () => {
    expect(reconcile(of('1@a', '2@b'), of('1@a', '2@b'))).toEqual({ load: [], end: [] });
  });

  it('is to load what is new in the place of what is not wanted any more, highest for highest', () => {
    expect(reconcile(of('9'), of('10'))).toEqual({ load: [{ version: '10', inPlaceOf: '9' }], end: [] });
    expect(reconcile(of('1', '2', '3'), of('3', '4'))).toEqual({
      load: [{ version: '4', inPlaceOf: '2' }],
      end: ['1'],
    });
    expect(reconcile([], of('1', '2')).load.map(({ version }) => version)).toEqual(['2', '1']);
  });

  it('is to load what has changed in its own place', () => {
    expect(reconcile(of('1@a', '2@b'), of('1@a', '2@c')).load).toEqual([{ version: '2', inPlaceOf: '2' }]);
  });

  it('is to end all where nothing is wanted any more', () => {
    expect(reconcile(of('1', '2'), [])).toEqual({ load: [], end: ['2', '1'] });
  });

  it('comes to what is wanted in one go, whatever is served', () => {
    const some = fc.uniqueArray(
      fc.record({ version: fc.constantFrom('1', '2', '3', '10', '11'), stamp: fc.constantFrom('a', 'b') }),
      {
        selector: ({ version }) => version,
      },
    );
    fc.assert(
      fc.property(some, some, (served, wanted) => {
        const { load, end } = reconcile(served, wanted);
        const gone = new Set([...end, ...load.map(({ inPlaceOf }) => inPlaceOf)]);
        const after = served.filter(({ version }) => !gone.has(version));
        for (const { version } of load) after.push(wanted.find((each) => each.version === version)!);
        const sorted = (all: readonly Stamped[]): string[] => all.map(({ version, stamp }) => version + stamp).sort();
        expect(sorted(after)).toEqual(sorted(wanted));
      }),
    );
  });
});
