import { afterAll, describe, expect, it } from 'vitest';
import { identity } from '../../../research/load-models/tiny-graphs.js';
import { http } from './clients.js';
import { TestBench } from './harness.js';

/* More models than the ten listeners from which on Node takes an emitter for leaking. */

const bench = new TestBench();
afterAll(() => bench.close());

describe('a server of a dozen models', () => {
  it('starts and ends without a warning, and its banner says what a limit of one row means', async () => {
    const names = Array.from({ length: 12 }, (_, index) => `m${index}`);
    const graphs = Object.fromEntries(names.map((name) => [name, identity('FP32')]));
    const server = await bench.serve(bench.repository('many', graphs), ['--no-refine', '--max-batch', '1']);
    const { json } = await http(`${server.rest}/v2/models`);
    expect(json['models']).toHaveLength(names.length);
    const oneByOne = 'served one at a time: the limit is one row (--max-batch or max_batch_size)';
    expect(server.banner.split(oneByOne)).toHaveLength(names.length + 1);
    expect(server.banner).not.toContain('batches of up to');
    await server.stop();
    expect(server.log).not.toMatch(/Warning/);
  });
});
