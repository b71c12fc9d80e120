import { mkdir, rename, rm, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { stringify } from 'yaml';
import { DATATYPES } from '../../src/scheduler/domain/tensor.js';
import {
  multilayerPerceptron,
  RESNET_10,
  RESNET_18,
  RESNET_34,
  residualNetwork,
  WEIGHT_BOUND_MLP,
} from './load-models.js';
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

/** Two more of ResNet-18's family: with it, three variants of one model. */
export const VARIANT_MODELS: readonly GeneratedModel[] = [
  {
    name: 'resnet10',
    summary: 'ResNet-10 shape, seeded weights: half of ResNet-18',
    build: () => residualNetwork(RESNET_10),
  },
  {
    name: 'resnet34',
    summary: 'ResNet-34 shape, seeded weights: twice ResNet-18',
    build: () => residualNetwork(RESNET_34),
  },
];

/** What networks of these shapes have on ImageNet when they are trained, top-1 in %; docs/variants.md has the sources. */
const RESNET_VARIANTS = {
  variants: [
    { model: 'resnet34', accuracy: 73.314 },
    { model: 'resnet18', accuracy: 69.758 },
    { model: 'resnet10', accuracy: 63.9 },
  ],
};

/** Writes `<folder>/resnet/variants.yaml`, which makes one model of the three. @returns its path */
export async function writeVariantsFile(folder: string): Promise<string> {
  const path = join(folder, 'resnet', 'variants.yaml');
  await replaceFile(path, stringify(RESNET_VARIANTS));
  return path;
}

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
