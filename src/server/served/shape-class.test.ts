import { describe, expect, it } from 'vitest';
import type { ModelSignature } from '../../scheduler/domain/tensor.js';
import { shapeClass } from '../../scheduler/domain/request.js';
import {
  checkShapes,
  mustRunAlone,
  shapeClassOf,
  shapeClassOfShapes,
  shapesFromSignature,
  shapesOfRequest,
} from './shape-class.js';

const x = (shape: readonly number[]): { name: string; datatype: 'FP32'; shape: readonly number[] } => ({
  name: 'x',
  datatype: 'FP32',
  shape,
});

describe('shape classes', () => {
  it('ignore the first axis of a batchable model, not of another', () => {
    expect(shapeClassOf([x([1, 3, 4])], true)).toEqual(shapeClass('x:FP32[3,4]', 12, [3, 4]));
    expect(shapeClassOf([x([1, 3, 4])], false)).toEqual(shapeClass('x:FP32[1,3,4]', 12, [1, 3, 4]));
  });

  it('keep requests of several rows apart from single ones, and know what one row is', () => {
    const two = shapeClassOf([x([2, 3, 4])], true);
    const { key, ...oneRow } = shapeClassOf([x([1, 3, 4])], true);
    expect(two).toEqual({ ...oneRow, key: '2 × x:FP32[3,4]', rowCount: 2 });
    expect(two.rowKey).toBe(key);
  });

  it('count no rows where inputs disagree about them, or there are none', () => {
    const y = { name: 'y', datatype: 'INT64', shape: [2] } as const;
    expect(shapeClassOf([x([3, 4]), y], true)).toEqual(shapeClass('x:FP32[3,4] y:INT64[2]', 14, [3, 4, 2]));
    expect(shapeClassOf([x([0, 4])], true)).toEqual(shapeClass('x:FP32[0,4]', 0, [0, 4]));
  });

  it('do not depend on the order of the inputs', () => {
    const y = { name: 'y', datatype: 'INT64', shape: [1, 2] } as const;
    expect(shapeClassOf([y, x([1, 3])], true)).toEqual(shapeClassOf([x([1, 3]), y], true));
  });

  it('come from the model alone where only the first axis is open', () => {
    const signature = (shape: number[]): ModelSignature => ({ inputs: [x(shape)], outputs: [] });
    expect(shapesFromSignature(signature([-1, 3, 4]))).toEqual({ x: [1, 3, 4] });
    expect(shapesFromSignature(signature([-1, 3, -1]))).toBeNull();
  });

  it('differ where an input that may be left out is given, which is not part of what is profiled', () => {
    const scale = { name: 'scale', datatype: 'FP32', shape: [3] } as const;
    const signature: ModelSignature = { inputs: [x([-1, 3]), { ...scale, isOptional: true }], outputs: [] };
    const shapes = shapesFromSignature(signature)!;
    expect(shapes).toEqual({ x: [1, 3] });
    expect(() => checkShapes(signature, shapes)).not.toThrow();
    expect(shapesOfRequest(signature, [scale, x([2, 3])])).toEqual(shapes);
    const usual = shapeClassOf([x([1, 3])], true);
    expect(shapeClassOfShapes(signature, shapes, true)).toEqual(usual);
    expect(shapeClassOf([scale, x([1, 3])], true).key).not.toBe(usual.key);
    expect(mustRunAlone(signature, [x([1, 3])])).toBe(false);
    expect(mustRunAlone(signature, [scale, x([1, 3])])).toBe(true);
  });

  it('of requests without rows are apart, and teach nothing', () => {
    const signature: ModelSignature = { inputs: [x([-1, -1])], outputs: [] };
    expect(shapeClassOf([x([0, 3])], true).key).not.toBe(shapeClassOf([x([1, 3])], true).key);
    expect(mustRunAlone(signature, [x([0, 3])])).toBe(true);
    expect(mustRunAlone(signature, [x([1, 0])])).toBe(false);
    expect(shapesOfRequest(signature, [x([0, 3])])).toBeNull();
    expect(shapesOfRequest(signature, [x([2, 0])])).toBeNull();
    expect(shapesOfRequest(signature, [x([2, 3])])).toEqual({ x: [1, 3] });
  });

  it('name the input that a given shape does not fit', () => {
    const signature: ModelSignature = { inputs: [x([-1, 3, -1])], outputs: [] };
    expect(() => checkShapes(signature, { x: [1, 3, 7] })).not.toThrow();
    expect(() => checkShapes(signature, { x: [1, 4, 7] })).toThrow(
      'input x [-1, 3, -1] needs a shape that fits, got [1, 4, 7]',
    );
    expect(() => checkShapes(signature, { z: [1] })).toThrow('no input "z"; its inputs are x [-1, 3, -1]');
    expect(() => checkShapes(signature, {})).toThrow('got none');
  });
});
