import { encodeStrings } from '../../scheduler/domain/bytes-elements.js';
import {
  ELEMENT_BYTES,
  elementCount,
  fitsDeclared,
  requiredInputs,
  shapeText,
  type Datatype,
  type ModelSignature,
  type Tensor,
} from '../../scheduler/domain/tensor.js';
import { Prng } from '../../scheduler/random/prng.js';
import type { InputHints } from '../onnx/input-hints.js';
import type { InputHint } from '../onnx/value-needs.js';
import { hintedElements } from './hinted-elements.js';

/*
 * What a request of a model looks like: given by the operator, taken from a client's, or made up. Models are profiled and
 * tried with them.
 */

/** Concrete shape of each input of one request, by input name. */
export type InputShapes = Readonly<Record<string, readonly number[]>>;

/** The inputs of one request. */
export type Sample = readonly Tensor[];

/** As many samples as are asked for, of one shape class; the same one for the same index. */
export interface SampleSource {
  at(index: number): Sample;
}

/** Real ones, over and over. */
export class GivenSamples implements SampleSource {
  readonly #samples: readonly Sample[];

  /** @param samples at least one, of one shape class */
  constructor(samples: readonly Sample[]) {
    this.#samples = samples;
  }

  at(index: number): Sample {
    return this.#samples[index % this.#samples.length]!;
  }
}

/**
 * Made up from shapes, and from what the graph says of an input. Of what it says nothing: floats in [−1, 1); integers and booleans
 * 0 or 1; empty strings.
 */
export class NoiseSamples implements SampleSource {
  readonly #signature: ModelSignature;
  readonly #shapes: InputShapes;
  readonly #hints: ReadonlyMap<string, InputHint>;

  /** @throws RangeError when a shape is missing or does not fit the model */
  constructor(signature: ModelSignature, shapes: InputShapes, hints: InputHints = []) {
    this.#signature = signature;
    this.#shapes = shapes;
    this.#hints = new Map(hints);
    for (const spec of requiredInputs(signature)) {
      const shape = shapes[spec.name];
      if (shape !== undefined && fitsDeclared(spec, shape)) continue;
      throw new RangeError(
        `input '${spec.name}' has the shape ${shapeText(spec.shape)}; ` +
          (shape === undefined ? 'no size was given for it' : `${shapeText(shape)} does not fit`),
      );
    }
  }

  at(index: number): Sample {
    const prng = new Prng(index);
    // An input that has a value of its own keeps it, unless somebody said what it looks like.
    return this.#signature.inputs.flatMap(({ name, datatype }) => {
      const shape = this.#shapes[name];
      if (shape === undefined) return [];
      const hint = this.#hints.get(name);
      const count = elementCount(shape);
      const data = hint === undefined ? noise(datatype, count, prng) : hintedElements(hint, datatype, count, prng);
      return { name, datatype, shape, data };
    });
  }
}

function noise(datatype: Datatype, count: number, prng: Prng): Uint8Array {
  switch (datatype) {
    case 'BYTES':
      return encodeStrings(Array.from({ length: count }, () => ''));
    case 'FP32':
      return bytesOf(Float32Array.from({ length: count }, () => 2 * prng.uniform() - 1));
    case 'FP64':
      return bytesOf(Float64Array.from({ length: count }, () => 2 * prng.uniform() - 1));
    case 'BF16':
      // As of [0.5, 1): the high half of a float32 of exponent 126.
      return bytesOf(Uint16Array.from({ length: count }, () => 0x3f00 | (prng.int(2) << 15) | prng.int(128)));
    case 'FP16':
      // Exponent of [0.5, 1), random sign and mantissa: ±[0.5, 1).
      return bytesOf(Uint16Array.from({ length: count }, () => 0x3800 | (prng.int(2) << 15) | prng.int(1024)));
    default: {
      const elementBytes = ELEMENT_BYTES[datatype];
      const data = new Uint8Array(count * elementBytes);
      for (let offset = 0; offset < data.byteLength; offset += elementBytes) data[offset] = prng.int(2);
      return data;
    }
  }
}

function bytesOf(elements: Float32Array | Float64Array | Uint16Array): Uint8Array {
  return new Uint8Array(elements.buffer, elements.byteOffset, elements.byteLength);
}
