import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import * as ort from 'onnxruntime-node';
import { afterAll, afterEach, describe, expect, it } from 'vitest';
import {
  multilayerPerceptron,
  RESNET_10,
  RESNET_18,
  RESNET_34,
  residualNetwork,
  WEIGHT_BOUND_MLP,
} from '../../research/load-models/load-models.js';
import { LOAD_MODELS, TINY_MODELS, writeModelFile } from '../../research/load-models/model-files.js';
import type { OnnxGraph } from '../../src/server/onnx/onnx-writer.js';
import * as tiny from '../../research/load-models/tiny-graphs.js';
import { DATATYPES, type Datatype } from '../../src/scheduler/domain/tensor.js';
import { Prng } from '../../src/scheduler/random/prng.js';
import { naiveMlp, naiveResidualNetwork } from '../oracle/naive-networks.js';
import { readOnnx } from '../oracle/onnx-reader.js';

// Every generated graph, loaded and run by ONNX Runtime itself.

const sessions: ort.InferenceSession[] = [];
afterEach(async () => {
  await Promise.all(sessions.splice(0).map((session) => session.release()));
});

async function load(model: OnnxGraph | Uint8Array): Promise<ort.InferenceSession> {
  const bytes = model instanceof Uint8Array ? model : model.toModel();
  // Runtime errors are expected below; level 4 (fatal) keeps them out of the test's output.
  const session = await ort.InferenceSession.create(bytes, { intraOpNumThreads: 1, logSeverityLevel: 4 });
  sessions.push(session);
  return session;
}

const float = (values: Iterable<number>, shape: readonly number[]) =>
  new ort.Tensor('float32', Float32Array.from(values), shape);

/** Runs a model of one input and one output. */
async function run(session: ort.InferenceSession, input: ort.Tensor): Promise<ort.Tensor> {
  const outputs = await session.run({ [session.inputNames[0]!]: input });
  return outputs[session.outputNames[0]!]!;
}

const numbers = (tensor: ort.Tensor): number[] => Array.from(tensor.data as Float32Array);
const dims = (tensors: readonly ort.InferenceSession.ValueMetadata[]) =>
  tensors.map((tensor) => (tensor.isTensor ? [tensor.name, tensor.type, ...tensor.shape] : []));

describe('identity', () => {
  /** Four elements at the edges of each type, as ONNX Runtime's tensors hold them. */
  const edges: Readonly<Record<Exclude<Datatype, 'BF16'>, ort.Tensor>> = {
    BOOL: new ort.Tensor('bool', Uint8Array.of(0, 1, 1, 0), [1, 4]),
    UINT8: new ort.Tensor('uint8', Uint8Array.of(0, 1, 254, 255), [1, 4]),
    UINT16: new ort.Tensor('uint16', Uint16Array.of(0, 1, 256, 65_535), [1, 4]),
    UINT32: new ort.Tensor('uint32', Uint32Array.of(0, 1, 2 ** 31, 2 ** 32 - 1), [1, 4]),
    UINT64: new ort.Tensor('uint64', BigUint64Array.of(0n, 1n, 2n ** 63n, 2n ** 64n - 1n), [1, 4]),
    INT8: new ort.Tensor('int8', Int8Array.of(-128, -1, 0, 127), [1, 4]),
    INT16: new ort.Tensor('int16', Int16Array.of(-32_768, -1, 0, 32_767), [1, 4]),
    INT32: new ort.Tensor('int32', Int32Array.of(-(2 ** 31), -1, 0, 2 ** 31 - 1), [1, 4]),
    INT64: new ort.Tensor('int64', BigInt64Array.of(-(2n ** 63n), -1n, 0n, 2n ** 63n - 1n), [1, 4]),
    // 1, −2, the smallest subnormal and infinity, as IEEE 754 binary16 bits.
    FP16: new ort.Tensor('float16', Uint16Array.of(0x3c00, 0xc000, 0x0001, 0x7c00), [1, 4]),
    FP32: float([0.1, -0, 1e-45, Infinity], [1, 4]),
    FP64: new ort.Tensor('float64', Float64Array.of(0.1, -0, 5e-324, -Infinity), [1, 4]),
    BYTES: new ort.Tensor('string', ['', 'a', 'Größe', '字'], [1, 4]),
  };

  it.each(DATATYPES.filter((datatype) => datatype !== 'BF16'))(
    'returns its %s input, element for element',
    async (datatype) => {
      const input = edges[datatype];
      const output = await run(await load(tiny.identity(datatype)), input);
      expect([output.type, output.dims, content(output)]).toEqual([input.type, input.dims, content(input)]);
    },
  );

  /** Bits, so that −0 and NaN count and it does not matter how this Node holds 16-bit floats. */
  function content({ data }: ort.Tensor): unknown {
    return ArrayBuffer.isView(data) ? Buffer.from(data.buffer, data.byteOffset, data.byteLength) : data;
  }

  it('takes any batch, none at all included', async () => {
    const session = await load(tiny.identity('FP32'));
    expect(dims(session.inputMetadata)).toEqual([['x', 'float32', 'batch', 4]]);
    expect((await run(session, float([1, 2, 3, 4, 5, 6, 7, 8], [2, 4]))).dims).toEqual([2, 4]);
    expect((await run(session, float([], [0, 4]))).dims).toEqual([0, 4]);
  });
});

describe('tiny graphs', () => {
  it('simple gives the sum and the difference', async () => {
    const session = await load(tiny.simple());
    const INPUT0 = new ort.Tensor(
      'int32',
      Int32Array.from({ length: 16 }, (_, i) => 10 * i),
      [1, 16],
    );
    const INPUT1 = new ort.Tensor(
      'int32',
      Int32Array.from({ length: 16 }, (_, i) => i),
      [1, 16],
    );
    const { OUTPUT0, OUTPUT1 } = await session.run({ INPUT0, INPUT1 });
    expect(OUTPUT0!.data).toEqual(Int32Array.from({ length: 16 }, (_, i) => 11 * i));
    expect(OUTPUT1!.data).toEqual(Int32Array.from({ length: 16 }, (_, i) => 9 * i));
  });

  it('fixed_batch doubles one request and refuses two', async () => {
    const session = await load(tiny.fixedBatch());
    expect(dims(session.inputMetadata)).toEqual([['x', 'float32', 1, 4]]);
    expect(numbers(await run(session, float([1, 2, 3, 4], [1, 4])))).toEqual([2, 4, 6, 8]);
    await expect(run(session, float([1, 2, 3, 4, 5, 6, 7, 8], [2, 4]))).rejects.toThrow(/Expected: 1/);
  });

  it('coupled_softmax shares 1 among the rows: alone 1, with an equal row ½', async () => {
    const session = await load(tiny.coupledSoftmax());
    expect(dims(session.inputMetadata)).toEqual([['x', 'float32', 'batch', 4]]);
    expect(numbers(await run(session, float([0, 1, 2, 3], [1, 4])))).toEqual([1, 1, 1, 1]);
    expect(numbers(await run(session, float([0, 1, 2, 3, 0, 1, 2, 3], [2, 4])))).toEqual(new Array(8).fill(0.5));
  });

  it('coupled_mean gives 0 alone and for equal rows; rows 1 and 3 become −1 and 1', async () => {
    const session = await load(tiny.coupledMean());
    expect(numbers(await run(session, float([1, 2, 3, 4], [1, 4])))).toEqual([0, 0, 0, 0]);
    expect(numbers(await run(session, float([1, 2, 3, 4, 1, 2, 3, 4], [2, 4])))).toEqual(new Array(8).fill(0));
    expect(numbers(await run(session, float([1, 1, 1, 1, 3, 3, 3, 3], [2, 4])))).toEqual([-1, -1, -1, -1, 1, 1, 1, 1]);
  });

  it('scalar doubles a number without axes', async () => {
    const output = await run(await load(tiny.scalar()), float([1.5], []));
    expect([output.dims, ...numbers(output)]).toEqual([[], 3]);
  });

  it('any_length doubles and adds up rows of any length; an empty row adds up to 0', async () => {
    const session = await load(tiny.anyLength());
    expect(dims(session.inputMetadata)).toEqual([['x', 'float32', 'batch', 'length']]);
    const two = await session.run({ x: float([1, 2, 3, 4, 5, 6], [2, 3]) });
    expect(numbers(two['doubled']!)).toEqual([2, 4, 6, 8, 10, 12]);
    expect(numbers(two['total']!)).toEqual([1 + 2 + 3, 4 + 5 + 6]);
    const empty = await session.run({ x: float([], [1, 0]) });
    expect([empty['doubled']!.dims, ...numbers(empty['total']!)]).toEqual([[1, 0], 0]);
  });

  it('lookup answers indices of the table and fails for a batch with one outside', async () => {
    const session = await load(tiny.lookup());
    const indices = (...values: bigint[]) => new ort.Tensor('int64', BigInt64Array.from(values), [values.length, 1]);
    expect(numbers(await run(session, indices(3n, 7n)))).toEqual([3, 9, 7, 49]);
    await expect(run(session, indices(3n, BigInt(tiny.LOOKUP_ROW_COUNT)))).rejects.toThrow(/out of data bounds/);
  });

  it('slow rolls its input by one place a step, each row by itself', async () => {
    const session = await load(tiny.slow(5));
    const length = tiny.SLOW_WIDTH;
    const rows = float(
      Array.from({ length: 2 * length }, (_, i) => i),
      [2, length],
    );
    const rolled = Array.from({ length: 2 * length }, (_, i) => {
      const row = Math.floor(i / length);
      return row * length + ((i - 5 + length) % length);
    });
    expect(numbers(await run(session, rows))).toEqual(rolled);
  });
});

/** Largest difference, relative to the largest expected number. */
function relativeError(actual: readonly number[], expected: readonly number[]): number {
  expect(actual.length).toBe(expected.length);
  const scale = Math.max(...expected.map(Math.abs));
  return Math.max(...expected.map((value, i) => Math.abs(value - actual[i]!))) / scale;
}

function noise(count: number, seed = 42): Float32Array {
  const prng = new Prng(seed);
  return Float32Array.from({ length: count }, () => 2 * prng.uniform() - 1);
}

describe('load models', () => {
  it('a residual network of two small stages equals plain loops over its weights', async () => {
    const bytes = residualNetwork({
      stageChannels: [4, 6],
      blocksPerStage: 2,
      pictureSize: 16,
      classCount: 5,
    }).toModel();
    const file = readOnnx(bytes);
    expect([file.irVersion, file.operatorSet]).toEqual([8, 17]);
    const picture = noise(3 * 16 * 16);
    const output = await run(await load(bytes), float(picture, [1, 3, 16, 16]));
    // float32 keeps 7 digits; a few hundred products a sum.
    expect(relativeError(numbers(output), naiveResidualNetwork(file, picture, 2, 2))).toBeLessThan(1e-5);
  });

  it("ResNet-18 has the published network's parameters and gives each request of a batch its own answer", async () => {
    const graph = residualNetwork(RESNET_18);
    // torchvision's resnet18 has 11 689 512, of which 2 · 4 800 scale and shift a channel; folded, 4 800 biases are left.
    expect(graph.parameterCount).toBe(11_689_512 - 4_800);
    const bytes = graph.toModel();
    expect(bytes.byteLength / 1e6).toBeCloseTo(46.7, 1); // 4 bytes each and some kB of graph
    const session = await load(bytes);
    expect(dims(session.inputMetadata)).toEqual([['input', 'float32', 'batch', 3, 224, 224]]);
    expect(dims(session.outputMetadata)).toEqual([['logits', 'float32', 'batch', 1000]]);
    const pictureLength = 3 * 224 * 224;
    const pictures = noise(2 * pictureLength);
    const one = numbers(await run(session, float(pictures.subarray(0, pictureLength), [1, 3, 224, 224])));
    const other = numbers(await run(session, float(pictures.subarray(pictureLength), [1, 3, 224, 224])));
    const both = numbers(await run(session, float(pictures, [2, 3, 224, 224])));
    expect(relativeError(both, [...one, ...other])).toBeLessThan(1e-4);
    expect(relativeError(other, one)).toBeGreaterThan(0.01);
    expect(both.every(Number.isFinite)).toBe(true);
  });

  it('ResNet-10 and 34 have the parameters of the published networks', () => {
    // torchvision's resnet34 has 21 797 672, and its blocks once a stage 5 418 792; folding saves one number a channel that is normalised.
    expect(residualNetwork(RESNET_34).parameterCount).toBe(21_797_672 - 8_512);
    expect(residualNetwork(RESNET_10).parameterCount).toBe(5_418_792 - 2_880);
  });

  it('the MLP has 3 × 2048² weights and equals plain loops over them, alone and in a batch', async () => {
    const { width, layerCount } = WEIGHT_BOUND_MLP;
    const graph = multilayerPerceptron(WEIGHT_BOUND_MLP);
    expect(graph.parameterCount).toBe(3 * 2048 ** 2 + 3 * 2048);
    const bytes = graph.toModel();
    const file = readOnnx(bytes);
    const rows = noise(2 * width);
    const session = await load(bytes);
    expect(dims(session.inputMetadata)).toEqual([['input', 'float32', 'batch', 2048]]);
    const expected = [rows.subarray(0, width), rows.subarray(width)].map((row) => naiveMlp(file, row, layerCount));
    expect(relativeError(numbers(await run(session, float(rows, [2, width]))), expected.flat())).toBeLessThan(1e-5);
    expect(
      relativeError(numbers(await run(session, float(rows.subarray(0, width), [1, width]))), expected[0]!),
    ).toBeLessThan(1e-5);
  });

  it('takes its weights from the seed: the same seed, the same bytes', () => {
    const bytes = (seed: number) => multilayerPerceptron({ width: 8, layerCount: 2 }, seed).toModel();
    expect(bytes(1)).toEqual(bytes(1));
    expect(bytes(1)).not.toEqual(bytes(2));
  });
});

describe('writeModelFile', () => {
  const folder = mkdtemp(join(tmpdir(), 'sponge-models-'));
  afterAll(async () => rm(await folder, { recursive: true }));

  it('writes every tiny model as a repository entry that loads, and leaves no other file', async () => {
    const root = await folder;
    for (const model of TINY_MODELS) {
      const written = await writeModelFile(root, model);
      expect(written.path).toBe(join(root, model.name, '1', 'model.onnx'));
      const bytes = await readFile(written.path);
      expect(bytes.byteLength).toBe(written.fileBytes);
      // The Node binding cannot; test/system/corpus loads it.
      if (model.name !== 'identity_bf16') await load(bytes);
    }
    expect((await readdir(root)).sort()).toEqual(TINY_MODELS.map(({ name }) => name).sort());
    expect((await readdir(join(root, 'simple'), { recursive: true })).sort()).toEqual(['1', '1/model.onnx']);
  });

  it('writes the shape of a model that leaves more than the batch open', async () => {
    const model = TINY_MODELS.find(({ name }) => name === 'any_length')!;
    const root = await folder;
    await writeModelFile(root, model);
    expect(await readFile(join(root, 'any_length', 'model.yaml'), 'utf8')).toBe('shape:\n  x:\n    - 1\n    - 8\n');
  });

  it('writes names that no other model has', () => {
    const names = [...LOAD_MODELS, ...TINY_MODELS].map(({ name }) => name);
    expect(new Set(names).size).toBe(names.length);
  });

  it('rejects with the file system’s error and leaves nothing where it cannot write', async () => {
    await expect(writeModelFile('/dev/null', TINY_MODELS[0]!)).rejects.toThrow(/ENOTDIR/);
  });
});
