import { credentials, loadPackageDefinition, status } from '@grpc/grpc-js';
import type { Client, ClientDuplexStream, ServiceError } from '@grpc/grpc-js';
import { loadFileDescriptorSetFromBuffer, loadSync } from '@grpc/proto-loader';
import { createFileRegistry, fromBinary } from '@bufbuild/protobuf';
import { FileDescriptorSetSchema, type DescriptorProto } from '@bufbuild/protobuf/wkt';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { DataType } from '../../src/protocol/grpc/generated/model_config.js';
import { packBytes, unpackBytes } from '../../src/protocol/tensor-layout.js';
import { DATATYPES } from '../../src/scheduler/domain/tensor.js';
import type { Datatype } from '../../src/scheduler/domain/tensor.js';
import { call, rawRequest, smallRequest, startHarness } from './grpc-harness.js';
import type { Harness } from './grpc-harness.js';

let harness: Harness;
beforeAll(async () => {
  harness = await startHarness();
});
afterEach(() => {
  expect(harness.logged).toEqual([]);
  harness.service.reset();
});
afterAll(() => harness.close());

describe('gRPC health and metadata', () => {
  it('tells live, ready and model readiness, also while not ready', async () => {
    const { client, service } = harness;
    expect((await call(client, 'serverLive', {})).response).toEqual({ live: true });
    expect((await call(client, 'serverReady', {})).response).toEqual({ ready: true });
    expect((await call(client, 'modelReady', { name: 'raw', version: '1' })).response).toEqual({ ready: true });
    expect((await call(client, 'modelReady', { name: 'loading', version: '' })).response).toEqual({
      ready: false,
    });
    service.isReadyNow = false;
    expect((await call(client, 'serverReady', {})).response).toEqual({ ready: false });
  });

  it('describes the server and a model', async () => {
    const { client } = harness;
    expect((await call(client, 'serverMetadata', {})).response).toMatchObject({
      name: 'sponge-test',
      version: '0.0.1',
      extensions: expect.arrayContaining(['binary_tensor_data', 'statistics']) as string[],
    });
    expect((await call(client, 'modelMetadata', { name: 'fixed', version: '' })).response).toEqual({
      name: 'fixed',
      versions: ['1'],
      platform: 'onnxruntime_onnx',
      inputs: [
        { name: 'a', datatype: 'FP32', shape: [2, 3] },
        { name: 'b', datatype: 'INT64', shape: [-1] },
      ],
      outputs: [
        { name: 'sum', datatype: 'FP32', shape: [2, 3] },
        { name: 'count', datatype: 'INT64', shape: [-1] },
      ],
    });
  });

  it("tells a model's configuration in Triton's words, the batch axis left out where it is batchable", async () => {
    const { client } = harness;
    const batchable = await call(client, 'modelConfig', { name: 'raw', version: '' });
    expect(batchable.response.config).toMatchObject({
      name: 'raw',
      platform: 'onnxruntime_onnx',
      backend: 'onnxruntime',
      maxBatchSize: 8,
      input: [{ name: 'x', dataType: DataType.TYPE_FP32, dims: [4] }],
      output: [{ name: 'y', dataType: DataType.TYPE_FP32, dims: [4] }],
      schedulingChoice: { $case: 'dynamicBatching' },
    });
    const fixed = await call(client, 'modelConfig', { name: 'fixed', version: '' });
    expect(fixed.response.config).toMatchObject({ maxBatchSize: 0, schedulingChoice: undefined });
    expect(fixed.response.config?.input[0]?.dims).toEqual([2, 3]);
    for (const datatype of DATATYPES) {
      const name = `identity_${datatype.toLowerCase()}`;
      const { response } = await call(client, 'modelConfig', { name, version: '' });
      expect(response.config?.input[0]?.dataType).toBe(configDataType(datatype));
    }
  });

  it('says which inputs may be left out, and gives [-1] for a rank that is not declared', async () => {
    const { client } = harness;
    const metadata = await call(client, 'modelMetadata', { name: 'open', version: '' });
    expect(metadata.response.inputs).toEqual([
      { name: 'x', datatype: 'FP32', shape: [-1] },
      { name: 'scale', datatype: 'FP32', shape: [3] },
    ]);
    const { response } = await call(client, 'modelConfig', { name: 'open', version: '' });
    expect(response.config?.input).toMatchObject([
      { name: 'x', dataType: DataType.TYPE_FP32, dims: [-1], optional: false },
      { name: 'scale', dataType: DataType.TYPE_FP32, dims: [3], optional: true },
    ]);
  });

  it('gives statistics of one model or of all', async () => {
    const { client, service } = harness;
    const one = await call(client, 'modelStatistics', { name: 'raw', version: '' });
    expect(one.response.modelStats).toHaveLength(1);
    expect(one.response.modelStats[0]).toMatchObject({
      name: 'raw',
      lastInference: 1_700_000_000_000,
      inferenceCount: 3,
      executionCount: 2,
      inferenceStats: { success: { count: 3, ns: 9_000_000 }, computeInfer: { count: 3, ns: 7_000_000 } },
      batchStats: [{ batchSize: 1 }, { batchSize: 2, computeInfer: { count: 1, ns: 4_000_000 } }],
    });
    const all = await call(client, 'modelStatistics', { name: '', version: '' });
    expect(all.response.modelStats).toHaveLength(service.models().length);
  });

  it('lists the repository, all of it or what is ready', async () => {
    const { client, service } = harness;
    const all = await call(client, 'repositoryIndex', { repositoryName: '', ready: false });
    expect(all.response.models).toHaveLength(service.models().length);
    expect(all.response.models).toContainEqual({
      name: 'loading',
      version: '1',
      state: 'LOADING',
      reason: 'reading model.onnx',
    });
    const ready = await call(client, 'repositoryIndex', { repositoryName: '', ready: true });
    expect(ready.response.models.map((model) => model.name)).not.toContain('loading');
    expect(ready.response.models).toHaveLength(service.models().length - 1);
  });

  it('refuses to load and unload', async () => {
    const { client } = harness;
    const request = { repositoryName: '', modelName: 'raw', parameters: {} };
    for (const method of ['repositoryModelLoad', 'repositoryModelUnload'] as const) {
      const { error } = await call(client, method, request);
      expect(error).toMatchObject({
        code: status.FAILED_PRECONDITION,
        details: expect.stringContaining('explicit model load / unload is not allowed') as string,
      });
    }
  });
});

describe('gRPC inference', () => {
  it.each(DATATYPES)('carries raw %s there and back', async (datatype) => {
    const { client, service } = harness;
    const data =
      datatype === 'BYTES'
        ? new Uint8Array([1, 0, 0, 0, 65, 0, 0, 0, 0])
        : Uint8Array.from({ length: 2 * elementBytes(datatype) }, (_, index) => (datatype === 'BOOL' ? 1 : index + 1));
    const name = `identity_${datatype.toLowerCase()}`;
    const { error, response } = await call(client, 'modelInfer', rawRequest(name, datatype, [1, 2], data));
    expect(error).toBeNull();
    expect(response.outputs).toMatchObject([{ name: 'y', datatype, shape: [1, 2], contents: undefined }]);
    expect(response.rawOutputContents.map((raw) => Uint8Array.from(raw))).toEqual([data]);
    expect(service.calls[0]?.call.inputs[0]).toMatchObject({ name: 'x', datatype, shape: [1, 2] });
  });

  it('carries the bytes of strings, whatever they are, raw and typed', async () => {
    const { client } = harness;
    // 'a', NUL, 'b'; no UTF-8; nothing; 3 MB.
    const elements = [Buffer.from('a\0b'), Buffer.from([0xff, 0xfe]), Buffer.alloc(0), Buffer.alloc(3_000_000, 0x80)];
    const packed = packBytes(elements);
    const raw = await call(client, 'modelInfer', rawRequest('identity_bytes', 'BYTES', [2, 2], packed));
    const typed = await call(
      client,
      'modelInfer',
      rawRequest('identity_bytes', 'BYTES', [], new Uint8Array(0), {
        inputs: [tensor('x', 'BYTES', [2, 2], { bytesContents: elements })],
        rawInputContents: [],
      }),
    );
    for (const { error, response } of [raw, typed]) {
      expect(error).toBeNull();
      expect(response.rawOutputContents[0]!.equals(packed)).toBe(true);
    }
  });

  it.each<readonly number[]>([[], [0], [2, 0]])(
    'takes a scalar and empty tensors, raw and typed: [%j]',
    async (...shape) => {
      const { client } = harness;
      const values = new Float32Array(shape.length === 0 ? [2.5] : []);
      const data = new Uint8Array(values.buffer);
      const raw = await call(client, 'modelInfer', rawRequest('open', 'FP32', shape, data));
      const typed = await call(
        client,
        'modelInfer',
        rawRequest('open', 'FP32', [], data, {
          inputs: [tensor('x', 'FP32', shape, { fp32Contents: [...values] })],
          rawInputContents: [],
        }),
      );
      for (const { error, response } of [raw, typed]) {
        expect(error).toBeNull();
        expect(response.outputs).toMatchObject([{ name: 'y', shape }]);
        expect(Uint8Array.from(response.rawOutputContents[0]!)).toEqual(data);
      }
    },
  );

  it.each(['FP16', 'BF16'])('takes %s raw only', async (datatype) => {
    const { client } = harness;
    const { error } = await call(
      client,
      'modelInfer',
      rawRequest(`identity_${datatype.toLowerCase()}`, datatype, [], new Uint8Array(0), {
        inputs: [tensor('x', datatype, [1, 1], { fp32Contents: [1] })],
        rawInputContents: [],
      }),
    );
    expect(error).toMatchObject({
      code: status.INVALID_ARGUMENT,
      details: `tensor 'x': ${datatype} has no typed contents, send it in raw_input_contents`,
    });
  });

  it('takes typed contents and answers raw, as Triton does', async () => {
    const { client } = harness;
    const typed = rawRequest('fixed', 'FP32', [], new Uint8Array(0), {
      inputs: [
        tensor('b', 'INT64', [2], { int64Contents: [-5, 2 ** 40] }),
        tensor('a', 'FP32', [2, 3], { fp32Contents: [1, 2, 3, 4, 5, 6] }),
      ],
      outputs: [
        { name: 'count', parameters: {} },
        { name: 'sum', parameters: {} },
      ],
      rawInputContents: [],
    });
    const { error, response } = await call(client, 'modelInfer', typed);
    expect(error).toBeNull();
    expect(response.outputs.map((output) => output.name)).toEqual(['count', 'sum']);
    const [count, sum] = response.rawOutputContents.map((raw) => Uint8Array.from(raw));
    expect(count).toEqual(new Uint8Array(BigInt64Array.from([-5n, 2n ** 40n]).buffer));
    expect(sum).toEqual(new Uint8Array(new Float32Array([1, 2, 3, 4, 5, 6]).buffer));
  });

  it('hands the service everything the client said, and when it arrived', async () => {
    const { client, service } = harness;
    const beforeMs = performance.now();
    const parameters = { timeout: { parameterChoice: { $case: 'int64Param' as const, value: 70_000 } } };
    const request = smallRequest({
      modelVersion: '1',
      id: 'r-1',
      parameters,
      outputs: [{ name: 'y', parameters: {} }],
    });
    await call(client, 'modelInfer', request, { metadata: { 'sponge-upload-us': '1500' } });
    const received = service.calls[0]!.call;
    expect(received).toMatchObject({
      modelName: 'raw',
      modelVersion: '1',
      id: 'r-1',
      outputNames: ['y'],
      parameters: { timeout: 70_000, sponge_upload_us: 1500 },
      statedBudgetsMs: [],
    });
    const { firstByteAtMs, receivedAtMs, bodyBytes, peer } = received.arrival;
    expect(firstByteAtMs).toBeGreaterThanOrEqual(beforeMs);
    expect(receivedAtMs).toBeGreaterThanOrEqual(firstByteAtMs);
    expect(receivedAtMs).toBeLessThanOrEqual(performance.now());
    expect(bodyBytes).toBeGreaterThan(16);
    expect(peer).toBe('127.0.0.1');
  });

  it('explains how the request was served, in integers, text and booleans, and echoes its id', async () => {
    const { client } = harness;
    const { response } = await call(client, 'modelInfer', smallRequest({ id: 'abc' }));
    expect(response).toMatchObject({ modelName: 'raw', modelVersion: '1', id: 'abc' });
    expect(response.parameters).toMatchObject({
      sponge_budget_us: { parameterChoice: { $case: 'int64Param', value: 500_000 } },
      sponge_queue_us: { parameterChoice: { $case: 'int64Param', value: 1500 } },
      sponge_network_delay_source: { parameterChoice: { $case: 'stringParam', value: 'transfer' } },
    });
  });

  it('takes x-request-id as the id of a request that has none', async () => {
    const { client } = harness;
    const metadata = { 'x-request-id': 'from-metadata' };
    expect((await call(client, 'modelInfer', smallRequest(), { metadata })).response.id).toBe('from-metadata');
    expect((await call(client, 'modelInfer', smallRequest({ id: 'own' }), { metadata })).response.id).toBe('own');
  });

  it('serves a message close to 64 MiB', async () => {
    const { client } = harness;
    const data = new Uint8Array((64 << 20) - 1024).fill(7);
    const { error, response } = await call(
      client,
      'modelInfer',
      rawRequest('identity_uint8', 'UINT8', [1, data.length], data),
    );
    expect(error).toBeNull();
    expect(response.rawOutputContents[0]?.equals(data)).toBe(true);
  });
});

describe('classification over gRPC', () => {
  it('answers the largest of each row with their labels', async () => {
    const parameters = { classification: { parameterChoice: { $case: 'int64Param', value: 2 } } } as const;
    const request = smallRequest({ outputs: [{ name: 'y', parameters }] });
    const { response } = await call(harness.client, 'modelInfer', request);
    expect(response.outputs).toMatchObject([{ name: 'y', datatype: 'BYTES', shape: [1, 2] }]);
    const texts = unpackBytes(response.rawOutputContents[0]!).map((text) => Buffer.from(text).toString());
    expect(texts).toEqual(['4.000000:3', '3.000000:2:cat']);
  });
});

describe('gRPC reflection', () => {
  it('describes the services well enough to build a client from', async () => {
    const files = await reflectedFiles(harness.target, 'inference.GRPCInferenceService');
    const definitions = loadFileDescriptorSetFromBuffer(fileDescriptorSet(files), {
      keepCase: true,
      longs: String,
      defaults: true,
    });
    const loaded = loadPackageDefinition(definitions) as unknown as {
      inference: { GRPCInferenceService: new (target: string, creds: object) => DynamicClient };
    };
    const client = new loaded.inference.GRPCInferenceService(harness.target, credentials.createInsecure());
    const answer = await new Promise<Record<string, unknown>>((resolve, reject) => {
      client.ModelInfer(
        {
          model_name: 'identity_int64',
          inputs: [{ name: 'x', datatype: 'INT64', shape: [1, 1], contents: { int64_contents: ['9007199254740993'] } }],
        },
        (error, response) => (error === null ? resolve(response) : reject(error)),
      );
    });
    client.close();
    expect(answer['raw_output_contents']).toEqual([Buffer.from(BigInt64Array.from([9_007_199_254_740_993n]).buffer)]);
  });

  it('gives descriptors of which only the entries of maps are marked as such, which others are refused for', async () => {
    const files = await reflectedFiles(harness.target, 'inference.GRPCInferenceService');
    // A file comes before those that it imports, which a registry wants the other way round.
    const set = fromBinary(FileDescriptorSetSchema, fileDescriptorSet([...files].reverse()));
    const messages = set.file.flatMap((file) => file.messageType);
    const isEntry = (message: DescriptorProto): boolean => message.options?.mapEntry === true;
    expect(messages.filter(isEntry)).toEqual([]);
    const entries = messages.flatMap((message) => message.nestedType).filter(isEntry);
    expect(entries.length).toBeGreaterThan(5);
    for (const { name, field } of entries) {
      expect([name, field.map((each) => each.name)]).toEqual([expect.stringMatching(/Entry$/), ['key', 'value']]);
    }
    const maps = createFileRegistry(set)
      .getMessage('inference.ModelInferRequest')!
      .fields.filter(({ fieldKind }) => fieldKind === 'map');
    expect(maps.map(({ name }) => name)).toEqual(['parameters']);
  });

  it('lists both services', async () => {
    expect(await reflectedServices(harness.target)).toEqual(
      expect.arrayContaining(['grpc.health.v1.Health', 'inference.GRPCInferenceService']),
    );
  });
});

interface DynamicClient extends Client {
  ModelInfer(request: object, callback: (error: ServiceError | null, response: Record<string, unknown>) => void): void;
}

interface ReflectionResponse {
  readonly file_descriptor_response?: { readonly file_descriptor_proto: Buffer[] };
  readonly list_services_response?: { readonly service: { readonly name: string }[] };
}

async function reflectedFiles(target: string, symbol: string): Promise<Buffer[]> {
  const response = await askReflection(target, { file_containing_symbol: symbol });
  return response.file_descriptor_response?.file_descriptor_proto ?? [];
}

async function reflectedServices(target: string): Promise<string[]> {
  const response = await askReflection(target, { list_services: '*' });
  return response.list_services_response?.service.map((service) => service.name) ?? [];
}

function askReflection(target: string, request: object): Promise<ReflectionResponse> {
  const protoPath = new URL('../../src/protocol/grpc/proto/reflection.proto', import.meta.url).pathname;
  const loaded = loadPackageDefinition(loadSync(protoPath, { keepCase: true, oneofs: true })) as unknown as {
    grpc: { reflection: { v1: { ServerReflection: new (target: string, creds: object) => ReflectionClient } } };
  };
  const client = new loaded.grpc.reflection.v1.ServerReflection(target, credentials.createInsecure());
  return new Promise((resolve, reject) => {
    const stream = client.ServerReflectionInfo();
    stream.on('data', (response: ReflectionResponse) => {
      resolve(response);
      stream.end();
    });
    stream.on('error', reject);
    stream.on('end', () => client.close());
    stream.write(request);
  });
}

interface ReflectionClient extends Client {
  ServerReflectionInfo(): ClientDuplexStream<object, ReflectionResponse>;
}

/** A FileDescriptorSet: field 1, repeated. */
function fileDescriptorSet(files: readonly Buffer[]): Buffer {
  return Buffer.concat(
    files.flatMap((file) => {
      const length: number[] = [];
      let rest = file.length;
      for (; rest >= 0x80; rest >>= 7) length.push((rest & 0x7f) | 0x80);
      return [Buffer.from([0x0a, ...length, rest]), file];
    }),
  );
}

function tensor(
  name: string,
  datatype: string,
  shape: number[],
  given: { int64Contents?: number[]; fp32Contents?: number[]; bytesContents?: Buffer[] },
): ReturnType<typeof smallRequest>['inputs'][number] {
  return {
    name,
    datatype,
    shape,
    parameters: {},
    contents: {
      boolContents: [],
      intContents: [],
      int64Contents: [],
      uintContents: [],
      uint64Contents: [],
      fp32Contents: [],
      fp64Contents: [],
      bytesContents: [],
      ...given,
    },
  };
}

function configDataType(datatype: Datatype): DataType {
  return datatype === 'BYTES' ? DataType.TYPE_STRING : DataType[`TYPE_${datatype}`];
}

function elementBytes(datatype: string): number {
  return datatype === 'BOOL' ? 1 : Number(/\d+$/.exec(datatype)?.[0]) / 8;
}
