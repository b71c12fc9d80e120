import { describe, expect, it } from 'vitest';
import type { Tensor } from '../../scheduler/domain/tensor.js';
import { PoisonMemory } from './poison-memory.js';

function tensor(name: string, ...data: number[]): Tensor {
  return { name, datatype: 'UINT8', shape: [1, data.length], data: Uint8Array.from(data) };
}

const MINUTE = 60_000;

describe('what is remembered of poison', () => {
  it('is its content: the same in any order, nothing else of the same shape', () => {
    const memory = new PoisonMemory();
    memory.remember(0, [tensor('a', 1, 2), tensor('b', 3)]);
    expect(memory.knows(1, [tensor('b', 3), tensor('a', 1, 2)])).toBe(true);
    expect(memory.knows(1, [tensor('b', 4), tensor('a', 1, 2)])).toBe(false);
    expect(memory.knows(1, [tensor('a', 1, 2)])).toBe(false);
    expect(memory.knows(1, [tensor('a', 1, 2), tensor('c', 3)])).toBe(false);
  });

  it('tells apart BYTES whose elements are cut elsewhere, though their bytes follow each other the same way', () => {
    const bytes = (name: string, ...data: number[]): Tensor => ({
      ...tensor(name, ...data),
      datatype: 'BYTES',
      shape: [1],
    });
    const memory = new PoisonMemory();
    memory.remember(0, [bytes('a', 1, 2), bytes('b', 3)]);
    expect(memory.knows(0, [bytes('a', 1), bytes('b', 2, 3)])).toBe(false);
  });

  it('is forgotten after five minutes, counted from the latest crash', () => {
    const memory = new PoisonMemory();
    memory.remember(0, [tensor('a', 1)]);
    memory.remember(0, [tensor('a', 2)]);
    memory.remember(4 * MINUTE, [tensor('a', 1)]);
    expect([1, 2].map((value) => memory.knows(5 * MINUTE, [tensor('a', value)]))).toEqual([true, false]);
    expect(memory.knows(9 * MINUTE, [tensor('a', 1)])).toBe(false);
  });

  it('is the latest thousand, and nothing that would hold the router up to compare', () => {
    const memory = new PoisonMemory();
    const numbered = (number: number): Tensor => tensor('a', number & 255, number >> 8);
    for (let number = 0; number <= 1000; number++) memory.remember(number, [numbered(number)]);
    expect([0, 1, 1000].map((number) => memory.knows(1000, [numbered(number)]))).toEqual([false, true, true]);
    const large = { ...tensor('a'), data: new Uint8Array(8 * 1024 ** 2 + 1) };
    memory.remember(1000, [large]);
    expect(memory.knows(1000, [large])).toBe(false);
  });
});
