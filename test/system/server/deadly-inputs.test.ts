import { afterAll, describe, expect, it } from 'vitest';
import { OnnxGraph } from '../../../src/server/onnx/onnx-writer.js';
import { http, infer } from './clients.js';
import { eventually, TestBench, type RunningServer } from './harness.js';

/* Inputs that are the end of a worker process: what nobody sent may be such a one, and is not tried twice. */

const bench = new TestBench();
afterAll(() => bench.close());

const LEAST = -(2n ** 63n);

/** The processor ends a process that divides the least integer by −1 (SIGFPE). `x` i64 [batch, 8] → `y` = LEAST / (−1 − x). */
function deadlyZero(): OnnxGraph {
  const graph = new OnnxGraph('deadly_zero');
  const x = graph.input('x', 'INT64', ['batch', 8]);
  graph.constant('least', 'INT64', [1, 1], BigInt64Array.of(LEAST));
  graph.constant('minus', 'INT64', [1, 1], BigInt64Array.of(-1n));
  graph.output(graph.add('Div', ['least', graph.add('Sub', ['minus', x])], {}, 'y'), 'INT64', ['batch', 8]);
  return graph;
}

/** Divides the least integer by −((rows + 1) / rows): −2 for one row, −1 for more. Adds nothing to `x` i64 [batch, …]. */
function addDeadlyCompany(graph: OnnxGraph, x: string): string {
  const rows = graph.add('Gather', [graph.add('Shape', [x]), 'first'], { axis: { int: 0 } });
  const quotient = graph.add('Div', [graph.add('Add', [rows, 'one']), rows]);
  const divided = graph.add('Div', ['least', graph.add('Sub', ['none', quotient])]);
  return graph.add('Add', [x, graph.add('Mul', [divided, 'none'])], {}, 'y');
}

function addConstants(graph: OnnxGraph): void {
  const scalars = { least: LEAST, first: 0n, one: 1n, none: 0n };
  for (const [name, value] of Object.entries(scalars)) graph.constant(name, 'INT64', [], BigInt64Array.of(value));
}

/** Dies of more than one row, in a loop, which nobody follows. `x` i64 [batch, 1] → `all` = x. */
function deadlyCompany(): OnnxGraph {
  const body = new OnnxGraph('company.body');
  body.input('step', 'INT64', []);
  body.input('proceed', 'BOOL', []);
  body.input('row', 'INT64', ['batch', 1]);
  body.output(body.add('Identity', ['proceed'], {}, 'proceed_next'), 'BOOL', []);
  body.output(addDeadlyCompany(body, 'row'), 'INT64', ['batch', 1]);
  const graph = new OnnxGraph('company');
  const x = graph.input('x', 'INT64', ['batch', 1]);
  addConstants(graph);
  graph.output(graph.add('Loop', ['one', '', x], { body: { graph: body } }, 'all'), 'INT64', ['batch', 1]);
  return graph;
}

/** The same, told by a request alone what it takes. `x` i64 [batch, length] → `y` = x. */
function deadlyLesson(): OnnxGraph {
  const graph = new OnnxGraph('lesson');
  const x = graph.input('x', 'INT64', ['batch', 'length']);
  addConstants(graph);
  graph.output(addDeadlyCompany(graph, x), 'INT64', ['batch', 'length']);
  return graph;
}

function lossesOf(server: RunningServer): number {
  return server.log.match(/worker lost: the worker process was killed by SIGFPE/g)?.length ?? 0;
}

describe('a worker that dies of what nobody sent', () => {
  it('dies once: its model is served unprofiled, and is profiled by a request that it survives', async () => {
    const server = await bench.serve(bench.model('deadly_zero', deadlyZero()), ['--no-refine']);
    // The banner comes by another pipe than the log.
    await eventually('the log', () =>
      /served without a profile, .*: the worker process was killed by SIGFPE/.test(server.log),
    );
    const x = { name: 'x', datatype: 'INT64' as const, shape: [1, 8], data: [1, 2, 3, 4, 5, 6, 7, 8] };
    const answer = await infer(server, 'deadly_zero', [x], { sloMs: 60_000 });
    expect(answer.status, answer.json.error).toBe(200);
    await eventually('its profile', () => server.log.includes('quick profile of'));
    expect(lossesOf(server)).toBe(1);
    await server.stop();
  });

  it('dies once of being tried in company: its model is served one request at a time, profiled, and says why', async () => {
    const server = await bench.serve(bench.model('company', deadlyCompany()), ['--no-refine']);
    expect(server.banner).toMatch(/served one at a time: .*the worker died while it was tried: .*SIGFPE/);
    expect(server.banner).toMatch(/quick profile of/);
    const many = Array.from({ length: 6 }, (_, i) =>
      infer(server, 'company', [{ name: 'x', datatype: 'INT64', shape: [1, 1], data: [i] }], { sloMs: 60_000 }),
    );
    expect((await Promise.all(many)).map(({ json }) => json.outputs?.[0]?.data)).toEqual([
      [0],
      [1],
      [2],
      [3],
      [4],
      [5],
    ]);
    expect((await http(`${server.rest}/v2/models/company/config`)).json['max_batch_size']).toBe(0);
    expect(lossesOf(server)).toBe(1);
    await server.stop();
  });

  it('dies once of a lesson: it is not tried again with another request of those shapes', async () => {
    const flags = ['--no-refine', '--batching', 'on'];
    const server = await bench.serve(bench.model('lesson', deadlyLesson()), flags);
    const send = (value: number) =>
      infer(server, 'lesson', [{ name: 'x', datatype: 'INT64', shape: [1, 4], data: [value, 0, 0, 0] }], {
        sloMs: 60_000,
      });
    expect((await send(1)).json.outputs?.[0]?.data).toEqual([1, 0, 0, 0]);
    await eventually('the end of the lesson', () => server.log.includes('no profile, every request runs alone'));
    for (let i = 2; i < 8; i++) expect((await send(i)).json.outputs?.[0]?.data).toEqual([i, 0, 0, 0]);
    expect(lossesOf(server)).toBe(1);
    await server.stop();
  });
});
