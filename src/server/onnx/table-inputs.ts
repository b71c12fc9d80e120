import type { ModelSignature, TableIndex } from '../../scheduler/domain/tensor.js';
import {
  INT32_TYPE,
  INT64_TYPE,
  type Graph,
  type GraphNode,
  type GraphTensor,
  type ModelGraph,
} from './model-graph.js';

/*
 * Inputs whose every element is an index into a table of the model's: tokens, and ids of anything else. ONNX Runtime refuses a whole batch for
 * one that is outside; known beforehand, it is refused at the door, and is its client's mistake.
 *
 * Unlike a hint (`input-hints.ts`), which may say less than the model takes, this is only said where any other value must fail: of operators that
 * always run, whose table is in the file, and which are given the input's elements unchanged, and all of them.
 */

/** By the input's name. */
export function tableInputs({ graph, functions }: ModelGraph): ReadonlyMap<string, TableIndex> {
  const makers = new Map<string, GraphNode>();
  for (const node of graph.nodes) for (const output of node.outputs) makers.set(output, node);
  // What may be given with a request is no table of known size.
  const inputs = new Set(graph.inputs.map(({ name }) => name));
  const open = new Set([...inputs].filter((name) => !graph.initializers.has(name)));
  const found = new Map<string, TableIndex>();
  for (const node of nodesOnTheWay(graph, makers)) {
    if (functions.has(`${node.domain}:${node.operator}`)) continue;
    for (const { index, table, axis, hasNegative } of lookupsOf(node)) {
      const name = originOf(index, makers, open);
      const rows = tensorOf(table, graph, makers, inputs)?.shape.at(axis);
      if (name === null || rows === undefined || rows < 1) continue;
      const known = found.get(name);
      const least = hasNegative ? -rows : 0;
      found.set(name, {
        least: Math.max(least, known?.least ?? least),
        rows: Math.min(rows, known?.rows ?? rows),
      });
    }
  }
  return found;
}

interface Lookup {
  /** Values' names. */
  readonly index: string;
  readonly table: string;
  readonly axis: number;
  /** −1 is the last row, and so on. */
  readonly hasNegative: boolean;
}

function lookupsOf({ domain, operator, inputs, attributes }: GraphNode): readonly Lookup[] {
  const [first = '', second = '', third = '', , fifth = ''] = inputs;
  if (domain === '' && operator === 'Gather')
    return [{ index: second, table: first, axis: attributes.get('axis')?.int ?? 0, hasNegative: true }];
  // As ONNX Runtime's own optimiser writes the front of a BERT: tokens, types, then their tables and that of positions between these.
  if (domain === 'com.microsoft' && operator === 'EmbedLayerNormalization')
    return [
      { index: first, table: third, axis: 0, hasNegative: false },
      { index: second, table: fifth, axis: 0, hasNegative: false },
    ];
  return [];
}

/** Those that an output is made with; others ONNX Runtime leaves out. */
function* nodesOnTheWay(graph: Graph, makers: ReadonlyMap<string, GraphNode>): Generator<GraphNode> {
  const seen = new Set<GraphNode>();
  const open = graph.outputs.map(({ name }) => name);
  for (let name = open.pop(); name !== undefined; name = open.pop()) {
    const node = makers.get(name);
    if (node === undefined || seen.has(node)) continue;
    seen.add(node);
    open.push(...node.inputs);
    yield node;
  }
}

/** The results have all elements of the first input, unchanged. */
const KEEPS_ALL: ReadonlySet<string> = new Set(['Identity', 'Reshape', 'Squeeze', 'Unsqueeze', 'Flatten', 'Transpose']);

/** The input that a value is; null where it is something else. */
function originOf(value: string, makers: ReadonlyMap<string, GraphNode>, inputs: ReadonlySet<string>): string | null {
  // A file that goes round in circles is refused by whoever loads it.
  for (let name = value, steps = 0; steps <= makers.size; steps++) {
    if (inputs.has(name)) return name;
    const node = makers.get(name);
    if (node === undefined || node.domain !== '') return null;
    const to = node.operator === 'Cast' ? (node.attributes.get('to')?.int ?? 0) : null;
    // An id that 32 bits have no room for is none of a table either.
    if (to === null ? !KEEPS_ALL.has(node.operator) : to !== INT32_TYPE && to !== INT64_TYPE) return null;
    name = node.inputs[0] ?? '';
  }
  return null;
}

function tensorOf(
  name: string,
  { initializers }: Graph,
  makers: ReadonlyMap<string, GraphNode>,
  inputs: ReadonlySet<string>,
): GraphTensor | null {
  if (inputs.has(name)) return null;
  const node = makers.get(name);
  if (node === undefined) return initializers.get(name) ?? null;
  if (node.domain !== '') return null;
  if (node.operator === 'Constant') return node.attributes.get('value')?.tensor ?? null;
  // Weights of another precision are made larger first.
  if (node.operator !== 'Cast' && node.operator !== 'DequantizeLinear') return null;
  const [weights = ''] = node.inputs;
  return inputs.has(weights) || makers.has(weights) ? null : (initializers.get(weights) ?? null);
}

const INDEX_TYPES: ReadonlySet<string> = new Set(['INT32', 'INT64']);

/** With what is known of its inputs. */
export function withTables(signature: ModelSignature, tables: ReadonlyMap<string, TableIndex>): ModelSignature {
  const inputs = signature.inputs.map((spec) => {
    const table = INDEX_TYPES.has(spec.datatype) ? tables.get(spec.name) : undefined;
    return table === undefined ? spec : { ...spec, table };
  });
  return { ...signature, inputs };
}
