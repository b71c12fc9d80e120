import { NUMBER_ARRAYS, type NumberType } from '../../scheduler/domain/number-arrays.js';
import type { Tensor } from '../../scheduler/domain/tensor.js';

/* Tensors of numbers as typed arrays, both ways, without a copy where bytes are aligned. FP16, BF16, BOOL and BYTES have no typed array. */

export type { NumberType };
export type Numbers<Type extends NumberType = NumberType> = InstanceType<(typeof NUMBER_ARRAYS)[Type]>;

/** @throws RangeError where the shape has another number of elements */
export function tensorOf(name: string, shape: readonly number[], numbers: Numbers): Tensor {
  const count = shape.reduce((product, size) => product * size, 1);
  if (count !== numbers.length) {
    throw new RangeError(`${name}: shape [${shape.join(', ')}] has ${count} elements, and ${numbers.length} are given`);
  }
  const [datatype] = Object.entries(NUMBER_ARRAYS).find(([, type]) => numbers instanceof type)! as [
    NumberType,
    unknown,
  ];
  return { name, datatype, shape, data: new Uint8Array(numbers.buffer, numbers.byteOffset, numbers.byteLength) };
}

/** @throws TypeError where the tensor is of another type */
export function numbersOf<Type extends NumberType>(tensor: Tensor, datatype: Type): Numbers<Type> {
  if (tensor.datatype !== datatype) throw new TypeError(`${tensor.name} is ${tensor.datatype}, not ${datatype}`);
  const Numbers = NUMBER_ARRAYS[datatype];
  const { data } = tensor;
  const aligned = data.byteOffset % Numbers.BYTES_PER_ELEMENT === 0 ? data : Uint8Array.from(data);
  return new Numbers(
    aligned.buffer as ArrayBuffer,
    aligned.byteOffset,
    aligned.byteLength / Numbers.BYTES_PER_ELEMENT,
  ) as Numbers<Type>;
}
