import { constant, Coupled, OPAQUE, Unknown, tellsBatchSize, valueOf, type FlowValue } from './batch-flow.js';
import { BATCH, fixed, isBatchFree, unknown } from './dimension.js';
import type { Graph, GraphNode, GraphValue, ModelGraph } from './model-graph.js';
import type { OperatorRule } from './operator-rule.js';
import { COMPUTE_RULES, TABULAR_RULES } from './rules-compute.js';
import { ELEMENTWISE_RULES } from './rules-elementwise.js';
import { MULTIPLY_RULES } from './rules-multiply.js';
import { SELECT_RULES } from './rules-select.js';
import { isPlainOutput, SHAPE_RULES } from './rules-shape.js';

/*
 * Whether requests may share a batch: follows the axis of the rows from the inputs through every operator to the outputs.
 * It says that rows are independent only where each operator is known to keep them so; everything else is coupled, with
 * the operator that does it, or unknown, with the operator that is not followed.
 */

export type BatchVerdict =
  /** Proven: a batch's rows are what each gives alone, but for the order of sums. */
  | { readonly kind: 'independent' }
  | { readonly kind: 'coupled'; readonly node: string; readonly reason: string }
  | { readonly kind: 'unknown'; readonly node: string; readonly reason: string };

const RULES: ReadonlyMap<string, OperatorRule> = new Map([
  ...ELEMENTWISE_RULES,
  ...SHAPE_RULES,
  ...COMPUTE_RULES,
  ...MULTIPLY_RULES,
  ...SELECT_RULES,
]);
const RULES_BY_DOMAIN: ReadonlyMap<string, ReadonlyMap<string, OperatorRule>> = new Map([
  ['', RULES],
  ['ai.onnx.ml', TABULAR_RULES],
]);

export function analyseBatching({ graph, opsets, functions }: ModelGraph): BatchVerdict {
  const refusal = fixedEdges(graph);
  if (refusal !== null) return refusal;
  const values = new Map<string, FlowValue>(inputsOf(graph));
  for (const [name, tensor] of graph.initializers) values.set(name, constant(tensor));
  for (const node of graph.nodes) {
    try {
      if (functions.has(`${node.domain}:${node.operator}`)) throw new Unknown('it is a function of the model’s own');
      flow(node, opsets.get(node.domain) ?? 1, values);
    } catch (error) {
      const reason = error instanceof Error ? error.message : String(error);
      return { kind: error instanceof Coupled ? 'coupled' : 'unknown', node: describe(node), reason };
    }
  }
  for (const { name } of graph.outputs) {
    const value = values.get(name);
    if (value === undefined) return { kind: 'unknown', node: `output '${name}'`, reason: 'nothing makes it' };
    if (!isPlainOutput(value)) {
      return { kind: 'coupled', node: `output '${name}'`, reason: 'its first axis does not count the rows' };
    }
  }
  return { kind: 'independent' };
}

/** What can be seen without following anything. */
function fixedEdges(graph: Graph): BatchVerdict | null {
  const fed = graph.inputs.filter(({ name }) => !graph.initializers.has(name));
  for (const { name, shape } of fed) {
    if (shape === null) return { kind: 'unknown', node: `input '${name}'`, reason: 'its rank is not declared' };
    if (typeof shape[0] !== 'string') {
      return { kind: 'coupled', node: `input '${name}'`, reason: 'it has no open first axis' };
    }
  }
  return fed.length === 0 ? { kind: 'coupled', node: 'the graph', reason: 'it takes nothing' } : null;
}

function* inputsOf(graph: Graph): Generator<[string, FlowValue]> {
  for (const { name, shape } of graph.inputs) yield [name, inputOf(name, shape)];
}

/** Two open axes are never taken for equal, whatever they are called: nobody checks names. */
function inputOf(name: string, shape: GraphValue['shape']): FlowValue {
  const dimensions = (shape ?? []).map((size, axis) => {
    if (axis === 0) return BATCH;
    return typeof size === 'number' ? fixed(size) : unknown(`${name}.${axis}`);
  });
  return valueOf(dimensions, 0);
}

function flow(node: GraphNode, opset: number, values: Map<string, FlowValue>): void {
  const inputs = node.inputs.map((name) => {
    if (name === '') return null;
    const value = values.get(name);
    if (value === undefined) throw new Unknown(`nothing makes its input '${name}'`);
    return value;
  });
  const outputs = outputsOf(node, opset, inputs);
  for (const [i, name] of node.outputs.entries()) {
    if (name === '') continue;
    const value = outputs[i];
    if (value === undefined) throw new Unknown(`its output ${i + 1} is not followed`);
    assertRowsOnOneAxis(value);
    values.set(name, value);
  }
}

function outputsOf(node: GraphNode, opset: number, inputs: readonly (FlowValue | null)[]): readonly FlowValue[] {
  if (node.operator === 'Constant' && node.domain === '') return [constantOf(node)];
  const hasGraph = [...node.attributes.values()].some(({ graph }) => graph !== null);
  const rule = hasGraph ? undefined : RULES_BY_DOMAIN.get(node.domain)?.get(node.operator);
  if (rule !== undefined) return rule({ node, opset, inputs });
  // A graph within may use any value of the one around it.
  const isTouched =
    hasGraph || inputs.some((input) => input !== null && (input.batchAxis !== null || tellsBatchSize(input)));
  if (isTouched || node.operator.startsWith('Random') || inputs.length === 0)
    throw new Unknown('this operator is not followed');
  return node.outputs.map(() => OPAQUE);
}

function constantOf({ attributes }: GraphNode): FlowValue {
  const tensor = attributes.get('value')?.tensor;
  if (tensor != null) return constant(tensor);
  const int = attributes.get('value_int');
  if (int !== undefined) return { dimensions: [], batchAxis: null, sizes: [fixed(int.int)] };
  const ints = attributes.get('value_ints')?.ints;
  if (ints !== undefined) return { dimensions: [fixed(ints.length)], batchAxis: null, sizes: ints.map(fixed) };
  return OPAQUE;
}

/** The invariant of `batch-flow.ts`, as far as sizes tell. */
function assertRowsOnOneAxis({ dimensions, batchAxis }: FlowValue): void {
  dimensions?.forEach((size, axis) => {
    const expected = axis === batchAxis ? 1 : 0;
    if (size.batchPower !== expected) throw new Unknown('what counts the rows is not where it was followed to');
  });
  if (batchAxis !== null && dimensions !== null && isBatchFree(dimensions[batchAxis] ?? BATCH)) {
    throw new Unknown('what counts the rows is not where it was followed to');
  }
}

function describe({ operator, name }: GraphNode): string {
  return name === '' ? operator : `${operator} '${name}'`;
}
