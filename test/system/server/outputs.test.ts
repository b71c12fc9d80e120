import { copyFileSync, mkdirSync } from 'node:fs';
import { gzipSync } from 'node:zlib';
import * as ort from 'onnxruntime-node';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { decodeText, loadCharacters } from '../../../examples/ocr/decode.js';
import { LINE_SHAPE, loadLine } from '../../../examples/ocr/image.js';
import { OnnxGraph } from '../../../src/server/onnx/onnx-writer.js';
import { simple } from '../../../research/load-models/tiny-graphs.js';
import type { InferTensorContents, ModelInferRequest } from '../../../src/protocol/grpc/generated/open_inference.js';
import { DATATYPES, type Datatype, type Tensor } from '../../../src/scheduler/domain/tensor.js';
import { OCR_MODEL } from '../worker-fixture.js';
import {
  binaryOutputs,
  floatsOf,
  floatTensor,
  GrpcClient,
  grpcRequest,
  http,
  infer,
  inferBinary,
  parameterOf,
} from './clients.js';
import { REPOSITORY_ROOT, TestBench, type RunningServer } from './harness.js';

/*
 * The answers of a served model are those of ONNX Runtime itself, for every element type and in every encoding.
 */

const BATCH = 2;
const WIDTH = 4;
const SHAPE = [BATCH, WIDTH];

interface Sample {
  /** As JSON carries them; for FP16 their bits. */
  readonly values: readonly (number | boolean | string)[];
  readonly ortType: ort.Tensor.Type;
  readonly elements: ort.Tensor['data'];
}

function numbers(
  ortType: ort.Tensor.Type,
  make: (values: readonly number[]) => Exclude<ort.Tensor['data'], readonly string[]>,
  values: readonly number[],
): Sample {
  return { values, ortType, elements: make(values) };
}

const big = (values: readonly number[]): bigint[] => values.map(BigInt);
const BITS = [0, 1, 0, 1, 1, 0, 0, 1];
const WORDS = ['', 'a', 'Sponge', 'zwölf', '水', 'x'.repeat(300), '"quoted"', 'tab\t'];

type CarriedByBinding = Exclude<Datatype, 'BF16'>;
const CARRIED = DATATYPES.filter((datatype) => datatype !== 'BF16');

/** The extremes of every type are among them. */
const SAMPLES: Readonly<Record<CarriedByBinding, Sample>> = {
  BOOL: { values: BITS.map(Boolean), ortType: 'bool', elements: Uint8Array.from(BITS) },
  UINT8: numbers('uint8', (v) => Uint8Array.from(v), [0, 1, 2, 127, 128, 254, 255, 7]),
  UINT16: numbers('uint16', (v) => Uint16Array.from(v), [0, 1, 2, 255, 256, 32768, 65535, 7]),
  UINT32: numbers('uint32', (v) => Uint32Array.from(v), [0, 1, 2, 65536, 2 ** 31, 2 ** 32 - 1, 9, 7]),
  UINT64: numbers('uint64', (v) => BigUint64Array.from(big(v)), [0, 1, 2, 2 ** 32, 2 ** 52, 2 ** 53 - 1, 9, 7]),
  INT8: numbers('int8', (v) => Int8Array.from(v), [0, 1, -1, 127, -128, 64, -64, 7]),
  INT16: numbers('int16', (v) => Int16Array.from(v), [0, 1, -1, 32767, -32768, 256, -256, 7]),
  INT32: numbers('int32', (v) => Int32Array.from(v), [0, 1, -1, 2 ** 31 - 1, -(2 ** 31), 65536, -65536, 7]),
  INT64: numbers('int64', (v) => BigInt64Array.from(big(v)), [0, 1, -1, 2 ** 53 - 1, 1 - 2 ** 53, 2 ** 32, -9, 7]),
  // 0, 1, −2, the largest, the smallest, ∞, −∞, ⅓ in IEEE 754 binary16.
  FP16: numbers('float16', (v) => Uint16Array.from(v), [0, 0x3c00, 0xc000, 0x7bff, 0x0001, 0x7c00, 0xfc00, 0x3555]),
  FP32: numbers('float32', (v) => Float32Array.from(v), [0, 1, -1.5, 3.25, 2 ** -100, 16777216, -0.125, 7]),
  FP64: numbers('float64', (v) => Float64Array.from(v), [0, 1, -1.5, Math.PI, 5e-324, 1.7e308, -0.1, 7]),
  BYTES: { values: WORDS, ortType: 'string', elements: WORDS },
};

/** One input and one output of every type. */
function everyType(): OnnxGraph {
  const graph = new OnnxGraph('every_type');
  for (const datatype of CARRIED) {
    const name = datatype.toLowerCase();
    const input = graph.input(`in_${name}`, datatype, ['batch', WIDTH]);
    graph.output(graph.add('Identity', [input], {}, `out_${name}`), datatype, ['batch', WIDTH]);
  }
  return graph;
}

function bytesOf({ elements }: Sample): Uint8Array {
  if (!Array.isArray(elements)) return new Uint8Array(elements.buffer, elements.byteOffset, elements.byteLength);
  return Buffer.concat(
    elements.map((word) => {
      const text = Buffer.from(word);
      const length = Buffer.alloc(4);
      length.writeUInt32LE(text.length);
      return Buffer.concat([length, text]);
    }),
  );
}

/** A run of ONNX Runtime in this process, outputs in the protocol's binary layout. */
async function runDirectly(path: string, feeds: Record<string, ort.Tensor>): Promise<Map<string, Uint8Array>> {
  const session = await ort.InferenceSession.create(path, { intraOpNumThreads: 1 });
  const outputs = await session.run(feeds);
  await session.release();
  return new Map(
    Object.entries(outputs).map(([name, { type, data }]) => [
      name,
      Uint8Array.from(bytesOf({ values: [], ortType: type, elements: data })),
    ]),
  );
}

const bench = new TestBench();
let server: RunningServer;
let grpc: GrpcClient;
let everyTypePath: string;
/** Of the model of every type, by output name. */
let direct: Map<string, Uint8Array>;

const tensors: Tensor[] = CARRIED.map((datatype) => ({
  name: `in_${datatype.toLowerCase()}`,
  datatype,
  shape: SHAPE,
  data: bytesOf(SAMPLES[datatype]),
}));

beforeAll(async () => {
  const repository = bench.repository('models', { every_type: everyType(), simple: simple() });
  everyTypePath = `${repository}/every_type/1/model.onnx`;
  mkdirSync(`${repository}/ocr/1`, { recursive: true });
  copyFileSync(OCR_MODEL, `${repository}/ocr/1/model.onnx`);
  bench.file('models/ocr/model.yaml', 'shape: { x: [1, 3, 48, 320] }\n');
  const feeds = Object.fromEntries(
    CARRIED.map((datatype) => [
      `in_${datatype.toLowerCase()}`,
      new ort.Tensor(SAMPLES[datatype].ortType, SAMPLES[datatype].elements as never, SHAPE),
    ]),
  );
  direct = await runDirectly(everyTypePath, feeds);
  server = await bench.serve(repository, ['--no-refine', '--slo', '60000']);
  grpc = new GrpcClient(server);
});
afterAll(async () => {
  grpc.close();
  await bench.close();
});

/** Asserts that the tensors are all the outputs of the direct run, bit for bit. */
function expectDirect(outputs: readonly Tensor[]): void {
  expect(outputs.map(({ name }) => name).sort()).toEqual([...direct.keys()].sort());
  for (const { name, shape, data } of outputs) {
    expect(shape, name).toEqual(SHAPE);
    expect(Buffer.from(data).equals(direct.get(name)!), name).toBe(true);
  }
}

describe('a model with every element type, against ONNX Runtime itself', () => {
  it('answers binary tensors with the same bytes', async () => {
    const reply = await inferBinary(server, 'every_type', tensors, { id: 'all' });
    expect(reply.status, reply.json.error).toBe(200);
    expect(reply.json.id).toBe('all');
    expectDirect(binaryOutputs(reply));
  });

  it('answers JSON with the same values, in all types that JSON can carry, each asked for by name', async () => {
    const named = CARRIED.filter((datatype) => datatype !== 'FP16');
    const inputs = CARRIED.map((datatype) => ({
      name: `in_${datatype.toLowerCase()}`,
      datatype,
      shape: SHAPE,
      data: SAMPLES[datatype].values,
    }));
    const fp16 = await infer(server, 'every_type', inputs);
    expect(fp16.status).toBe(400);
    expect(fp16.json.error).toMatch(/FP16/);

    // FP16 goes in as binary, behind the JSON of all the others.
    const half = bytesOf(SAMPLES.FP16);
    const head = Buffer.from(
      JSON.stringify({
        inputs: inputs.map((input) =>
          input.datatype === 'FP16'
            ? { name: input.name, datatype: 'FP16', shape: SHAPE, parameters: { binary_data_size: half.byteLength } }
            : input,
        ),
        outputs: named.map((datatype) => ({ name: `out_${datatype.toLowerCase()}` })),
      }),
    );
    const reply = await http(`${server.rest}/v2/models/every_type/infer`, {
      method: 'POST',
      headers: { 'inference-header-content-length': String(head.length) },
      body: Buffer.concat([head, half]),
    });
    expect(reply.status, reply.json.error).toBe(200);
    for (const datatype of named) {
      const output = reply.json.outputs?.find(({ name }) => name === `out_${datatype.toLowerCase()}`);
      expect(output?.data, datatype).toEqual(SAMPLES[datatype].values);
    }
    expect(reply.json.outputs).toHaveLength(named.length);
  });

  it('answers raw gRPC tensors with the same bytes', async () => {
    const { error, response } = await grpc.infer(grpcRequest('every_type', tensors, { id: 'raw' }));
    expect(error).toBeNull();
    expect(response.id).toBe('raw');
    expectDirect(
      response.outputs.map(({ name, shape }, index) => ({
        name,
        datatype: 'FP32',
        shape,
        data: response.rawOutputContents[index]!,
      })),
    );
  });

  it('computes the requested outputs only, in the order asked', async () => {
    const outputs = [{ name: 'out_bytes' }, { name: 'out_int8' }];
    const reply = await inferBinary(server, 'every_type', tensors, { outputs });
    expect(binaryOutputs(reply).map(({ name }) => name)).toEqual(['out_bytes', 'out_int8']);
    const { response } = await grpc.infer(
      grpcRequest('every_type', tensors, { outputs: outputs.map(({ name }) => ({ name, parameters: {} })) }),
    );
    expect(response.outputs.map(({ name }) => name)).toEqual(['out_bytes', 'out_int8']);
    expect(response.rawOutputContents[1]!.equals(direct.get('out_int8')!)).toBe(true);
  });
});

describe('several inputs and outputs', () => {
  const first = Array.from({ length: 32 }, (_, i) => i);
  const second = Array.from({ length: 32 }, (_, i) => 100 - 3 * i);
  const sum = first.map((value, i) => value + second[i]!);
  const difference = first.map((value, i) => value - second[i]!);

  it('are told apart by name, whatever their order', async () => {
    const reply = await infer(server, 'simple', [
      { name: 'INPUT1', datatype: 'INT32', shape: [2, 16], data: second },
      { name: 'INPUT0', datatype: 'INT32', shape: [2, 16], data: first },
    ]);
    expect(reply.status).toBe(200);
    const outputs = new Map(reply.json.outputs?.map(({ name, data }) => [name, data]));
    expect(outputs.get('OUTPUT0')).toEqual(sum);
    expect(outputs.get('OUTPUT1')).toEqual(difference);
  });

  it('may be nested JSON, and compressed both ways', async () => {
    const rows = (values: readonly number[]): number[][] => [values.slice(0, 16), values.slice(16)];
    const body = JSON.stringify({
      inputs: [
        { name: 'INPUT0', datatype: 'INT32', shape: [2, 16], data: rows(first) },
        { name: 'INPUT1', datatype: 'INT32', shape: [2, 16], data: rows(second) },
      ],
    });
    const reply = await http(`${server.rest}/v2/models/simple/infer`, {
      method: 'POST',
      headers: { 'content-encoding': 'gzip' },
      body: gzipSync(body),
    });
    expect(reply.json.outputs?.[0]?.data).toEqual(sum);
  });

  it('take typed gRPC contents', async () => {
    const contents = (values: readonly number[]): InferTensorContents => ({
      boolContents: [],
      intContents: [...values],
      int64Contents: [],
      uintContents: [],
      uint64Contents: [],
      fp32Contents: [],
      fp64Contents: [],
      bytesContents: [],
    });
    const input = (name: string, values: readonly number[]): ModelInferRequest['inputs'][number] => ({
      name,
      datatype: 'INT32',
      shape: [2, 16],
      parameters: {},
      contents: contents(values),
    });
    const { error, response } = await grpc.infer(
      grpcRequest('simple', [], { inputs: [input('INPUT0', first), input('INPUT1', second)] }),
    );
    expect(error).toBeNull();
    const raw = response.rawOutputContents[1]!;
    expect([...new Int32Array(Uint8Array.from(raw).buffer)]).toEqual(difference);
  });
});

describe('the text recogniser', () => {
  it('answers as ONNX Runtime does, over REST and gRPC, and the text can be read', async () => {
    const line = await loadLine(`${REPOSITORY_ROOT}examples/line-of-text.png`);
    const shape = [1, ...LINE_SHAPE.slice(1)];
    const tensor = floatTensor('x', shape, line);
    const expected = [...(await runDirectly(OCR_MODEL, { x: new ort.Tensor('float32', line, shape) })).values()][0]!;
    const wanted = new Float32Array(expected.buffer);

    const reply = await inferBinary(server, 'ocr', [tensor], { sloMs: 30_000 });
    expect(reply.status, reply.json.error).toBe(200);
    expect(reply.json.parameters?.['sponge_budget_us']).toBeLessThanOrEqual(30_000_000);
    const { error, response } = await grpc.infer(grpcRequest('ocr', [tensor]), { deadlineMs: 30_000 });
    expect(error).toBeNull();
    expect(parameterOf(response, 'sponge_batch')).toBe(1);

    const answers = [
      floatsOf(binaryOutputs(reply)[0]!),
      new Float32Array(Uint8Array.from(response.rawOutputContents[0]!).buffer),
    ];
    for (const answer of answers) {
      expect(answer.length).toBe(wanted.length);
      // Sums are taken in another order by another number of threads.
      const worst = answer.reduce((most, value, i) => Math.max(most, Math.abs(value - wanted[i]!)), 0);
      expect(worst).toBeLessThan(1e-4);
      expect(decodeText(answer, loadCharacters()).text).toBe('Sponge SLO 250 ms');
    }
  });
});
