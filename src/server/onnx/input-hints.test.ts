import { describe, expect, it } from 'vitest';
import { OnnxGraph } from './onnx-writer.js';
import { inputHints } from './input-hints.js';
import { readModelGraph, type Graph, type GraphNode } from './model-graph.js';
import { both, exactly, NO_NEEDS, range, type InputHint } from './value-needs.js';

// That ONNX Runtime takes what is hinted at, operator by operator: test/system/onnx/input-hints.test.ts.

function hintsOf(graph: OnnxGraph): Record<string, InputHint> {
  return Object.fromEntries(inputHints(readModelGraph(graph.toModel())));
}

const INT64_TYPE = 7;
const FLOAT_TYPE = 1;

/** An index into a table of 8 rows, wherever `path` leads it from the input `ids`. */
function embedding(path: (graph: OnnxGraph, ids: string) => string, datatype: 'INT64' | 'FP32' = 'INT64'): OnnxGraph {
  const graph = new OnnxGraph('embedding');
  const ids = graph.input('ids', datatype, ['batch', 3]);
  graph.constant('table', 'FP32', [8, 2], new Float32Array(16));
  graph.output(graph.add('Gather', ['table', path(graph, ids)], {}, 'rows'), 'FP32', null);
  return graph;
}

const BELOW_8 = { kind: 'range', least: 0, most: 7 };

describe('the hints of a graph', () => {
  it('are none for what is only computed with', () => {
    const graph = new OnnxGraph('sum');
    const inputs = ['a', 'b'].map((name) => graph.input(name, 'FP32', [2]));
    graph.output(graph.add('Add', inputs, {}, 'y'), 'FP32', [2]);
    expect(hintsOf(graph)).toEqual({});
  });

  it.each<[string, (graph: OnnxGraph, ids: string) => string]>([
    ['at once', (_, ids) => ids],
    ['reshaped', (graph, ids) => graph.add('Flatten', [graph.add('Identity', [ids])])],
    ['cast to another integer', (graph, ids) => graph.add('Cast', [ids], { to: { int: 6 } })],
    ['reordered', (graph, ids) => graph.add('Transpose', [ids])],
    ['beside others', (graph, ids) => graph.add('Concat', [ids, ids], { axis: { int: 0 } })],
    ['in parts', (graph, ids) => graph.add('Slice', [ids, 'zero', 'two'])],
    ['as the largest of some', (graph, ids) => graph.add('ReduceMax', [ids])],
  ])('know an index %s by the size of the table', (_, path) => {
    expect(hintsOf(embedding(path))).toEqual({ ids: BELOW_8 });
  });

  it('end at arithmetic: what a sum is says nothing of its terms', () => {
    expect(hintsOf(embedding((graph, ids) => graph.add('Add', [ids, ids])))).toEqual({});
  });

  it('hold for floats that become indices', () => {
    const cast = (graph: OnnxGraph, ids: string): string => graph.add('Cast', [ids], { to: { int: INT64_TYPE } });
    expect(hintsOf(embedding(cast, 'FP32'))).toEqual({ ids: BELOW_8 });
  });

  it('are the strictest where there are several uses: tables of 8 and 5 rows leave 0 to 4', () => {
    const graph = embedding((_, ids) => ids);
    graph.constant('short', 'FP32', [5, 2], new Float32Array(10));
    graph.add('Gather', ['short', 'ids']);
    expect(hintsOf(graph)).toEqual({ ids: { kind: 'range', least: 0, most: 4 } });
  });

  it('are for whole numbers only where floats may be anything: a divisor', () => {
    const divided = (datatype: 'INT32' | 'FP32', castTo?: number): Record<string, InputHint> => {
      const graph = new OnnxGraph('quotient');
      const inputs = ['a', 'b'].map((name) => graph.input(name, datatype, [2]));
      const [a, b] = castTo === undefined ? inputs : inputs.map((x) => graph.add('Cast', [x], { to: { int: castTo } }));
      graph.output(graph.add('Div', [a!, b!], {}, 'y'), datatype, [2]);
      return hintsOf(graph);
    };
    const divisor = { b: { kind: 'range', least: 1, most: 100 } };
    expect(divided('INT32')).toEqual(divisor);
    expect(divided('FP32')).toEqual({});
    expect(divided('FP32', INT64_TYPE)).toEqual(divisor);
    expect(divided('INT32', FLOAT_TYPE)).toEqual({});
  });

  it('give text that becomes a number, one that the number may be', () => {
    const spelled = (use: (graph: OnnxGraph, number: string) => string): Record<string, InputHint> => {
      const graph = new OnnxGraph('spelled');
      const number = graph.add('Cast', [graph.input('text', 'BYTES', [1])], { to: { int: INT64_TYPE } });
      graph.output(use(graph, number), 'INT64', null);
      return hintsOf(graph);
    };
    expect(spelled((graph, number) => graph.add('Neg', [number]))).toEqual({ text: { kind: 'text', text: '1' } });
    const padded = (graph: OnnxGraph, number: string): string => graph.add('Pad', [number, number]);
    expect(spelled(padded)).toEqual({ text: { kind: 'text', text: '0' } });
  });

  it('give text that stays text nothing', () => {
    const graph = new OnnxGraph('text');
    const text = graph.input('text', 'BYTES', [1]);
    graph.output(graph.add('Cast', [text], { to: { int: 8 } }, 'same'), 'BYTES', [1]);
    expect(hintsOf(graph)).toEqual({});
  });

  it('take a value that the model looks for: a sample rate, where it is one number that nothing else is known of', () => {
    const compared = (shape: readonly (number | string)[]): Record<string, InputHint> => {
      const graph = new OnnxGraph('rate');
      graph.constant('known', 'INT64', [], BigInt64Array.of(16000n));
      graph.output(graph.add('Equal', [graph.input('rate', 'INT64', shape), 'known'], {}, 'y'), 'BOOL', null);
      return hintsOf(graph);
    };
    expect(compared([])).toEqual({ rate: exactly(16000) });
    expect(compared([1])).toEqual({ rate: exactly(16000) });
    expect(compared(['batch', 8])).toEqual({});
  });

  it('reach into bodies of control flow: by what a body is given, what it uses from outside, and what it gives', () => {
    const body = new OnnxGraph('loop.body');
    body.input('step', 'INT64', []);
    body.input('proceed', 'BOOL', []);
    body.input('carried', 'INT64', [1]);
    body.output(body.add('Identity', ['proceed'], {}, 'again'), 'BOOL', []);
    body.add('Gather', ['table', 'captured']);
    body.add('Gather', ['table', 'carried']);
    body.output(body.add('Identity', ['seen'], {}, 'next'), 'INT64', [1]);
    const graph = new OnnxGraph('loop');
    for (const name of ['start', 'captured', 'seen']) graph.input(name, 'INT64', [1]);
    graph.input('count', 'INT64', []);
    graph.input('proceed', 'BOOL', []);
    graph.constant('table', 'FP32', [8, 2], new Float32Array(16));
    graph.constant('short', 'FP32', [5, 2], new Float32Array(10));
    graph.add('Loop', ['count', 'proceed', 'start'], { body: { graph: body } }, 'last');
    graph.output(graph.add('Gather', ['short', 'last'], {}, 'rows'), 'FP32', null);
    const belowFive = { kind: 'range', least: 0, most: 4 };
    expect(hintsOf(graph)).toEqual({
      // 'start' is looked up inside, and where the loop does not run, behind it.
      start: belowFive,
      captured: BELOW_8,
      seen: belowFive,
      count: exactly(1),
      proceed: exactly(1),
    });
  });

  it('pass a branch whole: what it gives is a shape, and so is what it takes', () => {
    const branch = (name: string): OnnxGraph => {
      const graph = new OnnxGraph(name);
      graph.output(graph.add('Identity', ['shape'], {}, `${name}.shape`), 'INT64', [2]);
      return graph;
    };
    const graph = new OnnxGraph('branches');
    graph.input('x', 'FP32', ['batch', 6]);
    graph.input('shape', 'INT64', [2]);
    const branches = { then_branch: { graph: branch('then') }, else_branch: { graph: branch('else') } };
    const chosen = graph.add('If', [graph.input('choice', 'BOOL', [])], branches);
    graph.output(graph.add('Reshape', ['x', chosen], {}, 'y'), 'FP32', null);
    expect(hintsOf(graph)).toEqual({ shape: { kind: 'count', first: 1, step: 0, last: -1 } });
  });

  it('tell the parts of a joined shape apart: only the last may be whatever is left', () => {
    const graph = new OnnxGraph('shape');
    const x = graph.input('x', 'FP32', ['batch', 6]);
    const sizes = ['rows', 'columns'].map((name) => graph.input(name, 'INT64', [1]));
    graph.output(graph.add('Reshape', [x, graph.add('Concat', sizes, { axis: { int: 0 } })], {}, 'y'), 'FP32', null);
    expect(hintsOf(graph)).toEqual({
      rows: exactly(1),
      columns: { kind: 'count', first: 1, step: 0, last: -1 },
    });
  });

  it('are those of the declared result where that decides them: 2 × 6 elements as 3 × 4', () => {
    const graph = new OnnxGraph('declared');
    const inputs = [graph.input('x', 'FP32', [2, 6]), graph.input('shape', 'INT64', [2])];
    graph.output(graph.add('Reshape', inputs, {}, 'y'), 'FP32', [3, 4]);
    expect(hintsOf(graph)).toEqual({ shape: { kind: 'list', values: [3, 4] } });
  });

  it('leave operators alone that the file defines itself, whatever they are called', () => {
    const model = readModelGraph(embedding((_, ids) => ids).toModel());
    expect(inputHints({ ...model, functions: new Set([':Gather']) })).toEqual([]);
  });

  it('survive JSON, and names that objects have of themselves', () => {
    const graph = new OnnxGraph('names');
    const [ids, other] = ['constructor', '__proto__'].map((name) => graph.input(name, 'INT64', [1]));
    graph.constant('table', 'FP32', [8, 2], new Float32Array(16));
    graph.output(graph.add('Add', [graph.add('Gather', ['table', ids!]), other!], {}, 'y'), 'FP32', null);
    const hints = inputHints(readModelGraph(graph.toModel()));
    expect(JSON.parse(JSON.stringify(hints))).toEqual([['constructor', BELOW_8]]);
  });
});

describe('graphs that nobody would export', () => {
  const node = (operator: string, inputs: readonly string[], outputs: readonly string[]): GraphNode => ({
    name: '',
    operator,
    domain: '',
    inputs,
    outputs,
    attributes: new Map(),
  });
  const EMPTY: Graph = { nodes: [], initializers: new Map(), inputs: [], outputs: [], declared: [] };
  const hintsOfGraph = (graph: Partial<Graph>) =>
    inputHints({ graph: { ...EMPTY, ...graph }, opsets: new Map(), functions: new Set() });

  it('are read without complaint: operators without inputs, in circles, behind their uses, of unknown names', () => {
    const operators = ['Gather', 'Reshape', 'Loop', 'Scan', 'If', 'Split', 'Resize', 'Concat', 'Cast', 'Range', 'STFT'];
    const nodes = operators.flatMap((operator) => [
      node(operator, [], []),
      node(operator, ['x', 'x', 'x', 'x', 'x'], ['x']),
      node(operator, ['y'], ['x', 'y', 'x']),
      node(operator, ['', '', '', 'toString'], ['']),
    ]);
    nodes.push(node('constructor', ['x'], ['y']), node('Squeeze', ['y', 'x'], ['x']));
    const inputs = [{ name: 'x', elementType: INT64_TYPE, shape: Array.from({ length: 100 }, () => -5) }];
    expect(() => hintsOfGraph({ nodes, inputs, outputs: inputs })).not.toThrow();
    expect(() => hintsOfGraph({ nodes: nodes.toReversed(), inputs })).not.toThrow();
  });

  it('are walked once, however long: a chain of 100,000 operators', () => {
    const nodes = Array.from({ length: 100_000 }, (_, i) => node('Identity', [`v${i}`], [`v${i + 1}`]));
    nodes.push(node('TopK', ['x', 'v100000'], ['largest']));
    const inputs = [{ name: 'v0', elementType: INT64_TYPE, shape: [1] }];
    expect(hintsOfGraph({ nodes, inputs })).toEqual([['v0', exactly(1)]]);
  });
});

describe('needs of one value', () => {
  const number = (hint: ReturnType<typeof range>) => ({ ...NO_NEEDS, number: hint });

  it('are met together where they can be, and otherwise the first that comes', () => {
    expect(both(number(range(0, 9)), number(range(5, 20))).number).toEqual(range(5, 9));
    expect(both(number(range(0, 4)), number(range(5, 20))).number).toEqual(range(0, 4));
    const list = { kind: 'list', values: [2, 3] } as const;
    expect(both(number(range(0, 4)), number(list)).number).toEqual(list);
    expect(both(number(list), number(exactly(7))).number).toEqual(list);
  });
});
