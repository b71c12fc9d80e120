import { OnnxGraph } from '../../../src/server/onnx/onnx-writer.js';
import { coupledMean, coupledSoftmax } from '../../../research/load-models/tiny-graphs.js';
import type { Tensor } from '../../../src/scheduler/domain/tensor.js';
import type { CorpusModel, Inputs } from './corpus-model.js';
import { numbers } from './tensors.js';

/*
 * Models that look batchable (every input and output has an open first axis): those whose rows have to do with each other,
 * by scale, place, number or order, and some that look alike and whose rows have not.
 */

/** Quiet, loud, negative, tiny and zero rows: in one batch the loud ones would drown the others. */
const UNLIKE_ROWS: readonly (readonly number[])[] = [
  [0.5, -0.25, 0.125, 1],
  [1000, -2000, 500, 100],
  [-3, -2, -1, -0.5],
  [1e-4, 2e-4, -3e-4, 4e-4],
  [200, 255, 0, 17],
  [0, 0, 0, 1],
];

const floats = (rows: readonly (readonly number[])[]): Tensor =>
  numbers('x', 'FP32', [rows.length, rows[0]!.length], rows.flat());

const FLOAT_REQUESTS: readonly Inputs[] = UNLIKE_ROWS.map((row) => [floats([row])]);
const INTEGER_REQUESTS: readonly Inputs[] = [
  [1, 2, 3, 4],
  [100, 200, 300, 400],
  [-7, 7, -70, 70],
  [1000, 1, 1000, 1],
].map((row) => [numbers('x', 'INT64', [1, 4], row)]);

/** `x` f32 [batch, 4] → `y` f32 [batch, 4]. */
function rowGraph(name: string, build: (graph: OnnxGraph, x: string) => string): OnnxGraph {
  const graph = new OnnxGraph(name);
  const x = graph.input('x', 'FP32', ['batch', 4]);
  graph.output(graph.add('Identity', [build(graph, x)], {}, 'y'), 'FP32', ['batch', 4]);
  return graph;
}

const scaledBy = (graph: OnnxGraph, x: string, axes: readonly number[]): string => {
  const largest = graph.add('ReduceMax', [graph.add('Abs', [x])], { axes: { ints: axes }, keepdims: { int: 1 } });
  return graph.add('Div', [x, largest]);
};

function constantOf(graph: OnnxGraph, name: string, value: number): string {
  return graph.constant(name, 'FP32', [], Float32Array.of(value));
}

/** "If anything is above 1 these are bytes": as a choice of values, and as a branch. */
function bytesOrFractions(graph: OnnxGraph, x: string, isBranch: boolean): string {
  const largest = graph.add('ReduceMax', [x], { keepdims: { int: 0 } });
  const isBytes = graph.add('Greater', [largest, constantOf(graph, 'one', 1)]);
  constantOf(graph, 'most', 255);
  if (!isBranch) return graph.add('Where', [isBytes, graph.add('Div', [x, 'most']), x]);
  const scaled = new OnnxGraph('scaled');
  scaled.output(scaled.add('Div', [x, 'most'], {}, 'then'), 'FP32', ['batch', 4]);
  const same = new OnnxGraph('same');
  same.output(same.add('Identity', [x], {}, 'else'), 'FP32', ['batch', 4]);
  return graph.add('If', [isBytes], { then_branch: { graph: scaled }, else_branch: { graph: same } });
}

/** Rounded to 256 steps between the least and the greatest of the whole batch. */
function quantisedOnTheFly(graph: OnnxGraph, x: string): string {
  graph.addMany('DynamicQuantizeLinear', [x], {}, ['steps', 'scale', 'zero']);
  return graph.add('DequantizeLinear', ['steps', 'scale', 'zero']);
}

/** A softmax over all elements: the rows disappear in a reshape and come back in another. */
function softmaxOfAll(graph: OnnxGraph, x: string): string {
  graph.constant('one_row', 'INT64', [2], BigInt64Array.of(1n, -1n));
  graph.constant('rows', 'INT64', [2], BigInt64Array.of(-1n, 4n));
  const flat = graph.add('Softmax', [graph.add('Reshape', [x, 'one_row'])], { axis: { int: 1 } });
  return graph.add('Reshape', [flat, 'rows']);
}

/** Each row and all before it. */
function runningSum(graph: OnnxGraph, x: string): string {
  graph.constant('axis', 'INT64', [], BigInt64Array.of(0n));
  return graph.add('CumSum', [x, 'axis']);
}

/** Divided by how many rows there are. */
function sharedOut(graph: OnnxGraph, x: string): string {
  const shape = graph.add('Shape', [x], {});
  graph.constant('first', 'INT64', [], BigInt64Array.of(0n));
  const count = graph.add('Cast', [graph.add('Gather', [shape, 'first'])], { to: { int: 1 } });
  return graph.add('Div', [x, count]);
}

/** The rows in the opposite order. */
function backToFront(graph: OnnxGraph, x: string): string {
  const vector = (name: string, value: bigint): string => graph.constant(name, 'INT64', [1], BigInt64Array.of(value));
  const ends = [vector('from', -1n), vector('to', -(2n ** 31n)), vector('axis', 0n), vector('step', -1n)];
  return graph.add('Slice', [x, ...ends]);
}

/** Integers as a share of the batch's largest, in percent. `x` i64 [batch, 4] → `y`. */
function percentOfLargest(): OnnxGraph {
  const graph = new OnnxGraph('percent_of_largest');
  const x = graph.input('x', 'INT64', ['batch', 4]);
  graph.constant('hundred', 'INT64', [], BigInt64Array.of(100n));
  const largest = graph.add('ReduceMax', [graph.add('Abs', [x])], { keepdims: { int: 0 } });
  graph.output(graph.add('Div', [graph.add('Mul', [x, 'hundred']), largest], {}, 'y'), 'INT64', ['batch', 4]);
  return graph;
}

/** `x` i64 [batch, 4] → `y`: x mod 7, row by row. */
function remainders(): OnnxGraph {
  const graph = new OnnxGraph('remainders');
  const x = graph.input('x', 'INT64', ['batch', 4]);
  graph.constant('seven', 'INT64', [], BigInt64Array.of(7n));
  graph.output(graph.add('Mod', [x, 'seven'], {}, 'y'), 'INT64', ['batch', 4]);
  return graph;
}

export const ROW_MODELS: readonly CorpusModel[] = [
  ...coupled({
    scaled_by_largest: rowGraph('scaled_by_largest', (graph, x) => scaledBy(graph, x, [0, 1])),
    scaled_by_column: rowGraph('scaled_by_column', (graph, x) => scaledBy(graph, x, [0])),
    bytes_or_fractions: rowGraph('bytes_or_fractions', (graph, x) => bytesOrFractions(graph, x, false)),
    bytes_or_fractions_if: rowGraph('bytes_or_fractions_if', (graph, x) => bytesOrFractions(graph, x, true)),
    quantised_on_the_fly: rowGraph('quantised_on_the_fly', quantisedOnTheFly),
    coupled_softmax: coupledSoftmax(),
    coupled_mean: coupledMean(),
    softmax_of_all: rowGraph('softmax_of_all', softmaxOfAll),
    running_sum: rowGraph('running_sum', runningSum),
    shared_out: rowGraph('shared_out', sharedOut),
    back_to_front: rowGraph('back_to_front', backToFront),
  }),
  { name: 'percent_of_largest', graph: percentOfLargest(), rows: 'coupled', requests: INTEGER_REQUESTS },
  ...independent({
    scaled_by_row: rowGraph('scaled_by_row', (graph, x) => scaledBy(graph, x, [1])),
    softmax_of_row: rowGraph('softmax_of_row', (graph, x) => graph.add('Softmax', [x], { axis: { int: 1 } })),
  }),
  { name: 'remainders', graph: remainders(), rows: 'independent', requests: INTEGER_REQUESTS },
];

function coupled(graphs: Readonly<Record<string, OnnxGraph>>): CorpusModel[] {
  return Object.entries(graphs).map(([name, graph]) => ({ name, graph, rows: 'coupled', requests: FLOAT_REQUESTS }));
}

/** Some of their requests have several rows. */
function independent(graphs: Readonly<Record<string, OnnxGraph>>): CorpusModel[] {
  const requests = [...FLOAT_REQUESTS, [floats(UNLIKE_ROWS.slice(0, 3))], [floats(UNLIKE_ROWS.slice(3))]];
  return Object.entries(graphs).map(([name, graph]) => ({ name, graph, rows: 'independent', requests }));
}
