import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { SLOW_WIDTH, slow } from '../../../src/adapters/models/tiny-graphs.js';
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

/*
 * While the one worker is busy: who goes next, and who is refused at once. Batches of one, so that order shows.
 */

/** About 0.6 s on one core. */
const STEPS = 4000;

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
  ]);
  grpc = new GrpcClient(server);
});
afterAll(async () => {
  grpc.close();
  await bench.close();
});

describe('a busy worker', () => {
  it('goes on with the tightest deadline, however it was stated, and not with the first request', async () => {
    const before = await batchesStarted(server);
    const blocker = inferBinary(server, 'slow', [slowInput(0)], { sloMs: 60_000 });
    await eventually('the first batch to start', async () => (await batchesStarted(server)) === before + 1);

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
    expect(await batchesStarted(server), 'the blocker was still running when the last one came').toBe(before + 1);

    const first = await blocker;
    const answers = (await Promise.all(sent)).sort((a, b) => a.atMs - b.atMs);
    expect(answers.map(({ name }) => name)).toEqual(['grpc-timeout, 30 s', 'parameter, 40 s', 'header, 50 s']);
    expect(first.atMs).toBeLessThan(answers[0]!.atMs);
    // The model rolls a row by STEPS places.
    expect(answers.map(({ place }) => place)).toEqual([3, 2, 1].map((place) => (place + STEPS) % SLOW_WIDTH));
  });

  it('refuses at once what cannot be met even alone, while the model runs, over REST and gRPC', async () => {
    const before = await batchesStarted(server);
    const blocker = inferBinary(server, 'slow', [slowInput(0)], { sloMs: 60_000 });
    await eventually('the batch to start', async () => (await batchesStarted(server)) === before + 1);

    const elapsedMs: number[] = [];
    let lastAtMs = 0;
    for (let i = 0; i < 7; i++) {
      const { status, json, headers, ...times } = await inferBinary(server, 'slow', [slowInput(i)], { sloMs: 40 });
      expect([status, json.reason]).toEqual([504, 'infeasible_at_max_cores']);
      expect(headers['retry-after']).toBeUndefined();
      expect(headers['x-sponge-reason']).toBe('infeasible_at_max_cores');
      expect(json['best_case_ms']).toBeGreaterThan(json['remaining_budget_ms'] as number);
      elapsedMs.push(times.elapsedMs);
      lastAtMs = times.atMs;
    }
    const timeout = { timeout: { parameterChoice: { $case: 'int64Param' as const, value: 40_000 } } };
    const { error, atMs } = await grpc.infer(grpcRequest('slow', [slowInput(0)], { parameters: timeout }));
    expect(error?.code).toBe(4); // DEADLINE_EXCEEDED
    expect(error?.metadata.get('x-sponge-reason')).toEqual(['infeasible_at_max_cores']);

    const { status, atMs: blockerAtMs } = await blocker;
    expect(status).toBe(200);
    expect(blockerAtMs, 'the model ran all the while').toBeGreaterThan(Math.max(lastAtMs, atMs));
    const sorted = elapsedMs.toSorted((a, b) => a - b);
    const medianMs = sorted[3]!;
    console.info(
      `infeasible request refused in ${medianMs.toFixed(1)} ms (median), ${sorted.at(-1)!.toFixed(1)} ms (worst of 7)`,
    );
    expect(medianMs).toBeLessThan(100);
  });

  it('names the network where that took the budget', async () => {
    const reply = await inferBinary(server, 'slow', [slowInput(0)], {
      sloMs: 5000,
      parameters: { sponge_upload_us: 5_000_000 },
    });
    expect([reply.status, reply.json.reason]).toEqual([504, 'budget_spent_in_network']);
    expect(reply.json.error).toMatch(/declared_upload/);
    expect(reply.headers['retry-after']).toBeUndefined();
  });
});
