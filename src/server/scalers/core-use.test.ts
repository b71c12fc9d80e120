import { afterEach, describe, expect, it } from 'vitest';
import fc from 'fast-check';
import { CoreUse } from './core-use.js';

describe('the cores of several models in one process', () => {
  const open: CoreUse[] = [];
  afterEach(() => {
    for (const use of open.splice(0)) use.release();
  });
  function model(cpus: readonly number[]): CoreUse {
    const use = new CoreUse(cpus);
    open.push(use);
    return use;
  }

  it('are the highest first for one model alone', () => {
    expect(model([0, 1, 2, 7]).use(2)).toEqual([2, 7]);
  });

  it('are those that nobody else uses now', () => {
    const [a, b, c] = [model([0, 1]), model([0, 1]), model([0, 1])];
    expect([a.use(1), b.use(1)]).toEqual([[1], [0]]);
    a.use(0); // it rests
    expect(c.use(1)).toEqual([1]);
  });

  it('stay the same for who keeps, or gives up, some', () => {
    const [a, b] = [model([0, 1, 2, 3]), model([0, 1, 2, 3])];
    expect(a.use(1)).toEqual([3]);
    expect(b.use(2)).toEqual([1, 2]);
    expect(a.use(2)).toEqual([0, 3]);
    expect(b.use(1)).toEqual([2]);
  });

  it('never meet while there are enough for all', () => {
    const step = fc.record({ who: fc.nat(3), count: fc.nat(4) });
    fc.assert(
      fc.property(fc.array(step, { maxLength: 40 }), (steps) => {
        const models = [0, 1, 2, 3].map(() => new CoreUse([0, 1, 2, 3, 4, 5]));
        const used: (readonly number[])[] = [[], [], [], []];
        for (const { who, count } of steps) {
          const byOthers = used.reduce((sum, cpus, index) => sum + (index === who ? 0 : cpus.length), 0);
          used[who] = models[who]!.use(Math.min(count, 6 - byOthers));
          expect(new Set(used.flat()).size).toBe(used.flat().length);
        }
        for (const each of models) each.release();
      }),
    );
  });

  it('are free again after a release, which may come twice', () => {
    const use = model([0, 1]);
    use.use(1);
    use.release();
    use.release();
    expect(model([0, 1]).use(1)).toEqual([1]);
  });
});
