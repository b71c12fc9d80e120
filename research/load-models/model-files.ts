import { mkdir, rename, rm, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { stringify } from 'yaml';
import { DATATYPES } from '../../src/scheduler/domain/tensor.js';
import { multilayerPerceptron, RESNET_18, residualNetwork, WEIGHT_BOUND_MLP } from './load-models.js';
import type { OnnxGraph } from '../../src/server/onnx/onnx-writer.js';
import * as tiny from './tiny-graphs.js';

/** A model that this project can write into a model repository. */
export interface GeneratedModel {
  /** Its folder in the repository, and its name once served. */
  readonly name: string;
  /** What it is good for, one line. */
  readonly summary: string;
  build(): OnnxGraph;
  /** A request's shape for each input that leaves more than the batch open: what profiling runs. */
  readonly shape?: Readonly<Record<string, readonly number[]>>;
}

export const LOAD_MODELS: readonly GeneratedModel[] = [
  {
    name: 'resnet18',
    summary: 'ResNet-18 shape, seeded weights: gains from cores',
    build: () => residualNetwork(RESNET_18),
  },
  {
    name: 'mlp',
    summary: '3 dense layers of 2048², seeded weights: gains from batching',
    build: () => multilayerPerceptron(WEIGHT_BOUND_MLP),
  },
];

/** About 150 ms on one core, see `slow`. */
const SLOW_STEP_COUNT = 1000;

export const TINY_MODELS: readonly GeneratedModel[] = [
  ...DATATYPES.map((datatype) => ({
    name: `identity_${datatype.toLowerCase()}`,
    summary: `returns its ${datatype} input`,
    build: () => tiny.identity(datatype),
  })),
  { name: 'simple', summary: "sum and difference, as Triton's example", build: tiny.simple },
  { name: 'fixed_batch', summary: 'fixed first axis: not batchable', build: tiny.fixedBatch },
  { name: 'coupled_softmax', summary: 'rows depend on each other: not batchable', build: tiny.coupledSoftmax },
  { name: 'coupled_mean', summary: 'rows depend on each other unless equal: not batchable', build: tiny.coupledMean },
  { name: 'scalar', summary: 'no axes at all', build: tiny.scalar },
  { name: 'any_length', summary: 'two dynamic axes', build: tiny.anyLength, shape: { x: [1, 8] } },
  { name: 'lookup', summary: 'fails at run time for an index outside −8 … 7', build: tiny.lookup },
  { name: 'slow', summary: 'about 150 ms on one core', build: () => tiny.slow(SLOW_STEP_COUNT) },
];

/** One model of a repository, on disk. */
interface WrittenModel {
  readonly name: string;
  readonly path: string;
  readonly parameterCount: number;
  readonly fileBytes: number;
}

/**
 * Writes a model as `<folder>/<name>/1/model.onnx`, and `<folder>/<name>/model.yaml` where it needs a shape. An existing
 * one is replaced in one step, so that a server never finds half a file. Rejects with the file system's error.
 */
export async function writeModelFile(folder: string, model: GeneratedModel): Promise<WrittenModel> {
  const graph = model.build();
  const bytes = graph.toModel();
  const path = join(folder, model.name, '1', 'model.onnx');
  if (model.shape !== undefined)
    await replaceFile(join(folder, model.name, 'model.yaml'), stringify({ shape: model.shape }));
  await replaceFile(path, bytes);
  return { name: model.name, path, parameterCount: graph.parameterCount, fileBytes: bytes.byteLength };
}

async function replaceFile(path: string, content: string | Uint8Array): Promise<void> {
  await mkdir(dirname(path), { recursive: true });
  const unfinished = `${path}.${process.pid}.tmp`;
  try {
    await writeFile(unfinished, content);
    await rename(unfinished, path);
  } catch (error) {
    await rm(unfinished, { force: true });
    throw error;
  }
}
