import { afterAll, describe, expect, it } from 'vitest';
import { OnnxGraph } from '../../../src/server/onnx/onnx-writer.js';
import { Prng } from '../../../src/scheduler/random/prng.js';
import { floatTensor, inferBinary, type Reply } from './clients.js';
import { eventually, TestBench, type RunningServer } from './harness.js';

/* Texts of all lengths, of which nobody has told the server anything. */

const bench = new TestBench();
afterAll(() => bench.close());

const WIDTH = 64;
const LONGEST = 512;
const ANSWERED_FRACTION = 0.95;

/** Costs what attention does: with the square of the length. `x` f32 [batch, length] → `y` f32 [batch, length]. */
function attention(): OnnxGraph {
  const graph = new OnnxGraph('attention');
  const x = graph.input('x', 'FP32', ['batch', 'length']);
  graph.constant('last', 'INT64', [1], BigInt64Array.of(-1n));
  graph.constant(
    'weights',
    'FP32',
    [1, WIDTH],
    Float32Array.from({ length: WIDTH }, (_, i) => i / WIDTH),
  );
  const embedded = graph.add('MatMul', [graph.add('Unsqueeze', [x, 'last']), 'weights']);
  const transposed = graph.add('Transpose', [embedded], { perm: { ints: [0, 2, 1] } });
  const scores = graph.add('Softmax', [graph.add('MatMul', [embedded, transposed])], { axis: { int: -1 } });
  const mixed = graph.add('MatMul', [scores, embedded]);
  graph.output(graph.add('ReduceSum', [mixed, 'last'], { keepdims: { int: 0 } }, 'y'), 'FP32', ['batch', 'length']);
  return graph;
}

function send(server: RunningServer, length: number, sloMs?: number): Promise<Reply> {
  const x = floatTensor('x', [1, length], new Float32Array(length).fill(1 / length));
  return inferBinary(server, 'attention', [x], sloMs === undefined ? {} : { sloMs });
}

/** What the longest takes, by the clock of a client: no budget of a test may assume a machine's speed. */
async function patientBudgetMs(server: RunningServer): Promise<number> {
  const sentAtMs = performance.now();
  expect((await send(server, LONGEST)).status).toBe(200);
  return Math.max(1000, 20 * (performance.now() - sentAtMs));
}

describe('a model for texts', () => {
  it('answers a long one with a budget after a short one without: nobody has measured what it takes', async () => {
    const server = await bench.serve(bench.model('attention', attention()));
    expect((await send(server, 4)).status).toBe(200);
    await eventually('its profile', () => server.log.includes('quick profile of'));
    const { status, json } = await send(server, LONGEST, 1000);
    expect(status, json.error).toBe(200);
    await server.stop();
  });

  it('answers all lengths from the first second on', async () => {
    const server = await bench.serve(bench.model('attention', attention()));
    expect((await send(server, 8)).status).toBe(200);
    const sloMs = await patientBudgetMs(server);
    const prng = new Prng(1);
    let answered = 0;
    const refusals: (string | undefined)[] = [];
    const client = async (): Promise<void> => {
      for (let i = 0; i < 60; i++) {
        const { status, json } = await send(server, 8 + prng.int(LONGEST - 8), sloMs);
        if (status === 200) answered += 1;
        else refusals.push(json.error);
      }
    };
    await Promise.all([client(), client(), client()]);
    expect(answered / (answered + refusals.length), refusals[0]).toBeGreaterThanOrEqual(ANSWERED_FRACTION);
    await server.stop();
  });
});
