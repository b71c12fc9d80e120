import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { identity } from '../../../research/load-models/tiny-graphs.js';
import { http } from './clients.js';
import { TestBench, type RunningServer } from './harness.js';

/* Triton's classification extension, with the labels of a model's YAML. */

const bench = new TestBench();
let server: RunningServer;
beforeAll(async () => {
  const repository = bench.repository('repository', { insects: identity('FP32'), mistaken: identity('FP32') });
  bench.file('repository/insects/names.txt', 'ant\nbee\ncricket\n');
  bench.file('repository/insects/model.yaml', 'labels: { y: names.txt }\n');
  bench.file('repository/mistaken/model.yaml', 'labels: { z: ../insects/names.txt }\n');
  server = await bench.serve(repository, ['--no-refine']);
});
afterAll(() => bench.close());

describe('classification', () => {
  it('answers with the labels of the file', async () => {
    const { json } = await http(`${server.rest}/v2/models/insects/infer`, {
      method: 'POST',
      body: {
        inputs: [{ name: 'x', datatype: 'FP32', shape: [1, 4], data: [0.25, 3, 4, 1] }],
        outputs: [{ name: 'y', parameters: { classification: 3 } }],
      },
    });
    expect(json.outputs).toEqual([
      { name: 'y', datatype: 'BYTES', shape: [1, 3], data: ['4.000000:2:cricket', '3.000000:1:bee', '1.000000:3'] },
    ]);
  });

  it('does not serve a model with labels for an output that it does not have', () => {
    expect(server.banner).toMatch(/mistaken version 1, NOT SERVED\n +labels: the model has no output 'z', it has 'y'/);
  });
});
