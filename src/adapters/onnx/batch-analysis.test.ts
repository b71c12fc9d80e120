import { describe, expect, it } from 'vitest';
import { OnnxGraph } from '../models/onnx-writer.js';
import { analyseBatching, type BatchVerdict } from './batch-analysis.js';
import { readModelGraph } from './model-graph.js';

/*
 * What is said of one operator behind an input whose rows are on its first axis: where it keeps them apart, and where it does not.
 * That nothing that is called independent differs in a batch is shown by ONNX Runtime: test/system/onnx/batch-analysis.test.ts.
 */

/** Adds operators behind `x`, and returns what is to be the output. */
type Build = (graph: OnnxGraph) => string;

const ROW = ['batch', 4];
const MATRIX = ['batch', 3, 4];
const IMAGE = ['batch', 2, 6, 6];

function verdictOf(build: Build, shape: readonly (number | string)[] = ROW, opset?: number): BatchVerdict {
  const graph = new OnnxGraph('g');
  graph.input('x', 'FP32', shape);
  graph.output(build(graph), 'FP32', ['batch']);
  return analyseBatching(readModelGraph(graph.toModel(opset)));
}

function floats(graph: OnnxGraph, name: string, shape: readonly number[]): string {
  const count = shape.reduce((product, size) => product * size, 1);
  return graph.constant(name, 'FP32', shape, new Float32Array(count).fill(1));
}

function integers(graph: OnnxGraph, name: string, ...values: number[]): string {
  return graph.constant(name, 'INT64', [values.length], BigInt64Array.from(values, BigInt));
}

const op =
  (operator: string, attributes: Parameters<OnnxGraph['add']>[2] = {}): Build =>
  (graph) =>
    graph.add(operator, ['x'], attributes);

/** Of several results, the first. */
const firstOf =
  (
    operator: string,
    inputs: (graph: OnnxGraph) => readonly string[],
    attributes: Parameters<OnnxGraph['add']>[2] = {},
  ): Build =>
  (graph) => {
    graph.addMany(operator, inputs(graph), attributes, ['y', 'z']);
    return 'y';
  };

const withIntegers =
  (operator: string, ...lists: number[][]): Build =>
  (graph) =>
    graph.add(operator, ['x', ...lists.map((values, i) => integers(graph, `c${i}`, ...values))]);

const withFloats =
  (operator: string, ...shapes: number[][]): Build =>
  (graph) =>
    graph.add(operator, ['x', ...shapes.map((shape, i) => floats(graph, `c${i}`, shape))]);

/** A size of x, as exporters take it. */
function sizeOf(graph: OnnxGraph, axis: number): string {
  return graph.add('Gather', [graph.add('Shape', ['x']), integers(graph, `axis${axis}`, axis)]);
}

type Case = [title: string, build: Build, shape?: readonly (number | string)[], opset?: number];

const INDEPENDENT: readonly Case[] = [
  ['one element at a time', op('Relu')],
  ['a weight for each feature', withFloats('Add', [4])],
  ['a weight of one row', withFloats('Mul', [1, 4])],
  ['Reduce over features', op('ReduceMean', { axes: { ints: [1] } })],
  ['Reduce over features, counted from the end', op('ReduceMax', { axes: { ints: [-1] }, keepdims: { int: 0 } })],
  ['Reduce over features named by an input', withIntegers('ReduceSum', [1])],
  ['Softmax over features', op('Softmax', { axis: { int: -1 } })],
  ['Softmax of old, flattened behind the rows', op('Softmax'), MATRIX, 12],
  ['LayerNormalization', withFloats('LayerNormalization', [4], [4])],
  ['InstanceNormalization', withFloats('InstanceNormalization', [2], [2]), IMAGE],
  ['BatchNormalization with the model’s own statistics', withFloats('BatchNormalization', [2], [2], [2], [2]), IMAGE],
  ['LpNormalization over features', op('LpNormalization', { axis: { int: 1 } })],
  ['TopK over features', firstOf('TopK', (graph) => ['x', integers(graph, 'k', 2)], { axis: { int: 1 } })],
  ['CumSum over features', withIntegers('CumSum', [1])],
  ['ArgMax over features', op('ArgMax', { axis: { int: 1 } })],
  ['Gather of features', (graph) => graph.add('Gather', ['x', integers(graph, 'i', 2, 0)], { axis: { int: 1 } })],
  ['Slice of features', withIntegers('Slice', [1], [3], [1])],
  ['Pad of features', withIntegers('Pad', [0, 1, 0, 1])],
  ['Concat of features', (graph) => graph.add('Concat', ['x', 'x'], { axis: { int: 1 } })],
  ['Split of features', firstOf('Split', () => ['x'], { axis: { int: 1 } })],
  ['Tile of features', withIntegers('Tile', [1, 2])],
  ['MatMul with weights', withFloats('MatMul', [4, 5])],
  [
    'MatMul of each row with itself',
    (graph) => graph.add('MatMul', ['x', graph.add('Transpose', ['x'], { perm: { ints: [0, 2, 1] } })]),
    MATRIX,
  ],
  ['Gemm with weights', withFloats('Gemm', [4, 5], [5])],
  [
    'Einsum that keeps the rows',
    (graph) => graph.add('Einsum', ['x', floats(graph, 'w', [4, 5])], { equation: { text: 'bi,ij->bj' } }),
  ],
  ['Conv', withFloats('Conv', [3, 2, 3, 3]), IMAGE],
  ['MaxPool', op('MaxPool', { kernel_shape: { ints: [2, 2] } }), IMAGE],
  ['GlobalAveragePool', op('GlobalAveragePool'), IMAGE],
  ['DepthToSpace', op('DepthToSpace', { blocksize: { int: 1 } }), IMAGE],
  ['Flatten behind the rows', op('Flatten'), IMAGE],
  ['Reshape that keeps the rows', withIntegers('Reshape', [0, -1]), IMAGE],
  [
    'Reshape by the batch’s own size',
    (graph) =>
      graph.add('Reshape', [
        'x',
        graph.add('Concat', [sizeOf(graph, 0), integers(graph, 'rest', -1)], { axis: { int: 0 } }),
      ]),
    MATRIX,
  ],
  [
    'rows laid together, multiplied and taken apart',
    (graph) => {
      const flat = graph.add('Reshape', ['x', integers(graph, 'flat', -1, 4)]);
      const dense = graph.add('MatMul', [flat, floats(graph, 'w', [4, 5])]);
      return graph.add('Reshape', [dense, integers(graph, 'back', -1, 3, 5)]);
    },
    MATRIX,
  ],
  [
    'Transpose there and back',
    (graph) =>
      graph.add('Transpose', [graph.add('Transpose', ['x'], { perm: { ints: [1, 0, 2] } })], {
        perm: { ints: [1, 0, 2] },
      }),
    MATRIX,
  ],
  [
    'Unsqueeze and Squeeze',
    (graph) => {
      const axis = integers(graph, 'axis', 1);
      return graph.add('Squeeze', [graph.add('Unsqueeze', ['x', axis]), axis]);
    },
  ],
  [
    'Expand to the batch',
    (graph) => {
      const target = graph.add('Concat', [sizeOf(graph, 0), integers(graph, 'four', 4)], { axis: { int: 0 } });
      return graph.add('Add', ['x', graph.add('Expand', [floats(graph, 'w', [1, 4]), target])]);
    },
  ],
  [
    'Where with a mask of its own row',
    (graph) =>
      graph.add('Where', [graph.add('Greater', ['x', floats(graph, 'zero', [1])]), 'x', floats(graph, 'one', [1])]),
  ],
  [
    'look-up in a table',
    (graph) => graph.add('Gather', [floats(graph, 'table', [9, 2]), graph.add('Cast', ['x'], { to: { int: 7 } })]),
  ],
  [
    'LSTM, time first',
    (graph) => {
      const sequence = graph.add('Transpose', ['x'], { perm: { ints: [1, 0, 2] } });
      graph.addMany(
        'LSTM',
        [sequence, floats(graph, 'w', [1, 8, 4]), floats(graph, 'r', [1, 8, 2])],
        { hidden_size: { int: 2 } },
        ['h'],
      );
      const merged = graph.add('Squeeze', ['h', integers(graph, 'one', 1)]);
      return graph.add('Transpose', [merged], { perm: { ints: [1, 0, 2] } });
    },
    MATRIX,
  ],
];

const COUPLED: readonly Case[] = [
  ['Reduce over the rows', op('ReduceMean', { axes: { ints: [0] } })],
  ['Reduce over everything', op('ReduceMax', { keepdims: { int: 1 } })],
  ['Softmax over the rows', op('Softmax', { axis: { int: 0 } })],
  ['Softmax of old, over the rows as well', op('Softmax', { axis: { int: 0 } }), MATRIX, 12],
  ['LpNormalization over the rows', op('LpNormalization', { axis: { int: 0 } })],
  [
    'DynamicQuantizeLinear',
    (graph) => {
      graph.addMany('DynamicQuantizeLinear', ['x'], {}, ['q', 's', 'p']);
      return 'q';
    },
  ],
  ['TopK over the rows', firstOf('TopK', (graph) => ['x', integers(graph, 'k', 2)], { axis: { int: 0 } })],
  ['CumSum over the rows', withIntegers('CumSum', [0])],
  ['ArgMax over the rows', op('ArgMax', { axis: { int: 0 } })],
  ['NonZero', op('NonZero')],
  ['Unique', op('Unique')],
  ['Gather of one row', (graph) => graph.add('Gather', ['x', integers(graph, 'i', 0)])],
  ['Slice of rows', withIntegers('Slice', [0], [1], [0])],
  ['Pad of rows', withIntegers('Pad', [1, 0, 0, 0])],
  ['Concat of rows', (graph) => graph.add('Concat', ['x', 'x'], { axis: { int: 0 } })],
  ['Tile of rows', withIntegers('Tile', [2, 1])],
  [
    'every row with every other',
    (graph) => graph.add('MatMul', ['x', graph.add('Transpose', ['x'], { perm: { ints: [1, 0] } })]),
  ],
  ['Einsum over the rows', (graph) => graph.add('Einsum', ['x', 'x'], { equation: { text: 'bi,bj->ij' } })],
  ['Reshape into one', withIntegers('Reshape', [-1])],
  ['Reshape to so many rows', withIntegers('Reshape', [2, -1])],
  ['Flatten of everything', op('Flatten', { axis: { int: 0 } })],
  ['an output whose first axis is another', op('Transpose', { perm: { ints: [1, 0] } })],
  ['an output without rows', (graph) => graph.add('Shape', ['x'])],
  ['a weight for each of two rows', withFloats('Add', [2, 4])],
  [
    'the number of rows, as a number',
    (graph) => graph.add('Mul', ['x', graph.add('Cast', [sizeOf(graph, 0)], { to: { int: 1 } })]),
  ],
  ['rows as weights', (graph) => graph.add('Gemm', [floats(graph, 'w', [4, 4]), 'x'])],
  ['a first axis that is fixed', op('Relu'), [2, 4]],
];

const UNKNOWN: readonly Case[] = [
  ['an operator of another domain', op('com.example.Relu')],
  ['an operator that nobody has followed', op('Det'), ['batch', 3, 3]],
  [
    'control flow',
    (graph) => {
      const branch = (name: string): OnnxGraph => {
        const body = new OnnxGraph(name);
        body.output(body.add('Identity', ['x'], {}, `${name}_y`), 'FP32', ROW);
        return body;
      };
      const condition = graph.constant('condition', 'BOOL', [], Uint8Array.of(1));
      return graph.add('If', [condition], {
        then_branch: { graph: branch('yes') },
        else_branch: { graph: branch('no') },
      });
    },
  ],
  ['chance', op('RandomNormalLike')],
];

describe('what a graph says of batching', () => {
  it.each(INDEPENDENT)('rows stay apart: %s', (_, build, shape, opset) => {
    expect(verdictOf(build, shape, opset)).toEqual({ kind: 'independent' });
  });

  it.each(COUPLED)('rows are coupled: %s', (_, build, shape, opset) => {
    expect(verdictOf(build, shape, opset).kind).toBe('coupled');
  });

  it.each(UNKNOWN)('nobody knows: %s', (_, build, shape, opset) => {
    expect(verdictOf(build, shape, opset).kind).toBe('unknown');
  });

  it('names the operator that mixes rows, and why', () => {
    const build: Build = (graph) => graph.add('Relu', [graph.add('Softmax', ['x'], { axis: { int: 0 } }, 'scores')]);
    expect(verdictOf(build)).toEqual({
      kind: 'coupled',
      node: "Softmax 'scores'",
      reason: expect.any(String) as string,
    });
  });
});
