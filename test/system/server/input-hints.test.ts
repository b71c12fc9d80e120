import { afterAll, describe, expect, it } from 'vitest';
import { OnnxGraph } from '../../../src/server/onnx/onnx-writer.js';
import { infer } from './clients.js';
import { TestBench } from './harness.js';

/* Models that no noise runs on: what their graphs say of their inputs is enough to profile and try them before any request. */

const bench = new TestBench();
afterAll(() => bench.close());

/** Refuses zero, and dies of −1 under the least integer; nobody follows its loop. `a`, `b` i64 [batch, 2] → `y` = a / b. */
function quotient(): OnnxGraph {
  const body = new OnnxGraph('quotient.body');
  body.input('step', 'INT64', []);
  body.input('proceed', 'BOOL', []);
  body.input('row', 'INT64', ['batch', 2]);
  body.output(body.add('Identity', ['proceed'], {}, 'again'), 'BOOL', []);
  body.output(body.add('Div', ['row', 'b'], {}, 'next'), 'INT64', ['batch', 2]);
  const graph = new OnnxGraph('quotient');
  for (const name of ['a', 'b']) graph.input(name, 'INT64', ['batch', 2]);
  graph.constant('once', 'INT64', [], BigInt64Array.of(1n));
  graph.output(graph.add('Loop', ['once', '', 'a'], { body: { graph: body } }, 'y'), 'INT64', ['batch', 2]);
  return graph;
}

/** `x` f32 [2, 6], `shape` i64 [2] → `y` f32: x in that shape. */
function reshaped(): OnnxGraph {
  const graph = new OnnxGraph('reshaped');
  const inputs = [graph.input('x', 'FP32', [2, 6]), graph.input('shape', 'INT64', [2])];
  graph.output(graph.add('Reshape', inputs, {}, 'y'), 'FP32', ['rows', 'columns']);
  return graph;
}

/** Text that must be a number, and an index. `text` string [batch, 1] → `row` f32 [batch, 1]: 10 times the number, below 3. */
function spelled(): OnnxGraph {
  const graph = new OnnxGraph('spelled');
  graph.constant('table', 'FP32', [3], Float32Array.of(0, 10, 20));
  const index = graph.add('Cast', [graph.input('text', 'BYTES', ['batch', 1])], { to: { int: 7 } });
  graph.output(graph.add('Gather', ['table', index], {}, 'row'), 'FP32', ['batch', 1]);
  return graph;
}

/** `start`, `limit`, `delta` i64 [] → `y` i64: the numbers from start, a delta apart, below the limit. */
function numbers(): OnnxGraph {
  const graph = new OnnxGraph('numbers');
  const inputs = ['start', 'limit', 'delta'].map((name) => graph.input(name, 'INT64', []));
  graph.output(graph.add('Range', inputs, {}, 'y'), 'INT64', ['count']);
  return graph;
}

/** Knows one sample rate, and fails at every other. `x` f32 [1, 2], `rate` i64 [] → `y` = x. */
function rated(): OnnxGraph {
  const branch = (name: string, columns: number): OnnxGraph => {
    const graph = new OnnxGraph(name);
    graph.constant(`${name}.shape`, 'INT64', [2], BigInt64Array.of(1n, BigInt(columns)));
    graph.output(graph.add('Reshape', ['x', `${name}.shape`], {}, `${name}.y`), 'FP32', [1, columns]);
    return graph;
  };
  const graph = new OnnxGraph('rated');
  graph.input('x', 'FP32', [1, 2]);
  graph.constant('known', 'INT64', [], BigInt64Array.of(16000n));
  const isKnown = graph.add('Equal', [graph.input('rate', 'INT64', []), 'known']);
  const branches = { then_branch: { graph: branch('known_rate', 2) }, else_branch: { graph: branch('other_rate', 3) } };
  graph.output(graph.add('If', [isKnown], branches, 'y'), 'FP32', [1, 'columns']);
  return graph;
}

describe('models whose inputs mean something', () => {
  it('start profiled, and batched where they can be; they answer as they would', async () => {
    const models = {
      quotient: quotient(),
      reshaped: reshaped(),
      spelled: spelled(),
      numbers: numbers(),
      rated: rated(),
    };
    const server = await bench.serve(bench.repository('meaning', models), ['--no-refine']);
    expect(server.banner.match(/quick profile of/g)).toHaveLength(Object.keys(models).length);
    expect(server.banner).toMatch(/quotient version 1, READY\n +batches of up to 16; tried, and audited/);
    expect(server.log).not.toMatch(/without a profile|worker lost/);

    const send = async (model: string, inputs: Parameters<typeof infer>[2]): Promise<unknown> => {
      const { status, json } = await infer(server, model, inputs, { sloMs: 60_000 });
      expect(status, json.error).toBe(200);
      return json.outputs?.[0]?.data;
    };
    const int64 = (name: string, shape: readonly number[], ...data: number[]) =>
      ({ name, datatype: 'INT64', shape, data }) as const;
    const x = (...shape: readonly number[]) =>
      ({
        name: 'x',
        datatype: 'FP32',
        shape,
        data: Array.from({ length: shape[0]! * shape[1]! }, (_, i) => i),
      }) as const;
    expect(await send('quotient', [int64('a', [1, 2], 7, -9), int64('b', [1, 2], 2, -3)])).toEqual([3, 3]);
    expect(await send('reshaped', [x(2, 6), int64('shape', [2], 3, -1)])).toEqual(x(2, 6).data);
    const text = { name: 'text', datatype: 'BYTES', shape: [1, 1], data: ['2'] } as const;
    expect(await send('spelled', [text])).toEqual([20]);
    const limits = [int64('start', [], 3), int64('limit', [], -4), int64('delta', [], -3)];
    expect(await send('numbers', limits)).toEqual([3, 0, -3]);
    expect(await send('rated', [x(1, 2), int64('rate', [], 16000)])).toEqual([0, 1]);
    await server.stop();
  });
});
