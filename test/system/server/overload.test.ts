import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { slow } from '../../../src/adapters/models/tiny-graphs.js';
import {
  batchesStarted,
  GrpcClient,
  grpcRequest,
  inferBinary,
  queueDepth,
  scrape,
  slowInput,
  type Reply,
} from './clients.js';
import { eventually, TestBench, type RunningServer } from './harness.js';

/** About 0.1 s on one core. */
const STEPS = 600;
const QUEUE_LIMIT = 20;

const bench = new TestBench();
let server: RunningServer;
let grpc: GrpcClient;

beforeAll(async () => {
  const oneByOne = ['--max-batch', '1', '--min-cores', '1', '--max-cores', '1'];
  server = await bench.serve(bench.model('slow', slow(STEPS)), [
    ...oneByOne,
    '--queue-limit',
    String(QUEUE_LIMIT),
    '--no-refine',
  ]);
  grpc = new GrpcClient(server);
});
afterAll(async () => {
  grpc.close();
  await bench.close();
});

function expectRetryAfter({ headers, json }: Reply): void {
  expect(headers['retry-after']).toMatch(/^[1-9]\d*$/);
  expect(json.retry_after_ms).toBeGreaterThan(0);
  expect(Number(headers['retry-after'])).toBe(Math.max(1, Math.ceil(json.retry_after_ms! / 1000)));
}

describe('more than can be served', () => {
  it('is shed with a time to come back, and what is kept is on time', async () => {
    const probe = await inferBinary(server, 'slow', [slowInput(0)], { sloMs: 60_000 });
    const plannedMs = Number(probe.json.parameters?.['sponge_predicted_us']) / 1000;
    const before = await scrape(server);
    // One at a time, 5 of 18 can be met.
    const burst = 18;
    const replies = await Promise.all(
      Array.from({ length: burst }, (_, i) => inferBinary(server, 'slow', [slowInput(i)], { sloMs: 5.5 * plannedMs })),
    );
    const shed = replies.filter(({ status }) => status === 429);
    const served = replies.filter(({ status }) => status === 200);
    const rest = replies.filter(({ status }) => status !== 200 && status !== 429);
    // When a run takes longer than planned, one that was kept may expire.
    expect(rest.map(({ json }) => json.reason).filter((reason) => reason !== 'expired')).toEqual([]);
    expect(rest.length).toBeLessThanOrEqual(2);
    for (const reply of shed) {
      expect(reply.json.reason).toBe('queue_overload');
      expect(reply.json.error).toMatch(/^deadline cannot be met at the present load: .* try again in /);
      expect(reply.headers['x-sponge-reason']).toBe('queue_overload');
      expectRetryAfter(reply);
    }
    const late = served.filter(({ json }) => json.parameters?.['sponge_late'] === true);
    console.info(`${burst} at once: ${served.length} served, ${late.length} of them late, ${shed.length} shed`);
    expect(served.length).toBeGreaterThanOrEqual(3);
    expect(shed.length).toBeGreaterThanOrEqual(8);
    expect(late.length).toBeLessThan(served.length / 2);
    const after = await scrape(server);
    expect(after.sum('sponge_outcomes_total') - before.sum('sponge_outcomes_total')).toBe(burst);
    const overload = { outcome: 'rejected_overload', reason: 'queue_overload' };
    expect(after.sum('sponge_outcomes_total', overload) - before.sum('sponge_outcomes_total', overload)).toBe(
      shed.length,
    );
  });

  it('is refused when the queue is full, over REST and gRPC, and never with UNAVAILABLE', async () => {
    const startedBefore = await batchesStarted(server);
    const held = Array.from({ length: QUEUE_LIMIT }, (_, i) =>
      inferBinary(server, 'slow', [slowInput(i)], { sloMs: 60_000 }),
    );
    await eventually('a full queue', async () => {
      return (await queueDepth(server)) + (await batchesStarted(server)) - startedBefore === QUEUE_LIMIT;
    });
    const [refused, viaGrpc] = await Promise.all([
      inferBinary(server, 'slow', [slowInput(0)], { sloMs: 60_000 }),
      grpc.infer(grpcRequest('slow', [slowInput(0)]), { deadlineMs: 60_000 }),
    ]);
    const answers = await Promise.all(held);
    expect(answers.map(({ status }) => status)).toEqual(answers.map(() => 200));
    // One may have taken the place of a request that was done meanwhile.
    if (refused.status === 200 && viaGrpc.error === null) throw new Error('the queue had room for both');
    if (refused.status !== 200) {
      expect([refused.status, refused.json.reason]).toEqual([429, 'queue_full']);
      expectRetryAfter(refused);
    }
    if (viaGrpc.error !== null) {
      expect(viaGrpc.error.code).toBe(8); // RESOURCE_EXHAUSTED
      expect(viaGrpc.error.metadata.get('x-sponge-reason')).toEqual(['queue_full']);
    }
  });
});
