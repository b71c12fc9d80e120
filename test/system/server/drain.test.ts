import { setTimeout as delay } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { slow } from '../../../research/load-models/tiny-graphs.js';
import { GrpcClient, grpcRequest, http, inferBinary, queueDepth, slowInput, slowPlace, type Reply } from './clients.js';
import { eventually, groupsOf, TestBench } from './harness.js';
import { slowStepsFor } from './machine-speed.js';
import { holdRun, PATIENT } from './mid-run.js';

/** 0.3 s on one core. */
const STEPS = await slowStepsFor(300);
const FLAGS = ['--max-batch', '1', '--min-cores', '1', '--max-cores', '1', '--no-refine', ...PATIENT];

const bench = new TestBench();
let model: string;
beforeAll(() => {
  model = bench.model('slow', slow(STEPS));
});
afterAll(() => bench.close());

describe('SIGTERM', () => {
  it('loses nothing: what is held is answered, what is new is refused, and the exit is clean', async () => {
    const server = await bench.serve(model, FLAGS);
    const grpc = new GrpcClient(server);
    const health = (): ReturnType<typeof http> => http(`${server.rest}/v2/health/ready`);
    expect((await health()).status).toBe(200);

    const first = await holdRun(server, () => inferBinary(server, 'slow', [slowInput(10)], { sloMs: 60_000 }));
    const places = [20, 30, 40];
    const replies = places.map((place) => inferBinary(server, 'slow', [slowInput(place)], { sloMs: 60_000 }));
    const viaGrpc = grpc.infer(grpcRequest('slow', [slowInput(50)]), { deadlineMs: 60_000 });
    await eventually('four to wait', async () => (await queueDepth(server)) === 4);
    server.signal('SIGTERM');
    await eventually('not ready', async () => (await health()).status === 503);
    expect((await http(`${server.rest}/v2/health/live`)).status).toBe(200);
    const late = await inferBinary(server, 'slow', [slowInput(0)], { sloMs: 60_000 });
    expect([late.status, late.json.reason]).toEqual([503, 'draining']);
    expect(late.headers['connection']).toBe('close');
    const lateGrpc = await grpc.infer(grpcRequest('slow', [slowInput(0)]), { deadlineMs: 60_000 });
    expect(lateGrpc.error?.code).toBe(14); // UNAVAILABLE
    expect(lateGrpc.error?.metadata.get('x-sponge-reason')).toEqual(['draining']);

    first.release();
    for (const [i, reply] of (await Promise.all([first.answer, ...replies])).entries()) {
      expect(reply.status, reply.json.error).toBe(200);
      expect(reply.headers['connection']).toBe('close');
      expect(slowPlace(reply)).toBe((10 * (i + 1) + STEPS) % 1024);
    }
    expect((await viaGrpc).error).toBeNull();
    expect(await server.exited).toEqual({ code: 0, signal: null });
    expect(server.banner).toMatch(/SIGTERM: draining\nstopped\n$/);
    expect(groupsOf(bench.group)).toEqual([]);
    await expect(health()).rejects.toThrow(/ECONNREFUSED/);
    grpc.close();
  });

  it('ends a drain that takes too long: what is still held is told so', async () => {
    const server = await bench.serve(model, [...FLAGS, '--drain-seconds', '0.2']);
    const send = (place: number): Promise<Reply> => inferBinary(server, 'slow', [slowInput(place)], { sloMs: 60_000 });
    const first = await holdRun(server, () => send(0));
    const replies = [1, 2, 3, 4, 5, 6, 7].map(send);
    await eventually('seven to wait', async () => (await queueDepth(server)) === 7);
    server.signal('SIGTERM');
    const answers = await Promise.all([first.answer, ...replies]);
    const unserved = answers.filter(({ status }) => status !== 200);
    expect(unserved.length).toBeGreaterThan(0);
    expect(unserved.map(({ status, json }) => [status, json.reason])).toEqual(unserved.map(() => [503, 'draining']));
    expect(await server.exited).toEqual({ code: 0, signal: null });
    expect(groupsOf(bench.group)).toEqual([]);
  });

  it('is a drain all the same where the signal comes twice, from the terminal and from npm', async () => {
    const server = await bench.serve(model, FLAGS);
    server.signal('SIGINT');
    server.signal('SIGINT');
    expect(await server.exited).toEqual({ code: 0, signal: null });
    expect(groupsOf(bench.group)).toEqual([]);
  });

  it('ends at once when it is told again later', async () => {
    const server = await bench.serve(model, [...FLAGS, '--drain-seconds', '60']);
    const held = await holdRun(server, () => inferBinary(server, 'slow', [slowInput(0)], { sloMs: 60_000 }));
    server.signal('SIGTERM');
    await delay(600); // After half a second it is another one.
    server.signal('SIGTERM');
    expect(await server.exited).toEqual({ code: 1, signal: null });
    await expect(held.answer).rejects.toThrow();
    // The next server takes over what it left.
    const next = await bench.serve(model, FLAGS);
    await next.stop();
    expect(groupsOf(bench.group)).toEqual([]);
  });

  it('ends a server that is still starting, and leaves no group', async () => {
    const starting = bench.start(bench.model('fresh', slow(STEPS)), ['--no-refine']);
    await eventually('the worker', () => starting.workers().length > 0);
    starting.signal('SIGTERM');
    const { code, signal } = await starting.exited;
    expect(signal).toBeNull();
    expect(code).not.toBe(0);
    expect(groupsOf(bench.group)).toEqual([]);
  });
});
