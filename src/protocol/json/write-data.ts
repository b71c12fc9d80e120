import type { Tensor } from '../../scheduler/domain/tensor.js';
import { invalid } from '../service.js';
import { unpackBytes } from '../tensor-layout.js';
import { floatText, writeFloats } from './float-text.js';
import { writeIntegers, writeLongs } from './integer-text.js';
import type { JsonText } from './text.js';

/** Doubles are made a string of by so many. */
const DOUBLES_AT_A_TIME = 4096;

/**
 * A tensor's `data`: a flat array in row-major order, also of a scalar's one element.
 * @throws OipFailure `invalid` where JSON cannot carry it: FP16, and BYTES that are not UTF-8
 */
export function writeJsonData(text: JsonText, tensor: Tensor): void {
  const { name, datatype } = tensor;
  if (datatype === 'FP16' || datatype === 'BF16') {
    throw invalid(`tensor '${name}': JSON cannot carry ${datatype}, ask for it with "binary_data": true`);
  }
  if (datatype === 'BYTES') {
    text.write(JSON.stringify(decodeStrings(tensor)));
    return;
  }
  text.write('[');
  writeElements(text, tensor, datatype);
  text.write(']');
}

function writeElements(
  text: JsonText,
  tensor: Tensor,
  datatype: Exclude<Tensor['datatype'], 'FP16' | 'BF16' | 'BYTES'>,
): void {
  switch (datatype) {
    case 'BOOL':
      writeBooleans(text, tensor.data);
      break;
    case 'FP32':
      writeFloats(text, elementsOf(tensor, Float32Array));
      break;
    case 'FP64':
      writeDoubles(text, elementsOf(tensor, Float64Array));
      break;
    case 'UINT64':
      writeLongs(text, elementsOf(tensor, BigUint64Array));
      break;
    case 'INT64':
      writeLongs(text, elementsOf(tensor, BigInt64Array));
      break;
    case 'UINT8':
      writeIntegers(text, tensor.data);
      break;
    case 'INT8':
      writeIntegers(text, elementsOf(tensor, Int8Array));
      break;
    case 'UINT16':
      writeIntegers(text, elementsOf(tensor, Uint16Array));
      break;
    case 'INT16':
      writeIntegers(text, elementsOf(tensor, Int16Array));
      break;
    case 'UINT32':
      writeIntegers(text, elementsOf(tensor, Uint32Array));
      break;
    case 'INT32':
      writeIntegers(text, elementsOf(tensor, Int32Array));
      break;
  }
}

function writeBooleans(text: JsonText, values: Uint8Array): void {
  for (let from = 0; from < values.length; from += DOUBLES_AT_A_TIME) {
    const some = values.subarray(from, from + DOUBLES_AT_A_TIME);
    const words = Array.from(some, (byte) => (byte === 0 ? 'false' : 'true')).join(',');
    text.write(from === 0 ? words : `,${words}`);
  }
}

/** 53 bits are more than is gained by writing them by hand. */
function writeDoubles(text: JsonText, values: Float64Array): void {
  for (let from = 0; from < values.length; from += DOUBLES_AT_A_TIME) {
    const some = values.subarray(from, from + DOUBLES_AT_A_TIME);
    // Neither the non-finite ones nor −0 survive `join`.
    const isPlain = some.every((value) => Number.isFinite(value) && !Object.is(value, -0));
    const numbers = isPlain ? some.join(',') : Array.from(some, floatText).join(',');
    text.write(from === 0 ? numbers : `,${numbers}`);
  }
}

function decodeStrings(tensor: Tensor): readonly string[] {
  // ignoreBOM keeps a leading U+FEFF as part of the text.
  const decoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });
  return unpackBytes(tensor.data).map((element, index) => {
    try {
      return decoder.decode(element);
    } catch {
      throw invalid(
        `tensor '${tensor.name}': BYTES element ${index} is not UTF-8, which JSON cannot carry; ask for it with "binary_data": true`,
      );
    }
  });
}

interface TypedArrayConstructor<Elements> {
  readonly BYTES_PER_ELEMENT: number;
  new (buffer: ArrayBufferLike, byteOffset: number, length: number): Elements;
}

/** The elements of a tensor; copies its data where it is not aligned. */
function elementsOf<Elements>({ data }: Tensor, ArrayType: TypedArrayConstructor<Elements>): Elements {
  const aligned = data.byteOffset % ArrayType.BYTES_PER_ELEMENT === 0 ? data : data.slice();
  return new ArrayType(aligned.buffer, aligned.byteOffset, aligned.length / ArrayType.BYTES_PER_ELEMENT);
}
