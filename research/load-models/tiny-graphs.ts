import type { Datatype } from '../../src/scheduler/domain/tensor.js';
import { OnnxGraph } from '../../src/server/onnx/onnx-writer.js';

/*
 * Graphs of a few operators whose answers can be worked out in the head: for trying clients, and for testing the
 * protocol, batching and faults without a real network. Each is here for one property, named in its comment.
 */

/** Returns its input: one for every datatype. `x` [batch, 4] → `y` [batch, 4]. */
export function identity(datatype: Datatype): OnnxGraph {
  const graph = new OnnxGraph(`identity_${datatype.toLowerCase()}`);
  const x = graph.input('x', datatype, ['batch', 4]);
  graph.output(graph.add('Identity', [x], {}, 'y'), datatype, ['batch', 4]);
  return graph;
}

/**
 * Several inputs and outputs. Names, types and sizes are those of the model `simple` in Triton's examples, so that its
 * stock clients run against it. `INPUT0`, `INPUT1` i32 [batch, 16] → `OUTPUT0` sum, `OUTPUT1` difference.
 */
export function simple(): OnnxGraph {
  const graph = new OnnxGraph('simple');
  const inputs = ['INPUT0', 'INPUT1'].map((name) => graph.input(name, 'INT32', ['batch', 16]));
  graph.output(graph.add('Add', inputs, {}, 'OUTPUT0'), 'INT32', ['batch', 16]);
  graph.output(graph.add('Sub', inputs, {}, 'OUTPUT1'), 'INT32', ['batch', 16]);
  return graph;
}

/** Not batchable, and says so: its first axis is fixed. `x` f32 [1, 4] → `y` = 2·x. */
export function fixedBatch(): OnnxGraph {
  const graph = new OnnxGraph('fixed_batch');
  const x = graph.input('x', 'FP32', [1, 4]);
  graph.output(graph.add('Add', [x, x], {}, 'y'), 'FP32', [1, 4]);
  return graph;
}

/** Looks batchable, but its rows share a softmax: y adds up to 1 over the batch. `x` f32 [batch, 4] → `y`. */
export function coupledSoftmax(): OnnxGraph {
  const graph = new OnnxGraph('coupled_softmax');
  const x = graph.input('x', 'FP32', ['batch', 4]);
  graph.output(graph.add('Softmax', [x], { axis: { int: 0 } }, 'y'), 'FP32', ['batch', 4]);
  return graph;
}

/**
 * Looks batchable, and a batch of equal rows gives no sign that it is not: the mean over the batch is taken from every
 * row, which leaves 0 for one row and for any number of equal ones. `x` f32 [batch, 4] → `y`.
 */
export function coupledMean(): OnnxGraph {
  const graph = new OnnxGraph('coupled_mean');
  const x = graph.input('x', 'FP32', ['batch', 4]);
  const mean = graph.add('ReduceMean', [x], { axes: { ints: [0] }, keepdims: { int: 1 } });
  graph.output(graph.add('Sub', [x, mean], {}, 'y'), 'FP32', ['batch', 4]);
  return graph;
}

/** No axes at all. `x` f32 [] → `y` = 2·x. */
export function scalar(): OnnxGraph {
  const graph = new OnnxGraph('scalar');
  const x = graph.input('x', 'FP32', []);
  graph.output(graph.add('Add', [x, x], {}, 'y'), 'FP32', []);
  return graph;
}

/**
 * Two dynamic axes, so requests of different lengths fall into different shape classes; a length of 0 is fine.
 * `x` f32 [batch, length] → `doubled` f32 [batch, length], `total` f32 [batch, 1].
 */
export function anyLength(): OnnxGraph {
  const graph = new OnnxGraph('any_length');
  const x = graph.input('x', 'FP32', ['batch', 'length']);
  graph.constant('axes', 'INT64', [1], BigInt64Array.of(1n));
  graph.output(graph.add('Add', [x, x], {}, 'doubled'), 'FP32', ['batch', 'length']);
  graph.output(graph.add('ReduceSum', [x, 'axes'], { keepdims: { int: 1 } }, 'total'), 'FP32', ['batch', 1]);
  return graph;
}

export const LOOKUP_ROW_COUNT = 8;

/**
 * Fails at run time for some inputs, and takes the whole batch with it: an index outside −8 … 7 is an error of ONNX
 * Runtime's. `index` i64 [batch, 1] → `row` f32 [batch, 1, 2] = (index, index²).
 */
export function lookup(): OnnxGraph {
  const graph = new OnnxGraph('lookup');
  const index = graph.input('index', 'INT64', ['batch', 1]);
  const rows = Array.from({ length: LOOKUP_ROW_COUNT }, (_, row) => [row, row * row]);
  graph.constant('table', 'FP32', [LOOKUP_ROW_COUNT, 2], Float32Array.from(rows.flat()));
  // A sum: of which rows are asked for nobody is sure before it runs.
  graph.constant('first', 'INT64', [1, 1], BigInt64Array.of(0n));
  const row = graph.add('Add', [index, 'first']);
  graph.output(graph.add('Gather', ['table', row], { axis: { int: 0 } }, 'row'), 'FP32', ['batch', 1, 2]);
  return graph;
}

/** 1024² weights, 4 MB: large enough a step to gain from a second core (0.6 × the time), small enough a file. */
export const SLOW_WIDTH = 1024;

/**
 * Keeps a core busy for a chosen time. Each step multiplies the row by a matrix that moves every element one place to
 * the right, the last one to the front, which is exact: `y` is `x` rolled by `stepCount` places. A step took
 * 0.15 ms for b = 1 … 4 and 0.18 ms for b = 8 on one core of a Xeon with AVX-512. `x` f32 [batch, 1024] → `y`.
 */
export function slow(stepCount: number): OnnxGraph {
  const body = new OnnxGraph('slow.body');
  body.input('step', 'INT64', []);
  body.input('proceed', 'BOOL', []);
  body.input('row', 'FP32', ['batch', SLOW_WIDTH]);
  body.output(body.add('Identity', ['proceed'], {}, 'proceed_next'), 'BOOL', []);
  body.output(body.add('MatMul', ['row', 'roll'], {}, 'row_next'), 'FP32', ['batch', SLOW_WIDTH]);

  const roll = new Float32Array(SLOW_WIDTH * SLOW_WIDTH);
  for (let from = 0; from < SLOW_WIDTH; from++) roll[from * SLOW_WIDTH + ((from + 1) % SLOW_WIDTH)] = 1;
  const graph = new OnnxGraph('slow');
  const x = graph.input('x', 'FP32', ['batch', SLOW_WIDTH]);
  graph.constant('roll', 'FP32', [SLOW_WIDTH, SLOW_WIDTH], roll);
  graph.constant('step_count', 'INT64', [], BigInt64Array.of(BigInt(stepCount)));
  graph.output(graph.add('Loop', ['step_count', '', x], { body: { graph: body } }, 'y'), 'FP32', ['batch', SLOW_WIDTH]);
  return graph;
}
