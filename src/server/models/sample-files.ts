import { readdir, readFile, stat } from 'node:fs/promises';
import { dirname, join, resolve } from 'node:path';
import { z } from 'zod';
import {
  DATATYPES,
  fitsDeclared,
  requiredInputs,
  shapeText,
  type ModelSignature,
  type Tensor,
} from '../../scheduler/domain/tensor.js';
import { encodeJsonData } from '../../protocol/tensor-codec.js';
import { checkLayout } from '../../protocol/tensor-layout.js';
import { oneLine } from '../workers/load-failure.js';
import type { Sample } from '../workers/samples.js';
import { shapeClassOf } from '../served/shape-class.js';

/*
 * Samples that the operator gives: a request as the protocol writes it in JSON,
 *
 *   { "inputs": [{ "name": "x", "datatype": "FP32", "shape": [1, 2], "data": [0.5, -1] }] }
 *
 * where "file": "x.bin" in place of "data" names the tensor in the protocol's binary layout, beside the JSON file.
 */

/** The user's mistake, in one line with its remedy. */
class SampleError extends Error {
  override readonly name = 'SampleError';
}

const MOST_BYTES = 64 * 1024 ** 2;
const SAMPLES_FOLDER = 'samples';

const schema = z.object({
  inputs: z
    .array(
      z.object({
        name: z.string(),
        datatype: z.enum(DATATYPES),
        shape: z.array(z.int().min(0)).max(16),
        data: z.unknown().optional(),
        file: z.string().min(1).optional(),
      }),
    )
    .min(1),
});

/** All samples of a model's folder, in the order of their names; none where it has no such folder. */
export async function samplesIn(folder: string): Promise<readonly string[]> {
  const names = await readdir(join(folder, SAMPLES_FOLDER)).catch(() => []);
  return names
    .filter((name) => name.endsWith('.json'))
    .sort()
    .map((name) => join(folder, SAMPLES_FOLDER, name));
}

/**
 * Those of the first one's shape class: a profile is of one.
 * @throws SampleError
 */
export async function readSamples(
  paths: readonly string[],
  signature: ModelSignature,
  onLog: (line: string) => void,
): Promise<readonly Sample[]> {
  const samples = await Promise.all(paths.map((path) => readSample(path, signature)));
  return ofOneClass(samples, paths[0] ?? '', onLog);
}

/** Those of the first one's shape class. @param first what that is, for people */
export function ofOneClass(
  samples: readonly Sample[],
  first: string,
  onLog: (line: string) => void,
): readonly Sample[] {
  const keyOf = (sample: Sample): string => shapeClassOf(sample, true).key;
  const alike = samples.filter((sample) => keyOf(sample) === keyOf(samples[0]!));
  if (alike.length < samples.length) {
    onLog(
      `${samples.length - alike.length} of ${samples.length} samples have other shapes than ${first} and are left out`,
    );
  }
  return alike;
}

/** @throws SampleError: no such file, not a request, not one of this model */
async function readSample(path: string, signature: ModelSignature): Promise<Sample> {
  const parsed = schema.safeParse(await readJson(path));
  if (!parsed.success) {
    const issue = parsed.error.issues[0]!;
    throw new SampleError(`sample ${path}: ${[...issue.path.map(String), issue.message].join(': ')}`);
  }
  const tensors: Tensor[] = [];
  for (const { name, datatype, shape, data, file } of parsed.data.inputs) {
    const bytes =
      file === undefined
        ? encode(path, name, () => encodeJsonData(name, datatype, shape, data))
        : await readBytes(path, file);
    const tensor: Tensor = { name, datatype, shape, data: bytes };
    encode(path, name, () => checkLayout(tensor));
    tensors.push(tensor);
  }
  checkFits(path, tensors, signature);
  return tensors;
}

function checkFits(path: string, sample: Sample, signature: ModelSignature): void {
  for (const tensor of sample) {
    const spec = signature.inputs.find(({ name }) => name === tensor.name);
    if (spec === undefined) {
      const names = signature.inputs.map(({ name }) => `'${name}'`).join(', ');
      throw new SampleError(`sample ${path}: the model has no input '${tensor.name}'; it has ${names}`);
    }
    if (spec.datatype === tensor.datatype && fitsDeclared(spec, tensor.shape)) continue;
    throw new SampleError(
      `sample ${path}: input '${spec.name}' is ${spec.datatype} ${shapeText(spec.shape)}, not ${tensor.datatype} ${shapeText(tensor.shape)}`,
    );
  }
  const missing = requiredInputs(signature).find(({ name }) => sample.every((tensor) => tensor.name !== name));
  if (missing !== undefined) throw new SampleError(`sample ${path}: input '${missing.name}' is missing`);
}

async function readJson(path: string): Promise<unknown> {
  const text = (await readBytes(path, path)).toString();
  try {
    return JSON.parse(text);
  } catch (error) {
    throw new SampleError(`sample ${path}: ${oneLine(error)}`);
  }
}

async function readBytes(path: string, file: string): Promise<Buffer> {
  const full = resolve(dirname(path), file);
  const info = await stat(full).catch(() => null);
  if (info === null) throw new SampleError(`sample ${path}: no file ${full}`);
  if (info.size > MOST_BYTES)
    throw new SampleError(`sample ${path}: ${full} is larger than ${MOST_BYTES / 1024 ** 2} MiB`);
  return readFile(full).catch((error: unknown) => {
    throw new SampleError(`sample ${path}: ${oneLine(error)}`);
  });
}

function encode<Result>(path: string, name: string, act: () => Result): Result {
  try {
    return act();
  } catch (error) {
    throw new SampleError(`sample ${path}: input '${name}': ${oneLine(error)}`);
  }
}
