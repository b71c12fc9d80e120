import { afterEach, describe, expect, it } from 'vitest';
import { claimCoreOrder, type CoreOrder } from './core-order.js';

describe('the cores of several models in one process', () => {
  const open: CoreOrder[] = [];
  afterEach(() => {
    for (const order of open.splice(0)) order.release();
  });
  function claim(cpus: readonly number[], count = cpus.length): readonly number[] {
    const order = claimCoreOrder(cpus, count);
    open.push(order);
    return order.cpus;
  }

  it('are the highest first for one model alone', () => {
    expect(claim([0, 1, 2, 7])).toEqual([7, 2, 1, 0]);
  });

  it('are used from opposite ends by two models', () => {
    expect([claim([0, 1]), claim([0, 1])]).toEqual([[1, 0], [0, 1]]); // prettier-ignore
    expect(claim([0, 1])[0]).toBe(1);
  });

  it('differ while there are enough: as many models as cores each begin with another one', () => {
    const firsts = [1, 2, 3, 4].map(() => claim([0, 1, 2, 3])[0]);
    expect(new Set(firsts).size).toBe(4);
  });

  it('are taken evenly by more models than cores', () => {
    const firsts = [1, 2, 3, 4, 5, 6].map(() => claim([0, 1, 2])[0]!);
    expect([0, 1, 2].map((cpu) => firsts.filter((first) => first === cpu).length)).toEqual([2, 2, 2]);
  });

  it('do not overlap for models with a share each', () => {
    expect([claim([0, 1, 2, 3], 2), claim([0, 1, 2, 3], 2)]).toEqual([[3, 2], [1, 0]]); // prettier-ignore
  });

  it('are free again after a release, which may come twice', () => {
    const order = claimCoreOrder([0, 1], 1);
    order.release();
    order.release();
    expect(claim([0, 1])).toEqual([1, 0]);
  });
});
