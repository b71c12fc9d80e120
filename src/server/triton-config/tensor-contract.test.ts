import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { elementCount, type ModelSignature, type Tensor } from '../../scheduler/domain/tensor.js';
import type { StatedTensors } from './config-settings.js';
import { asDeclared, contractOf } from './tensor-contract.js';

/** An image of any size, and whether it is one of its classes. */
const SIGNATURE: ModelSignature = {
  inputs: [
    { name: 'x', datatype: 'FP32', shape: [-1, 3, -1, -1] },
    { name: 'scale', datatype: 'FP32', shape: [2], isOptional: true },
  ],
  outputs: [{ name: 'y', datatype: 'BYTES', shape: [-1, 10] }],
};

function stating(isBatched: boolean | null, ...inputs: Partial<StatedTensors['inputs'][number]>[]): StatedTensors {
  return { isBatched, inputs: inputs.map((input) => ({ name: 'x', dims: [], ...input })), outputs: [] };
}

function shapesOf(stated: StatedTensors, signature = SIGNATURE): readonly unknown[] {
  const { clients, model } = contractOf(stated, signature);
  return [clients.inputs[0]!.shape, model.inputs[0]!.shape];
}

function tensor(name: string, shape: readonly number[]): Tensor {
  return { name, datatype: 'FP32', shape, data: new Uint8Array(0) };
}

describe('inputs and outputs as a configuration says them', () => {
  it('are as the model declares them where it says nothing', () => {
    const contract = asDeclared(SIGNATURE);
    expect([contract.clients, contract.model]).toEqual([SIGNATURE, SIGNATURE]);
    const tensors = [tensor('x', [1, 3, 5, 5])];
    expect(contract.toModel(tensors)).toBe(tensors);
    expect(contract.toClients(tensors)).toBe(tensors);
  });

  it('have the sizes that the model leaves open, behind the batch axis that max_batch_size stands for', () => {
    expect(shapesOf(stating(true, { dims: [3, 224, -1] }))).toEqual([
      [-1, 3, 224, -1],
      [-1, 3, 224, -1],
    ]);
    expect(shapesOf(stating(false, { dims: [4, 3, -1, 224] }))).toEqual([
      [4, 3, -1, 224],
      [4, 3, -1, 224],
    ]);
    // A size that the configuration leaves open is the model's.
    expect(shapesOf(stating(true, { dims: [-1, 224, 224] }))[0]).toEqual([-1, 3, 224, 224]);
  });

  it('are with the batch axis or without as the model shows, where it says nothing of batches', () => {
    expect(shapesOf(stating(null, { dims: [3, 8, 8] }))[0]).toEqual([-1, 3, 8, 8]);
    expect(shapesOf(stating(null, { dims: [1, 3, 8, 8] }))[0]).toEqual([1, 3, 8, 8]);
  });

  it('have another shape for clients than for the model where they are reshaped', () => {
    const declared: ModelSignature = {
      inputs: [{ name: 'x', datatype: 'FP32', shape: [-1, 3, -1, -1] }],
      outputs: [{ name: 'y', datatype: 'FP32', shape: [-1] }],
    };
    const contract = contractOf(
      {
        isBatched: true,
        inputs: [{ name: 'x', dims: [-1, 24, 8], reshape: { shape: [3, -1, 64] } }],
        outputs: [{ name: 'y', dims: [1], reshape: { shape: [] } }],
      },
      declared,
    );
    expect(contract.clients.inputs[0]!.shape).toEqual([-1, -1, 24, 8]);
    expect(contract.model.inputs[0]!.shape).toEqual([-1, 3, -1, 64]);
    expect(contract.toModel([tensor('x', [2, 5, 24, 8])])[0]!.shape).toEqual([2, 3, 5, 64]);
    expect(contract.clients.outputs[0]!.shape).toEqual([-1, 1]);
    expect(contract.toClients([tensor('y', [7])])[0]!.shape).toEqual([7, 1]);
    // What the model gives against its own word stays as it is.
    expect(contract.toClients([tensor('y', [7, 2])])[0]!.shape).toEqual([7, 2]);
  });

  it('are of any rank that it says, where the model does not declare one', () => {
    const anyRank: ModelSignature = { inputs: [{ name: 'x', datatype: 'FP32', shape: null }], outputs: [] };
    expect(shapesOf(stating(false, { dims: [2, -1] }), anyRank)[0]).toEqual([2, -1]);
  });

  it.each([
    [stating(true, { name: 'z' }), "input 'z': the model has no such input, it has 'x', 'scale'"],
    [stating(true, { data_type: 'TYPE_INT8' }), "input 'x': data_type is TYPE_INT8, and the model's is TYPE_FP32"],
    [stating(true, { dims: [4, 224, 224] }), "input 'x': dims are [-1, 4, 224, 224] with the batch axis"],
    [stating(true, { dims: [1, 3, 224, 224] }), "and the model's are [-1, 3, -1, -1]"],
    [stating(false, { dims: [3, 224, 224] }), "dims are [3, 224, 224], and the model's are [-1, 3, -1, -1]"],
    [stating(true, { optional: true }), "input 'x': optional, and the model has no value for it"],
    [stating(true, { dims: [3, 4, 4], reshape: { shape: [3, 15] } }), 'reshape [3, 15] has not the elements of dims'],
    [stating(true, { dims: [3, -1], reshape: { shape: [3, 4] } }), 'has not the elements'],
  ])('contradict the model with the reason: %#', (stated, message) => {
    expect(() => contractOf(stated, SIGNATURE)).toThrow(message);
  });

  it('say that a first axis which is fixed is no batch axis', () => {
    const fixed: ModelSignature = { inputs: [{ name: 'x', datatype: 'FP32', shape: [1, 4] }], outputs: [] };
    expect(() => contractOf(stating(true, { dims: [4] }), fixed)).not.toThrow();
    expect(() => contractOf(stating(true, { dims: [1, 4] }), fixed)).toThrow('say max_batch_size: 0');
  });

  it('keep all elements in whatever shape there can be', () => {
    const size = fc.oneof(fc.constant(-1), fc.integer({ min: 1, max: 5 }));
    const dims = fc.array(size, { minLength: 1, maxLength: 4 });
    // Ones anywhere, and neighbours that are fixed made one.
    const reshapes = dims.chain((own) =>
      fc
        .tuple(fc.constant(own), fc.array(fc.nat(own.length), { maxLength: 3 }), fc.boolean())
        .map(([from, at, merges]) => {
          const to = [...from];
          for (const axis of at) to.splice(axis, 0, 1);
          const [first = -1, second = -1] = to;
          return { from, to: merges && first > 0 && second > 0 ? [first * second, ...to.slice(2)] : to };
        }),
    );
    fc.assert(
      fc.property(
        reshapes,
        fc.boolean(),
        fc.array(fc.integer({ min: 0, max: 6 }), { minLength: 8, maxLength: 8 }),
        (reshape, isBatched, sizes) => {
          const declared: ModelSignature = {
            inputs: [{ name: 'x', datatype: 'FP32', shape: isBatched ? [-1, ...reshape.to] : reshape.to }],
            outputs: [],
          };
          const stated = stating(isBatched, { dims: reshape.from, reshape: { shape: reshape.to } });
          const contract = contractOf(stated, declared);
          const shape = contract.clients.inputs[0]!.shape!.map((each, axis) => (each === -1 ? sizes[axis]! : each));
          const [given] = contract.toModel([tensor('x', shape)]);
          expect(elementCount(given!.shape)).toBe(elementCount(shape));
          expect(given!.shape.length).toBe(declared.inputs[0]!.shape!.length);
        },
      ),
    );
  });
});
