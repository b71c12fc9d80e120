import { bytesElementOffsets } from '../../scheduler/domain/bytes-elements.js';
import {
  ELEMENT_BYTES,
  elementCount,
  requiredInputs,
  type ModelSignature,
  type Tensor,
} from '../../scheduler/domain/tensor.js';
import type { Sample } from '../workers/samples.js';
import { shapesOfRequest } from './shape-class.js';

/** More is not kept of one request: it would be copied for every member of a batch. */
const MOST_BYTES = 4 * 1024 ** 2;

/**
 * What one request of the model looks like, from one that came: a copy of its own inputs, of its first row where it has
 * several. Null where it is empty, or large.
 */
export function sampleOfRequest(signature: ModelSignature, inputs: readonly Tensor[]): Sample | null {
  const shapes = shapesOfRequest(signature, inputs);
  if (shapes === null) return null;
  const sample = requiredInputs(signature).map(({ name }) => {
    const input = inputs.find((candidate) => candidate.name === name)!;
    return firstOf(input, shapes[name]!);
  });
  const byteCount = sample.reduce((sum, { data }) => sum + data.byteLength, 0);
  return byteCount > MOST_BYTES ? null : sample.map((tensor) => ({ ...tensor, data: tensor.data.slice() }));
}

function firstOf({ name, datatype, data }: Tensor, shape: readonly number[]): Tensor {
  const count = elementCount(shape);
  const end = datatype === 'BYTES' ? bytesElementOffsets(data, count)[count]! : count * ELEMENT_BYTES[datatype];
  return { name, datatype, shape, data: data.subarray(0, end) };
}

/** Real requests are better samples than noise: the first few of one shape class are kept until they are used. */
export class SampleReservoir {
  readonly #samples: Sample[] = [];

  get samples(): readonly Sample[] {
    return this.#samples;
  }

  get isFull(): boolean {
    return this.#samples.length === MOST_SAMPLES;
  }

  add(sample: Sample): void {
    if (!this.isFull) this.#samples.push(sample);
  }
}

/** With `MOST_BYTES` each, 16 MiB at most. */
const MOST_SAMPLES = 4;
