import { describe, expect, it } from 'vitest';
import { holdAll, releaseAll } from '../../scheduler/domain/tensor.js';
import { keptTensors } from '../arena/lent-tensors.js';
import { FrameError } from './frames.js';
import { OutputReader } from './output-reader.js';
import type { PlacedTensor } from './placed-tensors.js';

const MEMORY = Uint8Array.from({ length: 256 }, (_, index) => index);
const GOOD: PlacedTensor = { name: 'y', datatype: 'INT16', shape: [2, 2], byteCount: 8, offset: 64 };

describe('what a worker says of outputs in shared memory', () => {
  it('is read where it lies, and free when nobody holds it', () => {
    const reader = new OutputReader(MEMORY.slice());
    const [first, second] = reader.read({ slot: 0, placeId: 7, tensors: [GOOD, { ...GOOD, name: 'z', offset: 128 }] });
    expect([first, second]).toMatchObject([
      { name: 'y', datatype: 'INT16', shape: [2, 2], data: MEMORY.slice(64, 72) },
      { name: 'z', data: MEMORY.slice(128, 136) },
    ]);
    holdAll([first!]);
    releaseAll([first!, second!]);
    expect(reader.takeFreed()).toEqual([]);
    releaseAll([first!]);
    expect([reader.takeFreed(), reader.takeFreed()]).toEqual([[7], []]);
    expect(() => releaseAll([first!])).toThrow('given back twice');
    expect(() => holdAll([first!])).toThrow('nobody held');
  });

  it('is copied by whoever keeps it, and is free then', () => {
    const memory = MEMORY.slice();
    const reader = new OutputReader(memory);
    const [tensor] = keptTensors(reader.read({ slot: 0, placeId: 7, tensors: [GOOD] }));
    expect(reader.takeFreed()).toEqual([7]);
    memory.fill(0);
    expect(tensor).toEqual({ name: 'y', datatype: 'INT16', shape: [2, 2], data: MEMORY.slice(64, 72) });
    expect(keptTensors([tensor!])[0]).toBe(tensor);
  });

  it('is refused where another one is still read', () => {
    const reader = new OutputReader(MEMORY.slice());
    const [tensor] = reader.read({ slot: 0, placeId: 7, tensors: [GOOD] });
    expect(() => reader.read({ slot: 0, placeId: 7, tensors: [GOOD] })).toThrow(FrameError);
    releaseAll([tensor!]);
    expect(reader.read({ slot: 0, placeId: 7, tensors: [GOOD] })).toHaveLength(1);
  });

  it.each<[string, object]>([
    ['begins before the memory', { offset: -8 }],
    ['ends behind the memory', { offset: 249 }],
    ['is as long as a number can be', { byteCount: Number.MAX_SAFE_INTEGER, shape: [Number.MAX_SAFE_INTEGER / 2] }],
    ['begins within a byte', { offset: 0.5 }],
    ['begins nowhere', { offset: null }],
    ['begins at what is not a number', { offset: Number.NaN }],
    ['has another length than its shape', { byteCount: 16 }],
    ['has a negative size in its shape', { shape: [-2, -2] }],
    ['has no shape', { shape: 'long' }],
    ['has no name', { name: undefined }],
    ['has no known type', { datatype: 'INT128' }],
    ['has strings', { datatype: 'BYTES', byteCount: 0 }],
  ])('is refused where it %s', (_, wrong) => {
    const reader = new OutputReader(MEMORY.slice());
    const tensors: PlacedTensor[] = [{ ...GOOD, ...wrong }];
    expect(() => reader.read({ slot: 0, placeId: 1, tensors })).toThrow(FrameError);
  });
});
