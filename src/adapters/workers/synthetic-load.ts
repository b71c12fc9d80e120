import {
  ELEMENT_BYTES,
  elementCount,
  fitsDeclared,
  requiredInputs,
  shapeText,
  type Datatype,
  type ModelSignature,
  type Tensor,
} from '../../domain/tensor.js';
import type { BatchResult, BatchRun } from '../../dataplane/worker-pool.js';
import { Prng } from '../../random/prng.js';
import { encodeStrings } from '../../domain/bytes-elements.js';

/*
 * Load that no client sent, through the very path that requests take: to find out whether a model can be batched, and to
 * profile it. Its sequences and batch ids are negative, so they never meet the system's.
 */

/** Concrete shape of each input of one request, by input name. */
export type InputShapes = Readonly<Record<string, readonly number[]>>;

export type Batchability =
  { readonly batchable: true; readonly reason: '' } | { readonly batchable: false; readonly reason: string };

export interface SyntheticRun {
  readonly shapes: InputShapes;
  readonly batchSize: number;
  readonly threadCount: number;
}

export interface SyntheticTiming {
  /** Dispatch → all outputs are there, at the router. */
  readonly latencyMs: number;
  readonly computeMs: number;
}

/** What became of a run whose worker lives on. */
export type SyntheticResult = Exclude<BatchResult, { readonly kind: 'worker-lost' | 'aborted' }>;

/** What synthetic load needs of its pool. The promises reject when the worker is lost. */
export interface SyntheticPort {
  stage(sequence: number, inputs: readonly Tensor[]): Promise<void>;
  unstage(sequence: number): void;
  /** The members stay staged. */
  run(run: BatchRun): Promise<{ readonly result: SyntheticResult; readonly latencyMs: number }>;
}

/**
 * How far a batch's outputs may be from those of single runs, as a fraction of the output's largest magnitude. Matrix
 * kernels sum in another order for another batch size, which moves float32 results of deep networks by about 1e-6 to
 * 1e-4; outputs that really depend on batch-mates differ in the first digits. FP16 has 11 significant bits.
 */
const TOLERANCE_FRACTION: Partial<Record<Datatype, number>> = { FP16: 2e-2, FP32: 1e-3, FP64: 1e-6 };

export class SyntheticLoad {
  readonly #signature: ModelSignature;
  readonly #port: SyntheticPort;
  /** Staged members by shapes; a batch of b uses the first b. */
  readonly #members = new Map<string, number[]>();
  #nextId = -1;

  constructor(signature: ModelSignature, port: SyntheticPort) {
    this.#signature = signature;
    this.#port = port;
  }

  /** One batch, timed like a client's. Meaningful only while nothing else runs. */
  async run({ shapes, batchSize, threadCount }: SyntheticRun): Promise<SyntheticTiming> {
    const sequences = await this.#stageMembers(shapes, batchSize);
    const { result, latencyMs } = await this.#port.run({ batchId: this.#nextId--, sequences, threadCount });
    if (result.kind !== 'completed') throw new Error(result.message);
    return { latencyMs, computeMs: result.computeMs };
  }

  /** Batchable: every input and output has an open first axis, and two requests run together as they do alone. */
  async probe(shapes: InputShapes, threadCount: number): Promise<Batchability> {
    const signature = this.#signature;
    const required = requiredInputs(signature);
    const fixed = [...required, ...signature.outputs].find(({ shape }) => shape?.[0] !== -1);
    if (fixed !== undefined) {
      return notBatchable(`'${fixed.name}' has the shape ${shapeText(fixed.shape)}: no dynamic first axis`);
    }
    const rows = new Set(required.map(({ name }) => shapes[name]?.[0]));
    if (rows.size !== 1) return notBatchable('the probed inputs differ in their first axis');
    const [first, second] = await this.#stageMembers(shapes, 2);
    const runOf = async (sequences: readonly number[]): Promise<SyntheticResult> =>
      (await this.#port.run({ batchId: this.#nextId--, sequences, threadCount })).result;
    const alone = [await runOf([first!]), await runOf([second!])];
    const together = await runOf([first!, second!]);
    const failedAlone = alone.find((result) => result.kind !== 'completed');
    if (failedAlone !== undefined) throw new Error(`the model fails on synthetic input: ${failedAlone.message}`);
    if (together.kind !== 'completed') return notBatchable(`a batch of 2 fails: ${together.message}`);
    for (const [slot, single] of alone.entries()) {
      const expected = single.kind === 'completed' ? single.outputs[0] : null;
      const difference = differenceBetween(expected ?? [], together.outputs[slot] ?? []);
      if (difference !== null) return notBatchable(`a batch of 2 differs from two runs of 1: ${difference}`);
    }
    return { batchable: true, reason: '' };
  }

  /** Frees what it holds in the worker. */
  release(): void {
    for (const sequence of [...this.#members.values()].flat()) this.#port.unstage(sequence);
    this.#members.clear();
  }

  /** The worker, and all that was staged, is gone. */
  forget(): void {
    this.#members.clear();
  }

  async #stageMembers(shapes: InputShapes, count: number): Promise<number[]> {
    const key = JSON.stringify(shapes);
    const members = this.#members.get(key) ?? [];
    this.#members.set(key, members);
    while (members.length < count) {
      const sequence = this.#nextId--;
      await this.#port.stage(sequence, syntheticInputs(this.#signature, shapes, members.length));
      members.push(sequence);
    }
    return members.slice(0, count);
  }
}

function notBatchable(reason: string): Batchability {
  return { batchable: false, reason };
}

/** @throws RangeError when a shape is missing or does not fit the model */
function syntheticInputs(signature: ModelSignature, shapes: InputShapes, seed: number): Tensor[] {
  const prng = new Prng(seed);
  const given = signature.inputs.filter(({ name, isOptional }) => isOptional !== true || name in shapes);
  return given.map((spec) => {
    const { name, datatype, shape: declared } = spec;
    const shape = shapes[name];
    if (shape === undefined || !fitsDeclared(spec, shape)) {
      throw new RangeError(
        `input '${name}' has the shape ${shapeText(declared)}; ` +
          (shape === undefined ? 'no size was given for it' : `${shapeText(shape)} does not fit`),
      );
    }
    return { name, datatype, shape, data: syntheticData(datatype, elementCount(shape), prng) };
  });
}

/** Floats in [−1, 1); integers and booleans 0 or 1, so that look-ups stay in range; empty strings. */
function syntheticData(datatype: Datatype, count: number, prng: Prng): Uint8Array {
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

/** Where two runs' outputs differ by more than rounding; null where they agree. */
function differenceBetween(expected: readonly Tensor[], actual: readonly Tensor[]): string | null {
  for (const [i, tensor] of expected.entries()) {
    const other = actual[i];
    if (other?.name !== tensor.name || other.shape.join() !== tensor.shape.join()) {
      return `output '${tensor.name}' has the shape [${other?.shape.join(', ') ?? ''}], not [${tensor.shape.join(', ')}]`;
    }
    const tolerance = TOLERANCE_FRACTION[tensor.datatype];
    const agree =
      tolerance === undefined
        ? Buffer.compare(tensor.data, other.data) === 0
        : areClose(floatsOf(tensor), floatsOf(other), tolerance);
    if (!agree) return `output '${tensor.name}' depends on its batch-mates`;
  }
  return null;
}

/** NaN agrees with NaN only, and an infinity with itself. */
function areClose(expected: Float64Array, actual: Float64Array, toleranceFraction: number): boolean {
  let largest = 0;
  for (const value of expected) if (Number.isFinite(value)) largest = Math.max(largest, Math.abs(value));
  const tolerance = toleranceFraction * largest;
  return expected.every((value, i) => Object.is(value, actual[i]) || Math.abs(value - actual[i]!) <= tolerance);
}

function floatsOf({ datatype, data }: Tensor): Float64Array {
  const elementBytes = ELEMENT_BYTES[datatype];
  const view = new DataView(data.buffer, data.byteOffset, data.byteLength);
  return Float64Array.from({ length: data.byteLength / elementBytes }, (_, i) => {
    if (datatype === 'FP16') return halfToNumber(view.getUint16(i * 2, true));
    return datatype === 'FP32' ? view.getFloat32(i * 4, true) : view.getFloat64(i * 8, true);
  });
}

/** IEEE 754 binary16: 1 sign, 5 exponent (bias 15), 10 mantissa bits. */
function halfToNumber(bits: number): number {
  const sign = bits & 0x8000 ? -1 : 1;
  const exponent = (bits >> 10) & 0x1f;
  const mantissa = bits & 0x3ff;
  if (exponent === 0x1f) return mantissa === 0 ? sign * Infinity : NaN;
  return exponent === 0 ? sign * mantissa * 2 ** -24 : sign * (1 + mantissa / 1024) * 2 ** (exponent - 15);
}
