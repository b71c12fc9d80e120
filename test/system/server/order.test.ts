import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { SLOW_WIDTH, slow } from '../../../research/load-models/tiny-graphs.js';
import {
  batchesStarted,
  GrpcClient,
  grpcRequest,
  inferBinary,
  parameterOf,
  queueDepth,
  slowInput,
  slowPlace,
  type Reply,
} from './clients.js';
import { eventually, TestBench, type RunningServer } from './harness.js';
import { slowStepsFor } from './machine-speed.js';
import { holdRun, PATIENT } from './mid-run.js';

/*
 * While the one worker is busy: who goes next, and who is refused at once. Batches of one, so that order shows.
 */

/** 0.6 s on one core. */
const STEPS = await slowStepsFor(600);
const REFUSALS = 7;

const bench = new TestBench();
let server: RunningServer;
let grpc: GrpcClient;

beforeAll(async () => {
  server = await bench.serve(bench.model('slow', slow(STEPS)), [
    '--max-batch',
    '1',
    '--min-cores',
    '1',
    '--max-cores',
    '1',
    '--no-refine',
    ...PATIENT,
  ]);
  grpc = new GrpcClient(server);
});
afterAll(async () => {
  grpc.close();
  await bench.close();
});

interface Refusal {
  readonly elapsedMs: number;
  readonly atMs: number;
}

/** @returns how long each of `count` refusals took, all of which came while the model ran; the model runs as often as that takes */
async function refusalsDuringRuns(refuse: () => Promise<Refusal>, count: number): Promise<number[]> {
  const elapsedMs: number[] = [];
  while (elapsedMs.length < count) {
    const before = await batchesStarted(server);
    let runEndedAtMs = Infinity;
    const running = inferBinary(server, 'slow', [slowInput(0)], { sloMs: 60_000 }).then(({ status, atMs }) => {
      expect(status).toBe(200);
      runEndedAtMs = atMs;
    });
    await eventually('the batch to start', async () => (await batchesStarted(server)) === before + 1);
    while (runEndedAtMs === Infinity && elapsedMs.length < count) {
      const refusal = await refuse();
      if (refusal.atMs < runEndedAtMs) elapsedMs.push(refusal.elapsedMs);
    }
    await running;
  }
  return elapsedMs;
}

describe('a busy worker', () => {
  it('goes on with the tightest deadline, however it was stated, and not with the first request', async () => {
    const blocker = await holdRun(server, () => inferBinary(server, 'slow', [slowInput(0)], { sloMs: 60_000 }));
    const before = await batchesStarted(server);

    // Deadlines fall from one to the next.
    const sent: Promise<{ name: string; atMs: number; place: number }>[] = [];
    const send = async (name: string, answering: Promise<{ atMs: number; place: number }>): Promise<void> => {
      sent.push(answering.then((answer) => ({ name, ...answer })));
      await eventually(`${name} to be queued`, async () => (await queueDepth(server)) === sent.length);
    };
    const ofRest = (reply: Promise<Reply>): Promise<{ atMs: number; place: number }> =>
      reply.then((answer) => {
        expect(answer.status, answer.json.error).toBe(200);
        return { atMs: answer.atMs, place: slowPlace(answer) };
      });
    await send('header, 50 s', ofRest(inferBinary(server, 'slow', [slowInput(1)], { sloMs: 50_000 })));
    await send(
      'parameter, 40 s',
      ofRest(inferBinary(server, 'slow', [slowInput(2)], { parameters: { timeout: 40_000_000 } })),
    );
    await send(
      'grpc-timeout, 30 s',
      grpc.infer(grpcRequest('slow', [slowInput(3)]), { deadlineMs: 30_000 }).then(({ error, response, atMs }) => {
        expect(error).toBeNull();
        const row = new Float32Array(Uint8Array.from(response.rawOutputContents[0]!).buffer);
        expect(parameterOf(response, 'sponge_batch')).toBe(1);
        return { atMs, place: row.indexOf(1) };
      }),
    );
    expect(await batchesStarted(server), 'the blocker was still running when the last one came').toBe(before);

    blocker.release();
    const first = await blocker.answer;
    const answers = (await Promise.all(sent)).sort((a, b) => a.atMs - b.atMs);
    expect(answers.map(({ name }) => name)).toEqual(['grpc-timeout, 30 s', 'parameter, 40 s', 'header, 50 s']);
    expect(first.atMs).toBeLessThan(answers[0]!.atMs);
    // The model rolls a row by STEPS places.
    expect(answers.map(({ place }) => place)).toEqual([3, 2, 1].map((place) => (place + STEPS) % SLOW_WIDTH));
  });

  it('refuses at once what cannot be met even alone, while the model runs, over REST and gRPC', async () => {
    const predictedMs =
      Number((await inferBinary(server, 'slow', [slowInput(0)])).json.parameters?.['sponge_planned_us']) / 1000;
    // Far less than the model needs.
    const sloMs = Math.ceil(predictedMs / 10);
    const viaRest = async (): Promise<Refusal> => {
      const { status, json, headers, ...times } = await inferBinary(server, 'slow', [slowInput(1)], { sloMs });
      expect([status, json.reason]).toEqual([504, 'infeasible_at_max_cores']);
      expect(headers['retry-after']).toBeUndefined();
      expect(headers['x-sponge-reason']).toBe('infeasible_at_max_cores');
      expect(json['best_case_ms']).toBeGreaterThan(json['remaining_budget_ms'] as number);
      return times;
    };
    const viaGrpc = async (): Promise<Refusal> => {
      const timeout = { timeout: { parameterChoice: { $case: 'int64Param' as const, value: 1000 * sloMs } } };
      const { error, ...times } = await grpc.infer(grpcRequest('slow', [slowInput(1)], { parameters: timeout }));
      expect(error?.code).toBe(4); // DEADLINE_EXCEEDED
      expect(error?.metadata.get('x-sponge-reason')).toEqual(['infeasible_at_max_cores']);
      return times;
    };
    const elapsedMs = await refusalsDuringRuns(viaRest, REFUSALS);
    await refusalsDuringRuns(viaGrpc, 1);

    const sorted = elapsedMs.toSorted((a, b) => a - b);
    const medianMs = sorted[Math.floor(REFUSALS / 2)]!;
    console.info(
      `infeasible request refused in ${medianMs.toFixed(1)} ms (median), ${sorted.at(-1)!.toFixed(1)} ms (worst of ${REFUSALS}), of a model that runs ${predictedMs.toFixed(0)} ms`,
    );
    expect(medianMs).toBeLessThan(predictedMs / 6);
  });

  it('names the network where that took the budget', async () => {
    const reply = await inferBinary(server, 'slow', [slowInput(0)], {
      sloMs: 60_000,
      parameters: { sponge_upload_us: 60_000_000 },
    });
    expect([reply.status, reply.json.reason]).toEqual([504, 'budget_spent_in_network']);
    expect(reply.json.error).toMatch(/declared_upload/);
    expect(reply.headers['retry-after']).toBeUndefined();
  });
});
