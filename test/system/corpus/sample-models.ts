import { OnnxGraph } from '../../../src/server/onnx/onnx-writer.js';
import type { Tensor } from '../../../src/scheduler/domain/tensor.js';
import type { CorpusModel } from './corpus-model.js';
import { numbers, strings } from './tensors.js';

/* Models that do not run on any input: text must be a number, a divisor not 0, ids begin at 100, sizes come as values. */

/** Strings as numbers. `x` [batch, 2] → `y` of TensorProto.DataType `to`. */
function fromText(name: string, datatype: 'FP32' | 'INT64', to: number): OnnxGraph {
  const graph = new OnnxGraph(name);
  const x = graph.input('x', 'BYTES', ['batch', 2]);
  graph.output(graph.add('Cast', [x], { to: { int: to } }, 'y'), datatype, ['batch', 2]);
  return graph;
}

/** `data` f32 [12] in the shape that `sizes` i64 [2] gives. */
function reshapeByInput(): OnnxGraph {
  const graph = new OnnxGraph('reshape_by_input');
  const inputs = [graph.input('data', 'FP32', [12]), graph.input('sizes', 'INT64', [2])];
  graph.output(graph.add('Reshape', inputs, {}, 'y'), 'FP32', ['rows', 'columns']);
  return graph;
}

/** `image` f32 [1, 1, 2, 2] in the sizes that `sizes` i64 [4] gives, of which the first two must be 1. */
function resizeByInput(): OnnxGraph {
  const graph = new OnnxGraph('resize_by_input');
  const image = graph.input('image', 'FP32', [1, 1, 2, 2]);
  const sizes = graph.input('sizes', 'INT64', [4]);
  graph.output(graph.add('Resize', [image, '', '', sizes], {}, 'y'), 'FP32', [1, 1, 'height', 'width']);
  return graph;
}

/** `x` f32 [4], doubled `count` i64 [] times. */
function loopCount(): OnnxGraph {
  const body = new OnnxGraph('loop_count.body');
  body.input('step', 'INT64', []);
  body.input('proceed', 'BOOL', []);
  body.input('value', 'FP32', [4]);
  body.output(body.add('Identity', ['proceed'], {}, 'proceed_next'), 'BOOL', []);
  body.output(body.add('Add', ['value', 'value'], {}, 'value_next'), 'FP32', [4]);
  const graph = new OnnxGraph('loop_count');
  const inputs = [graph.input('count', 'INT64', []), '', graph.input('x', 'FP32', [4])];
  graph.output(graph.add('Loop', inputs, { body: { graph: body } }, 'y'), 'FP32', [4]);
  return graph;
}

/** 0 … count − 1. `count` i64 [] → `y` i64 [count]. */
function rangeTo(): OnnxGraph {
  const graph = new OnnxGraph('range_to');
  graph.constant('zero', 'INT64', [], BigInt64Array.of(0n));
  graph.constant('one', 'INT64', [], BigInt64Array.of(1n));
  graph.output(graph.add('Range', ['zero', graph.input('count', 'INT64', []), 'one'], {}, 'y'), 'INT64', ['count']);
  return graph;
}

/** The squares of 0 … 9 under the ids 100 … 109. `ids` i64 [batch, 3] → `y` f32 [batch, 3]. */
function idsFrom100(): OnnxGraph {
  const graph = new OnnxGraph('ids_from_100');
  const ids = graph.input('ids', 'INT64', ['batch', 3]);
  graph.constant('first_id', 'INT64', [], BigInt64Array.of(100n));
  graph.constant(
    'squares',
    'FP32',
    [10],
    Float32Array.from({ length: 10 }, (_, i) => i * i),
  );
  const places = graph.add('Sub', [ids, 'first_id']);
  graph.output(graph.add('Gather', ['squares', places], {}, 'y'), 'FP32', ['batch', 3]);
  return graph;
}

/** A divisor of 0 is refused by ONNX Runtime, the least integer by −1 by the processor (SIGFPE). `a`, `b` i32 [batch, 2] → `y`. */
function integerDivision(operator: 'Div' | 'Mod'): OnnxGraph {
  const graph = new OnnxGraph(`integer_${operator}`);
  const inputs = ['a', 'b'].map((name) => graph.input(name, 'INT32', ['batch', 2]));
  graph.output(graph.add(operator, inputs, {}, 'y'), 'INT32', ['batch', 2]);
  return graph;
}

const TWELVE = numbers(
  'data',
  'FP32',
  [12],
  Array.from({ length: 12 }, (_, i) => i - 5.5),
);
const IMAGE = numbers('image', 'FP32', [1, 1, 2, 2], [1, 2, 3, 4]);
const count = (value: number): Tensor => numbers('count', 'INT64', [], [value]);
const four = (...values: number[]): Tensor => numbers('x', 'FP32', [4], values);
const ids = (...values: number[]): Tensor => numbers('ids', 'INT64', [values.length / 3, 3], values);
const divided = (a: readonly number[], b: readonly number[]): Tensor[] => [
  numbers('a', 'INT32', [a.length / 2, 2], a),
  numbers('b', 'INT32', [b.length / 2, 2], b),
];

const DIVISIONS = [divided([7, -7], [2, 2]), divided([1_000_000, 5], [-3, 100]), divided([1, 2, 3, 4], [4, 3, 2, 1])];

export const SAMPLE_MODELS: readonly CorpusModel[] = [
  {
    name: 'number_in_text',
    graph: fromText('number_in_text', 'FP32', 1),
    rows: 'either',
    requests: [
      [strings('x', [1, 2], ['1.5', '-2e3'])],
      [strings('x', [1, 2], ['0', '1e-30'])],
      [strings('x', [2, 2], ['1', '2', '3', '4'])],
    ],
    failing: [{ inputs: [strings('x', [1, 2], ['1', 'one'])], message: /Cast|stof|convert/i }],
  },
  {
    name: 'integer_in_text',
    graph: fromText('integer_in_text', 'INT64', 7),
    rows: 'either',
    requests: [[strings('x', [1, 2], ['-7', '9007199254740991'])], [strings('x', [1, 2], ['0', '12'])]],
    failing: [{ inputs: [strings('x', [1, 2], ['', '1'])], message: /Cast|stoll|convert/i }],
  },
  {
    name: 'reshape_by_input',
    graph: reshapeByInput(),
    rows: 'either',
    requests: [
      [TWELVE, numbers('sizes', 'INT64', [2], [3, 4])],
      [TWELVE, numbers('sizes', 'INT64', [2], [-1, 2])],
      [TWELVE, numbers('sizes', 'INT64', [2], [12, 1])],
    ],
    failing: [{ inputs: [TWELVE, numbers('sizes', 'INT64', [2], [5, 5])], message: /running Reshape node/ }],
  },
  {
    name: 'resize_by_input',
    graph: resizeByInput(),
    rows: 'either',
    requests: [
      [IMAGE, numbers('sizes', 'INT64', [4], [1, 1, 4, 4])],
      [IMAGE, numbers('sizes', 'INT64', [4], [1, 1, 1, 6])],
    ],
  },
  {
    name: 'loop_count',
    graph: loopCount(),
    rows: 'either',
    requests: [
      [count(3), four(1, -2, 0.5, 0)],
      [count(0), four(1, -2, 0.5, 0)],
      [count(100), four(1e-20, 1, -1, 3)],
    ],
  },
  { name: 'range_to', graph: rangeTo(), rows: 'either', requests: [[count(5)], [count(0)], [count(1000)]] },
  {
    name: 'ids_from_100',
    graph: idsFrom100(),
    rows: 'either',
    requests: [[ids(100, 105, 109)], [ids(103, 103, 103)], [ids(109, 108, 107, 100, 101, 102)]],
    failing: [{ inputs: [ids(1, 2, 3)], message: /indices element out of data bounds/ }],
  },
  {
    name: 'integer_division',
    graph: integerDivision('Div'),
    rows: 'either',
    requests: DIVISIONS,
    failing: [
      { inputs: divided([1, 2], [0, 1]), message: /Integer division by zero/ },
      { inputs: divided([-(2 ** 31), 2], [-1, 1]), message: /worker/, isDeadly: true },
    ],
  },
  {
    name: 'integer_remainder',
    graph: integerDivision('Mod'),
    rows: 'either',
    requests: DIVISIONS,
    failing: [{ inputs: divided([1, 2], [0, 1]), message: /Integer modulo by zero/ }],
  },
];
