import { readFileSync, writeFileSync } from 'node:fs';
import { afterAll, describe, expect, it } from 'vitest';
import { slow } from '../../../research/load-models/tiny-graphs.js';
import { http, inferBinary, slowInput, slowPlace } from './clients.js';
import { eventually, TestBench, type RunningServer } from './harness.js';

/* A model's file is replaced while it is served: by another with the same inputs and outputs, which answers otherwise. */

const bench = new TestBench();
afterAll(() => bench.close());

const CHANGED = /changed on disk since it was loaded; put it back, or restart the server/;

/** Where the marker that is sent at place 0 comes back: as many places on as the model has steps. */
async function stepsAnswered(server: RunningServer): Promise<number> {
  return slowPlace(await inferBinary(server, 'slow', [slowInput(0)], { sloMs: 60_000 }));
}

describe('a model whose file is replaced while it is served', () => {
  it('is the one that was loaded, or none: who asks is told why, and putting the file back is enough', async () => {
    const path = bench.model('slow', slow(3));
    const original = readFileSync(path);
    const server = await bench.serve(path, ['--no-refine']);
    expect(await stepsAnswered(server)).toBe(3);

    writeFileSync(path, slow(4).toModel());
    expect(await stepsAnswered(server)).toBe(3);
    process.kill(server.worker(), 'SIGKILL');
    await eventually('the reason', async () => {
      const index = await http(`${server.rest}/v2/repository/index`, { method: 'POST', body: '{}' });
      return CHANGED.test(JSON.stringify(index.json));
    });
    // One of them may wait for the worker, to see whether it comes back sooner than expected.
    const refused = await Promise.all([1, 2, 3].map(() => inferBinary(server, 'slow', [slowInput(0)], { sloMs: 100 })));
    const told = refused.filter(({ status }) => status === 503).map(({ json }) => json.error);
    expect(told.length).toBeGreaterThanOrEqual(2);
    for (const message of told) expect(message).toMatch(CHANGED);

    writeFileSync(path, original);
    await eventually('the worker', async () => (await http(`${server.rest}/v2/health/ready`)).status === 200);
    expect(await stepsAnswered(server)).toBe(3);
    await server.stop();
  });

  it('gets no replica that is another model', async () => {
    const path = bench.model('slow', slow(3));
    const server = await bench.serve(path, ['--policy', 'fa2-published', '--unit-cores', '0.5', '--no-refine']);
    writeFileSync(path, slow(4).toModel());
    const answers = await Promise.all(Array.from({ length: 60 }, () => stepsAnswered(server)));
    expect(new Set(answers)).toEqual(new Set([3]));
    process.kill(server.workers()[0]!, 'SIGKILL');
    await eventually('the log', () => CHANGED.test(server.log));
    await server.stop();
  });
});
