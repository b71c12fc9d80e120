import { readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { encodeStrings } from '../../scheduler/domain/bytes-elements.js';
import {
  ELEMENT_BYTES,
  elementCount,
  fitsDeclared,
  requiredInputs,
  shapeText,
  type Tensor,
} from '../../scheduler/domain/tensor.js';
import type { InputHints } from '../onnx/input-hints.js';
import { NoiseSamples, type Sample } from '../workers/samples.js';
import { isInside } from './config-settings.js';
import type { StatedWarmup } from './stated-config.js';
import type { TensorContract } from './tensor-contract.js';

/*
 * Requests that a configuration wants its model warmed up with (`model_warmup`), as samples that it is tried and profiled with: one row of
 * each, as profiling makes batches of them.
 */

/** As Triton looks for files of data: in this folder of the model's. */
const FOLDER = 'warmup';
const MOST_BYTES = 64 * 1024 ** 2;

type StatedInput = StatedWarmup['inputs'][string];

export interface WarmupContext {
  readonly contract: TensorContract;
  readonly hints: InputHints;
  /** Where the model's folder is. */
  readonly folder: string;
}

/** @throws Error of one line: not a request of this model, or no such file */
export function warmupSamples(warmups: readonly StatedWarmup[], context: WarmupContext): Promise<readonly Sample[]> {
  return Promise.all(warmups.map((warmup) => sampleOf(warmup, context)));
}

async function sampleOf(warmup: StatedWarmup, { contract, hints, folder }: WarmupContext): Promise<Sample> {
  const owner = `model_warmup '${warmup.name}'`;
  const { inputs } = contract.clients;
  const unknown = Object.keys(warmup.inputs).find((name) => inputs.every((spec) => spec.name !== name));
  if (unknown !== undefined) throw new Error(`${owner}: the model has no input '${unknown}'`);
  const missing = requiredInputs(contract.clients).find(({ name }) => warmup.inputs[name] === undefined);
  if (missing !== undefined) throw new Error(`${owner}: input '${missing.name}' is missing`);
  const tensors: Tensor[] = [];
  for (const spec of inputs) {
    const stated = warmup.inputs[spec.name];
    if (stated === undefined) continue;
    const { name, datatype, shape: declared } = spec;
    const isRows = declared !== null && declared.length === stated.dims.length + 1;
    const shape = isRows ? [1, ...stated.dims] : stated.dims;
    const own = datatype === 'BYTES' ? 'TYPE_STRING' : `TYPE_${datatype}`;
    if ((stated.data_type ?? own) !== own || shape.includes(-1) || !fitsDeclared(spec, shape)) {
      const expected = `${own} ${shapeText(declared)}`;
      throw new Error(
        `${owner}: input '${name}' is ${stated.data_type ?? own} ${shapeText(stated.dims)}, and the model's ${expected}`,
      );
    }
    if (elementCount(shape) * Math.max(1, ELEMENT_BYTES[datatype]) > MOST_BYTES) {
      throw new Error(`${owner}: input '${name}' is larger than ${MOST_BYTES / 1024 ** 2} MiB`);
    }
    tensors.push({ name, datatype, shape, data: new Uint8Array(0) });
  }
  const shaped = contract.toModel(tensors);
  const noise = new NoiseSamples(
    contract.model,
    Object.fromEntries(shaped.map(({ name, shape }) => [name, shape])),
    hints,
  );
  const random = new Map(noise.at(0).map(({ name, data }) => [name, data]));
  return Promise.all(
    shaped.map(async (tensor) => ({
      ...tensor,
      data: await dataOf(warmup.inputs[tensor.name]!, tensor, random.get(tensor.name)!, {
        what: `${owner}: input '${tensor.name}'`,
        folder,
      }),
    })),
  );
}

async function dataOf(
  stated: StatedInput,
  tensor: Tensor,
  random: Uint8Array,
  { what, folder }: { readonly what: string; readonly folder: string },
): Promise<Uint8Array> {
  const file = stated.input_data_file;
  if (file !== undefined) return firstRow(await readData(what, folder, file), tensor, what);
  if (stated.random_data === true) return random;
  const count = elementCount(tensor.shape);
  return tensor.datatype === 'BYTES'
    ? encodeStrings(new Array<string>(count).fill(''))
    : new Uint8Array(count * ELEMENT_BYTES[tensor.datatype]);
}

async function readData(what: string, folder: string, file: string): Promise<Buffer> {
  if (!isInside(file)) throw new Error(`${what}: '${file}' is no file in the model's folder ${FOLDER}`);
  const path = join(folder, FOLDER, file);
  const info = await stat(path).catch(() => null);
  if (info?.isFile() !== true) throw new Error(`${what}: no file ${FOLDER}/${file}`);
  if (info.size > MOST_BYTES)
    throw new Error(`${what}: ${FOLDER}/${file} is larger than ${MOST_BYTES / 1024 ** 2} MiB`);
  return readFile(path);
}

/** Of data that may be of several rows. */
function firstRow(data: Buffer, { datatype, shape }: Tensor, what: string): Uint8Array {
  const count = elementCount(shape);
  const byteCount = datatype === 'BYTES' ? stringBytes(data, count) : count * ELEMENT_BYTES[datatype];
  if (byteCount > data.length) {
    throw new Error(`${what}: the file has ${data.length} bytes, and a row of ${shapeText(shape)} more`);
  }
  return new Uint8Array(data.subarray(0, byteCount));
}

/** Of so many strings, each behind its length; beyond the end where there are fewer. */
function stringBytes(data: Buffer, count: number): number {
  let at = 0;
  for (let index = 0; index < count; index++) {
    if (at + 4 > data.length) return Infinity;
    at += 4 + data.readUInt32LE(at);
  }
  return at;
}
