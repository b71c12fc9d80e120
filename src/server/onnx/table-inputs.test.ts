import { describe, expect, it } from 'vitest';
import { OnnxGraph } from './onnx-writer.js';
import { readModelGraph } from './model-graph.js';
import { tableInputs, withTables } from './table-inputs.js';

// That ONNX Runtime refuses what is outside, and takes what is inside: test/system/text.

const INT64_TYPE = 7;
const FLOAT_TYPE = 1;

type Path = (graph: OnnxGraph, ids: string) => string;

/** A table of 8 rows that `ids` are looked up in, by whatever way. */
function lookup(path: Path, table: (graph: OnnxGraph) => string = eightRows): OnnxGraph {
  const graph = new OnnxGraph('lookup');
  const ids = graph.input('ids', 'INT64', ['batch', 3]);
  graph.output(graph.add('Gather', [table(graph), path(graph, ids)], {}, 'rows'), 'FP32', null);
  return graph;
}

const eightRows = (graph: OnnxGraph): string => graph.constant('table', 'FP32', [8, 2], new Float32Array(16));
const asIs: Path = (_, ids) => ids;
const found = (graph: OnnxGraph): object => Object.fromEntries(tableInputs(readModelGraph(graph.toModel())));
const EIGHT = { ids: { least: -8, rows: 8 } };

describe('inputs that are indices into a table', () => {
  it.each<[string, Path]>([
    ['as they are', asIs],
    ['in another shape', (graph, ids) => graph.add('Flatten', [graph.add('Identity', [ids])])],
    ['as another integer', (graph, ids) => graph.add('Cast', [ids], { to: { int: 6 } })],
  ])('are those whose elements all get there, %s', (_, path) => {
    expect(found(lookup(path))).toEqual(EIGHT);
  });

  it.each<[string, Path]>([
    ['what is computed with', (graph, ids) => graph.add('Add', [ids, ids])],
    ['what is bounded first', (graph, ids) => graph.add('Clip', [ids])],
    ['a part of it', (graph, ids) => graph.add('Slice', [ids, 'zero', 'two'])],
    ['what has been another number', (graph, ids) => graph.add('Cast', [graph.add('Cast', [ids], { to: { int: FLOAT_TYPE } })], { to: { int: INT64_TYPE } })], // prettier-ignore
  ])('are not: %s', (_, path) => {
    expect(found(lookup(path))).toEqual({});
  });

  it('have the table from the file, larger weights made of it too, and nothing that a request brings', () => {
    const cast = (graph: OnnxGraph): string => graph.add('Cast', [eightRows(graph)], { to: { int: FLOAT_TYPE } });
    expect(found(lookup(asIs, cast))).toEqual(EIGHT);
    expect(found(lookup(asIs, (graph) => graph.input('table', 'FP32', [8, 2])))).toEqual({});
  });

  it('count along the axis that is looked up: of [8, 2] along 1 there are two', () => {
    const graph = new OnnxGraph('columns');
    const ids = graph.input('ids', 'INT64', [3]);
    graph.output(graph.add('Gather', [eightRows(graph), ids], { axis: { int: 1 } }, 'y'), 'FP32', null);
    expect(found(graph)).toEqual({ ids: { least: -2, rows: 2 } });
  });

  it('go by the smallest of several tables, of those that an output is made with', () => {
    const graph = lookup(asIs);
    graph.constant('short', 'FP32', [5, 2], new Float32Array(10));
    graph.add('Gather', ['short', 'ids'], {}, 'unused');
    expect(found(graph)).toEqual(EIGHT);
    graph.output('unused', 'FP32', null);
    expect(found(graph)).toEqual({ ids: { least: -5, rows: 5 } });
  });

  it('are tokens and types of an operator that looks up all of them, without negative ones', () => {
    const graph = new OnnxGraph('optimised');
    const [ids, types] = ['ids', 'types'].map((name) => graph.input(name, 'INT32', ['batch', 3]));
    const table = (name: string, rows: number): string =>
      graph.constant(name, 'FP32', [rows, 2], new Float32Array(2 * rows));
    const inputs = [ids!, types!, eightRows(graph), table('positions', 6), table('segments', 2)];
    graph.output(graph.add('com.microsoft.EmbedLayerNormalization', inputs, {}, 'y'), 'FP32', null);
    expect(found(graph)).toEqual({ ids: { least: 0, rows: 8 }, types: { least: 0, rows: 2 } });
  });

  it('are said of integers only', () => {
    const tables = new Map([['ids', { least: -8, rows: 8 }]]);
    const spec = (datatype: 'INT64' | 'UINT8') => ({ name: 'ids', datatype, shape: [-1] });
    const signature = { inputs: [spec('INT64'), { ...spec('UINT8') }], outputs: [] };
    expect(withTables(signature, tables).inputs).toEqual([
      { ...spec('INT64'), table: { least: -8, rows: 8 } },
      spec('UINT8'),
    ]);
  });
});
