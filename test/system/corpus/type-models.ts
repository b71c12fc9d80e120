import { OnnxGraph } from '../../../src/server/onnx/onnx-writer.js';
import { anyLength, identity, scalar, simple } from '../../../research/load-models/tiny-graphs.js';
import type { Datatype, Tensor } from '../../../src/scheduler/domain/tensor.js';
import type { CorpusModel, Inputs } from './corpus-model.js';
import { bytesElements, numbers, numericElements, strings } from './tensors.js';

/* What tensors can be: every element type, every string, scalars, empty ones, any rank, inputs that may be left out. */

const renamed = (inputs: Inputs, name = 'y'): Tensor[] => inputs.map((tensor) => ({ ...tensor, name }));

/** The edges of every type, four a row. FP16 and BF16: 0, 1, −2, the largest finite; the smallest, ∞, −∞, ⅓. */
const EDGES: Readonly<Record<Exclude<Datatype, 'BYTES'>, readonly (readonly (number | bigint)[])[]>> = {
  BOOL: [
    [0, 1, 1, 0],
    [1, 1, 1, 1],
  ],
  UINT8: [
    [0, 1, 254, 255],
    [128, 127, 2, 3],
  ],
  UINT16: [
    [0, 1, 256, 65_535],
    [32_768, 32_767, 2, 3],
  ],
  UINT32: [
    [0, 1, 2 ** 31, 2 ** 32 - 1],
    [65_536, 65_535, 2, 3],
  ],
  UINT64: [
    [0, 1, 2 ** 32, 2 ** 53 - 1],
    [2n ** 63n, 2n ** 64n - 1n, 2n ** 53n + 1n, 3],
  ],
  INT8: [
    [-128, -1, 0, 127],
    [64, -64, 2, 3],
  ],
  INT16: [
    [-32_768, -1, 0, 32_767],
    [256, -256, 2, 3],
  ],
  INT32: [
    [-(2 ** 31), -1, 0, 2 ** 31 - 1],
    [65_536, -65_536, 2, 3],
  ],
  INT64: [
    [1 - 2 ** 53, -1, 0, 2 ** 53 - 1],
    [-(2n ** 63n), 2n ** 63n - 1n, -(2n ** 53n) - 1n, 3],
  ],
  FP16: [
    [0, 0x3c00, 0xc000, 0x7bff],
    [0x0001, 0x7c00, 0xfc00, 0x3555],
  ],
  BF16: [
    [0, 0x3f80, 0xc000, 0x7f7f],
    [0x0001, 0x7f80, 0xff80, 0x3eab],
  ],
  FP32: [
    [0.1, -0, 1e-45, Infinity],
    [-Infinity, NaN, 16_777_216, -1.5],
  ],
  FP64: [
    [0.1, -0, 5e-324, -Infinity],
    [Infinity, NaN, 1.7e308, Math.PI],
  ],
};

/** Rows of one, and both as a request of two rows. */
const identities: readonly CorpusModel[] = Object.entries(EDGES).map(([name, rows]) => {
  const datatype = name as keyof typeof EDGES;
  return {
    name: `identity_${datatype.toLowerCase()}`,
    graph: identity(datatype),
    rows: 'independent',
    requests: [
      ...rows.map((row) => [numbers('x', datatype, [1, 4], row)]),
      [numbers('x', datatype, [2, 4], rows.flat())],
      [numbers('x', datatype, [0, 4], [])],
    ],
    expected: renamed,
  };
});

const NOT_UTF8 = [Buffer.from([0xff, 0xfe]), Buffer.from([0xc0, 0x80]), Buffer.from([0xed, 0xa0, 0x80])];
const WORDS = ['a\0b', '\0', '', 'zwölf 水 🌍', '\ufeffBOM', '"quoted"\\', 'x'.repeat(300), '\u{10ffff}'];
const TEN_MB = 10 * 1024 * 1024;

/** `x` strings [batch, 4] → `y`, each row backwards: a kernel that copies strings one by one. */
function backwards(): OnnxGraph {
  const graph = new OnnxGraph('backwards');
  const x = graph.input('x', 'BYTES', ['batch', 4]);
  graph.constant('order', 'INT64', [4], BigInt64Array.of(3n, 2n, 1n, 0n));
  graph.output(graph.add('Gather', [x, 'order'], { axis: { int: 1 } }, 'y'), 'BYTES', ['batch', 4]);
  return graph;
}

const stringModels: readonly CorpusModel[] = [
  {
    name: 'backwards',
    graph: backwards(),
    rows: 'independent',
    requests: [
      [strings('x', [1, 4], WORDS.slice(0, 4))],
      [strings('x', [1, 4], WORDS.slice(4))],
      [strings('x', [2, 4], [...WORDS].reverse())],
      [strings('x', [1, 4], ['text', ...NOT_UTF8])],
      [strings('x', [1, 4], ['', '', '', ''])],
      [strings('x', [0, 4], [])],
    ],
    expected: ([x]) => {
      const elements = bytesElements(x!);
      const rows = Array.from({ length: elements.length / 4 }, (_, row) => elements.slice(4 * row, 4 * row + 4));
      return [
        strings(
          'y',
          x!.shape,
          rows.flatMap((row) => row.reverse()),
        ),
      ];
    },
  },
  {
    name: 'identity_bytes',
    graph: identity('BYTES'),
    rows: 'independent',
    requests: [
      [strings('x', [1, 4], ['', `${'a'.repeat(TEN_MB - 2)}\0é`, '\0\0', 'end'])],
      [strings('x', [1, 4], [Buffer.alloc(100_000, 0x80), ...NOT_UTF8])],
    ],
    expected: renamed,
  },
  {
    name: 'scalar_string',
    graph: scalarIdentity('BYTES'),
    rows: 'either',
    requests: [[strings('x', [], ['a\0b'])], [strings('x', [], [''])], [strings('x', [], NOT_UTF8.slice(0, 1))]],
    expected: renamed,
  },
];

function scalarIdentity(datatype: Datatype): OnnxGraph {
  const graph = new OnnxGraph('scalar_identity');
  graph.output(graph.add('Identity', [graph.input('x', datatype, [])], {}, 'y'), datatype, []);
  return graph;
}

/** The high half of a float32: exact for floats of 8 significant bits. */
const highHalf = (value: number): number => new Uint16Array(Float32Array.of(value).buffer)[1]!;

/** BF16 is computed with, not only passed on: `x` bf16 [batch, 3] → `wide` f32, and back to `narrow` bf16. */
function bf16Casts(): OnnxGraph {
  const graph = new OnnxGraph('bf16_casts');
  const x = graph.input('x', 'BF16', ['batch', 3]);
  // TensorProto.DataType: FLOAT 1, BFLOAT16 16.
  const wide = graph.add('Cast', [x], { to: { int: 1 } }, 'wide');
  graph.output(wide, 'FP32', ['batch', 3]);
  graph.output(graph.add('Cast', [graph.add('Neg', [wide])], { to: { int: 16 } }, 'narrow'), 'BF16', ['batch', 3]);
  return graph;
}

const BF16_VALUES = [
  [1, -2.5, 0.15625],
  [1e30, 3, -100],
].map((row) => row.map((value) => new Float32Array(Uint16Array.of(0, highHalf(value)).buffer)[0]!));

/** `x` f32 of any rank → `y` = 2·x. */
function anyRank(): OnnxGraph {
  const graph = new OnnxGraph('any_rank');
  const x = graph.input('x', 'FP32', null);
  graph.output(graph.add('Add', [x, x], {}, 'y'), 'FP32', null);
  return graph;
}

/** `y` = x · scale + offset, of which scale and offset may be left out: 2 and (1, 2, 3, 4). */
function optionalInputs(): OnnxGraph {
  const graph = new OnnxGraph('optional_inputs');
  const x = graph.input('x', 'FP32', ['batch', 4]);
  const scale = graph.optionalInput('scale', 'FP32', [], Float32Array.of(2));
  const offset = graph.optionalInput('offset', 'FP32', [4], Float32Array.of(1, 2, 3, 4));
  graph.output(graph.add('Add', [graph.add('Mul', [x, scale]), offset], {}, 'y'), 'FP32', ['batch', 4]);
  return graph;
}

/** Results of three types and two shapes from one input. `x` f32 [batch, 3]. */
function severalOutputs(): OnnxGraph {
  const graph = new OnnxGraph('several_outputs');
  const x = graph.input('x', 'FP32', ['batch', 3]);
  graph.constant('k', 'INT64', [1], BigInt64Array.of(2n));
  graph.addMany('TopK', [x, 'k'], {}, ['largest', 'places']);
  graph.output('largest', 'FP32', ['batch', 2]);
  graph.output('places', 'INT64', ['batch', 2]);
  graph.constant('zero', 'FP32', [], Float32Array.of(0));
  graph.output(graph.add('Greater', [x, 'zero'], {}, 'positive'), 'BOOL', ['batch', 3]);
  return graph;
}

/** How many places are not zero, only the run tells: `x` f32 [n] → `places` i64 [1, m], `values` f32 [m]. */
function dynamicOutputs(): OnnxGraph {
  const graph = new OnnxGraph('dynamic_outputs');
  const x = graph.input('x', 'FP32', ['n']);
  const places = graph.add('NonZero', [x], {}, 'places');
  graph.output(places, 'INT64', [1, 'm']);
  graph.constant('flat', 'INT64', [1], BigInt64Array.of(-1n));
  graph.output(graph.add('Gather', [x, graph.add('Reshape', [places, 'flat'])], {}, 'values'), 'FP32', ['m']);
  return graph;
}

/** No input at all: `y` i64 [3]. */
function noInputs(): OnnxGraph {
  const graph = new OnnxGraph('no_inputs');
  graph.constant('c', 'INT64', [3], BigInt64Array.of(1n, 2n, 3n));
  graph.output(graph.add('Identity', ['c'], {}, 'y'), 'INT64', [3]);
  return graph;
}

/** The first of each row, which an empty row has none of. `x` f32 [batch, length] → `y` f32 [batch]. */
function firstOfRow(): OnnxGraph {
  const graph = new OnnxGraph('first_of_row');
  const x = graph.input('x', 'FP32', ['batch', 'length']);
  graph.constant('first', 'INT64', [], BigInt64Array.of(0n));
  graph.output(graph.add('Gather', [x, 'first'], { axis: { int: 1 } }, 'y'), 'FP32', ['batch']);
  return graph;
}

const floats = (name: string, shape: readonly number[], ...values: number[]): Tensor =>
  numbers(name, 'FP32', shape, values);

export const TYPE_MODELS: readonly CorpusModel[] = [
  ...identities,
  ...stringModels,
  {
    name: 'bf16_casts',
    graph: bf16Casts(),
    rows: 'independent',
    requests: [
      ...BF16_VALUES.map((row) => [numbers('x', 'BF16', [1, 3], row.map(highHalf))]),
      [numbers('x', 'BF16', [2, 3], BF16_VALUES.flat().map(highHalf))],
    ],
    expected: ([x]) => {
      const bits = numericElements(x!) as number[];
      const wide = bits.map((high) => new Float32Array(Uint16Array.of(0, high).buffer)[0]!);
      // Negation turns the sign bit, the topmost.
      return [
        numbers('wide', 'FP32', x!.shape, wide),
        numbers(
          'narrow',
          'BF16',
          x!.shape,
          bits.map((b) => b ^ 0x8000),
        ),
      ];
    },
  },
  {
    name: 'scalar',
    graph: scalar(),
    rows: 'either',
    requests: [[floats('x', [], 2.5)], [floats('x', [], -1e30)], [floats('x', [], 0)]],
  },
  {
    name: 'scalar_int64',
    graph: scalarIdentity('INT64'),
    rows: 'either',
    requests: [[numbers('x', 'INT64', [], [-7])], [numbers('x', 'INT64', [], [2n ** 62n])]],
  },
  {
    name: 'any_length',
    graph: anyLength(),
    settings: 'shape: { x: [1, 3] }\n',
    rows: 'independent',
    requests: [
      [floats('x', [1, 3], 1, -2, 1000)],
      [floats('x', [1, 3], 1e-6, 2e-6, 0)],
      [floats('x', [2, 3], 1, 2, 3, -4, -5, -6)],
      [floats('x', [1, 0])],
      [floats('x', [3, 0])],
      [floats('x', [0, 3])],
      [floats('x', [0, 0])],
      [floats('x', [1, 1], 7)],
    ],
  },
  {
    name: 'first_of_row',
    graph: firstOfRow(),
    // Its shapes are only known from the first request, so it begins one at a time.
    rows: 'either',
    requests: [[floats('x', [1, 2], 3, -5)], [floats('x', [1, 2], -1e9, -2e9)], [floats('x', [0, 2])]],
    failing: [{ inputs: [floats('x', [1, 0])], message: /indices element out of data bounds/ }],
  },
  {
    name: 'any_rank',
    graph: anyRank(),
    rows: 'either',
    requests: [
      [floats('x', [2], 1, -2)],
      [floats('x', [], 4)],
      [floats('x', [1, 2, 2], 1, 2, 3, 4)],
      [floats('x', [0])],
      [floats('x', [1, 1, 1, 1, 1, 1], 5)],
    ],
  },
  {
    name: 'optional_inputs',
    graph: optionalInputs(),
    rows: 'independent',
    expected: (inputs) => {
      const valuesOf = (name: string): number[] | undefined => {
        const given = inputs.find((input) => input.name === name);
        return given === undefined ? undefined : numericElements(given).map(Number);
      };
      const scale = valuesOf('scale')?.[0] ?? 2;
      const offset = valuesOf('offset') ?? [1, 2, 3, 4];
      const y = valuesOf('x')!.map((value, i) => value * scale + offset[i % 4]!);
      return [floats('y', inputs.find(({ name }) => name === 'x')!.shape, ...y)];
    },
    requests: [
      [floats('x', [1, 4], 1, 2, 3, 4)],
      [floats('x', [1, 4], -100, 0, 100, 1e6)],
      [floats('x', [1, 4], 1, 1, 1, 1), floats('scale', [], 10)],
      [floats('x', [1, 4], 1, 1, 1, 1), floats('scale', [], -3)],
      [floats('offset', [4], 0, 0, 0, 0), floats('x', [1, 4], 5, 6, 7, 8)],
      [floats('offset', [4], 9, 9, 9, 9), floats('scale', [], 0), floats('x', [2, 4], 5, 6, 7, 8, 1, 2, 3, 4)],
    ],
  },
  {
    name: 'several_outputs',
    graph: severalOutputs(),
    rows: 'independent',
    requests: [
      [floats('x', [1, 3], 3, -1, 2)],
      [floats('x', [1, 3], -9, 1e9, 0)],
      [floats('x', [2, 3], 1, 2, 3, 6, 5, 4)],
    ],
  },
  {
    name: 'simple',
    graph: simple(),
    rows: 'independent',
    requests: [1, -1, 1_000_000].map((scale) =>
      ['INPUT0', 'INPUT1'].map((name, offset) =>
        numbers(
          name,
          'INT32',
          [1, 16],
          Array.from({ length: 16 }, (_, i) => scale * (i + offset)),
        ),
      ),
    ),
  },
  {
    name: 'dynamic_outputs',
    graph: dynamicOutputs(),
    rows: 'coupled',
    requests: [
      [floats('x', [4], 0, 5, 0, -2)],
      [floats('x', [4], 1, 1, 1, 1)],
      [floats('x', [2], 0, 0)],
      [floats('x', [0])],
    ],
  },
  { name: 'no_inputs', graph: noInputs(), rows: 'either', requests: [[]] },
];
