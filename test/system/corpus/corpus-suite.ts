import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Tensor } from '../../../src/scheduler/domain/tensor.js';
import {
  binaryOutputs,
  GrpcClient,
  grpcRequest,
  http,
  infer,
  inferBinary,
  parameterOf,
  scrape,
  type Reply,
} from '../server/clients.js';
import { eventually, TestBench, type RunningServer } from '../server/harness.js';
import type { CorpusModel, Inputs } from './corpus-model.js';
import { DirectRun } from './direct-run.js';
import { differenceBetween, jsonElements, typedContents } from './tensors.js';

/*
 * One server for all models of a part of the corpus. Every request is answered as ONNX Runtime alone answers it: through REST
 * binary, REST JSON, gRPC raw and gRPC typed, alone and among others.
 */

/** No answer is refused for its time: only what it says is of interest here. */
const SLO_MS = 60_000;
const COPIES = 3;

interface Answer {
  readonly outputs: readonly Tensor[];
  /** Requests in its batch. */
  readonly batchSize: number;
}

type Send = (server: RunningServer, grpc: GrpcClient, model: string, inputs: Inputs) => Promise<Answer>;

const restBinary: Send = async (server, _grpc, model, inputs) => {
  const reply = await inferBinary(server, model, inputs, { sloMs: SLO_MS });
  expect(reply.status, reply.json.error).toBe(200);
  return { outputs: binaryOutputs(reply), batchSize: batchSizeOf(reply) };
};

const grpcRaw: Send = async (_server, grpc, model, inputs) =>
  grpcAnswer(await grpc.infer(grpcRequest(model, inputs), { deadlineMs: SLO_MS }));

function grpcAnswer({ error, response }: Awaited<ReturnType<GrpcClient['infer']>>): Answer {
  expect(error?.details).toBeUndefined();
  const outputs = response.outputs.map(({ name, datatype, shape }, index) => ({
    name,
    datatype: datatype as Tensor['datatype'],
    shape,
    data: response.rawOutputContents[index]!,
  }));
  return { outputs, batchSize: Number(parameterOf(response, 'sponge_batch')) };
}

function batchSizeOf(reply: Reply): number {
  return Number(reply.json.parameters?.['sponge_batch']);
}

/** What is left to be told of a model once its server is up. */
interface Prepared extends CorpusModel {
  /** Of `requests`, in their order. */
  readonly answers: readonly (readonly Tensor[])[];
}

export function describeCorpus(title: string, models: readonly CorpusModel[]): void {
  describe(title, () => {
    const bench = new TestBench();
    let server: RunningServer;
    let grpc: GrpcClient;
    beforeAll(async () => {
      const graphs = Object.fromEntries(models.map(({ name, graph }) => [name, graph]));
      for (const { name, settings } of models)
        if (settings !== undefined) bench.file(`corpus/${name}/model.yaml`, settings);
      server = await bench.serve(bench.repository('corpus', graphs), ['--no-refine']);
      grpc = new GrpcClient(server);
    });
    afterAll(async () => {
      grpc.close();
      await bench.close();
    });

    it('is served as a whole', async () => {
      expect((await http(`${server.rest}/v2/health/ready`)).status).toBe(200);
    });

    for (const model of models)
      describe(model.name, () => {
        let prepared: Prepared;
        beforeAll(async () => {
          prepared = { ...model, answers: await answersOf(model) };
        });

        it('answers each request alone, over REST and gRPC, in every form that can carry it', async () => {
          for (const [index, inputs] of prepared.requests.entries()) {
            const answer = prepared.answers[index]!;
            expectAnswer(answer, (await restBinary(server, grpc, model.name, inputs)).outputs);
            expectAnswer(answer, (await grpcRaw(server, grpc, model.name, inputs)).outputs);
            await expectJson(server, model.name, inputs, answer);
            await expectTyped(grpc, model.name, inputs, answer);
          }
        });

        it('answers many at once as it answers each alone', async () => {
          const { json } = await http(`${server.rest}/v2/models/${model.name}/config`);
          const maxBatchSize = json['max_batch_size'];
          if (model.rows === 'coupled') expect(maxBatchSize).toBe(0);
          if (model.rows === 'independent') expect(maxBatchSize).toBeGreaterThan(1);

          const sent = Array.from({ length: COPIES }, () => [...prepared.requests.entries()]).flat();
          const answers = await whileWorkersStand(server, model.name, sent.length, () =>
            sent.map(([, inputs], place) => (place % 2 === 0 ? restBinary : grpcRaw)(server, grpc, model.name, inputs)),
          );
          for (const [place, [index]] of sent.entries())
            expectAnswer(prepared.answers[index]!, answers[place]!.outputs);
          const batchSizes = answers.map(({ batchSize }) => batchSize);
          if (model.rows === 'coupled') expect(Math.max(...batchSizes)).toBe(1);
          // The copies of a request are of one class, so there is something to share.
          if (model.rows === 'independent') expect(Math.max(...batchSizes)).toBeGreaterThan(1);
        });

        if (model.failing === undefined) return;
        const { failing } = model;
        it('says what it cannot do with a request, and lives on', async () => {
          for (const { inputs, message, isDeadly } of failing) {
            const reply = await inferBinary(server, model.name, inputs, { sloMs: SLO_MS });
            expect([reply.status, reply.json.reason]).toEqual([500, isDeadly ? 'poison' : 'backend']);
            expect(reply.json.error).toMatch(message);
          }
          const alive = await restBinary(server, grpc, model.name, prepared.requests[0]!);
          expectAnswer(prepared.answers[0]!, alive.outputs);
        });
      });
  });
}

async function answersOf({ graph, requests, expected }: CorpusModel): Promise<readonly (readonly Tensor[])[]> {
  if (expected !== undefined) return requests.map((inputs) => expected(inputs));
  const direct = await DirectRun.open(graph.toModel());
  const answers: (readonly Tensor[])[] = [];
  for (const inputs of requests) answers.push(await direct.run(inputs));
  await direct.close();
  return answers;
}

function expectAnswer(expected: readonly Tensor[], outputs: readonly Tensor[]): void {
  expect(outputs.map(({ name }) => name)).toEqual(expected.map(({ name }) => name));
  for (const [index, tensor] of expected.entries()) expect(differenceBetween(tensor, outputs[index]!)).toBeNull();
}

/** As JSON both ways; what JSON cannot carry is a 400 that names the tensor. */
async function expectJson(
  server: RunningServer,
  model: string,
  inputs: Inputs,
  expected: readonly Tensor[],
): Promise<void> {
  const data = inputs.map(jsonElements);
  const isCarried = data.every((elements) => elements !== null);
  const outputs = expected.map(jsonElements);
  const reply = isCarried
    ? await infer(
        server,
        model,
        inputs.map(({ name, datatype, shape }, index) => ({ name, datatype, shape, data: data[index]! })),
        { sloMs: SLO_MS },
      )
    : await binaryInJsonOut(server, model, inputs);
  if (outputs.some((elements) => elements === null)) {
    expect(reply.status, reply.json.error).toBe(400);
    expect(reply.json.error).toMatch(/JSON cannot carry|which JSON cannot carry/);
    return;
  }
  expect(reply.status, reply.json.error).toBe(200);
  // Integers beyond 2^53 come as plain numbers, which this client's JSON.parse rounds.
  const rounded = outputs.map((elements, index) =>
    expected[index]!.datatype.endsWith('INT64') ? elements!.map(Number) : elements,
  );
  const got = reply.json.outputs ?? [];
  expect(got.map(({ name, shape }) => ({ name, shape }))).toEqual(expected.map(({ name, shape }) => ({ name, shape })));
  for (const [index, elements] of rounded.entries()) {
    const { name, datatype, shape } = expected[index]!;
    if (datatype === 'FP32' || datatype === 'FP64')
      expectClose(elements as (number | string)[], got[index]?.data ?? []);
    else expect(got[index]?.data, `${name} [${shape.join()}]`).toEqual(elements);
  }
}

function expectClose(expected: readonly (number | string)[], actual: readonly unknown[]): void {
  expect(actual).toHaveLength(expected.length);
  const largest = Math.max(0, ...expected.filter((value) => typeof value === 'number').map(Math.abs));
  for (const [index, value] of expected.entries()) {
    if (typeof value === 'string') expect(actual[index]).toBe(value);
    else expect(Math.abs(Number(actual[index]) - value)).toBeLessThanOrEqual(1e-5 * (Math.abs(value) + largest));
  }
}

function binaryInJsonOut(server: RunningServer, model: string, inputs: Inputs): Promise<Reply> {
  const head = Buffer.from(
    JSON.stringify({
      inputs: inputs.map(({ data, ...rest }) => ({ ...rest, parameters: { binary_data_size: data.byteLength } })),
    }),
  );
  return http(`${server.rest}/v2/models/${model}/infer`, {
    method: 'POST',
    headers: { 'inference-header-content-length': String(head.length), 'request-timeout-ms': String(SLO_MS) },
    body: Buffer.concat([head, ...inputs.map(({ data }) => data)]),
  });
}

/** In typed contents; FP16 and BF16 have none, and are refused where somebody puts them into another's. */
async function expectTyped(
  grpc: GrpcClient,
  model: string,
  inputs: Inputs,
  expected: readonly Tensor[],
): Promise<void> {
  const contents = inputs.map(typedContents);
  const request = (index: number): ReturnType<typeof grpcRequest>['inputs'][number] => {
    const { name, datatype, shape } = inputs[index]!;
    return { name, datatype, shape: [...shape], parameters: {}, contents: contents[index] ?? undefined };
  };
  const answer = await grpc.infer(grpcRequest(model, [], { inputs: inputs.map((_, index) => request(index)) }), {
    deadlineMs: SLO_MS,
  });
  const untyped = inputs.find(({ datatype }) => datatype === 'FP16' || datatype === 'BF16');
  if (untyped !== undefined) {
    expect(answer.error?.details).toMatch(`${untyped.datatype} has no typed contents`);
    return;
  }
  // 64-bit integers that the generated client cannot write: the decoder's own test sends them.
  if (contents.includes(null)) return;
  expectAnswer(expected, grpcAnswer(answer).outputs);
}

/**
 * Sends while no worker moves, so that all are there when they go on, but for those that were started and cannot end: batches form whatever
 * the machine's speed.
 * @param count of the requests that `send` makes
 */
async function whileWorkersStand<Result>(
  server: RunningServer,
  model: string,
  count: number,
  send: () => readonly Promise<Result>[],
): Promise<Result[]> {
  const workers = server.workers();
  for (const pid of workers) process.kill(pid, 'SIGSTOP');
  try {
    const startedBefore = (await scrape(server)).sum('sponge_batch_size_sum', { model });
    const results = Promise.all(send());
    // Its failure is told by the caller's await.
    results.catch(() => undefined);
    await eventually('all requests to arrive', async () => {
      const metrics = await scrape(server);
      const startedCount = metrics.sum('sponge_batch_size_sum', { model }) - startedBefore;
      return metrics.sum('sponge_queue_depth', { model }) + startedCount === count;
    });
    for (const pid of workers) process.kill(pid, 'SIGCONT');
    return await results;
  } finally {
    for (const pid of workers) process.kill(pid, 'SIGCONT');
  }
}
