import {
  constant,
  Coupled,
  freshDimension,
  numbersOf,
  OPAQUE,
  tellsBatchSize,
  Unknown,
  valueOf,
  type FlowValue,
} from './batch-flow.js';
import { areEqual, BATCH, fixed, isBatchFree, unknown } from './dimension.js';
import type { Graph, GraphNode, GraphValue, ModelGraph } from './model-graph.js';
import type { OperatorRule } from './operator-rule.js';
import { COMPUTE_RULES, TABULAR_RULES } from './rules-compute.js';
import { ELEMENTWISE_RULES } from './rules-elementwise.js';
import { IMAGE_RULES } from './rules-image.js';
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

type Stop = Exclude<BatchVerdict, { kind: 'independent' }>;
type Definitions = Pick<ModelGraph, 'opsets' | 'functions'>;

const RULES: ReadonlyMap<string, OperatorRule> = new Map([
  ...ELEMENTWISE_RULES,
  ...SHAPE_RULES,
  ...IMAGE_RULES,
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
  const stop = follow(graph, values, { opsets, functions });
  if (stop !== null) return stop;
  for (const { name } of graph.outputs) {
    const value = values.get(name);
    if (value === undefined) return { kind: 'unknown', node: `output '${name}'`, reason: 'nothing makes it' };
    if (!isPlainOutput(value)) {
      return { kind: 'coupled', node: `output '${name}'`, reason: 'its first axis does not count the rows' };
    }
  }
  return { kind: 'independent' };
}

/** Adds what the graph makes to `values`; null where all of it is followed. */
function follow(graph: Graph, values: Map<string, FlowValue>, model: Definitions): Stop | null {
  for (const [name, tensor] of graph.initializers) values.set(name, constant(tensor));
  for (const node of graph.nodes) {
    try {
      flow(node, values, model);
    } catch (error) {
      const reason = error instanceof Error ? error.message : String(error);
      return { kind: error instanceof Coupled ? 'coupled' : 'unknown', node: describe(node), reason };
    }
  }
  return null;
}

/** What can be seen without following anything. */
function fixedEdges(graph: Graph): Stop | null {
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

function flow(node: GraphNode, values: Map<string, FlowValue>, model: Definitions): void {
  if (model.functions.has(`${node.domain}:${node.operator}`)) throw new Unknown('it is a function of the model’s own');
  // Of what another is cast like, only the type is used.
  const names = node.operator === 'CastLike' && node.domain === '' ? node.inputs.slice(0, 1) : node.inputs;
  const inputs = names.map((name) => {
    if (name === '') return null;
    const value = values.get(name);
    if (value === undefined) throw new Unknown(`nothing makes its input '${name}'`);
    return value;
  });
  const isChoice = node.operator === 'If' && node.domain === '';
  const outputs = isChoice
    ? chosen(node, inputs[0] ?? OPAQUE, values, model)
    : outputsOf(node, model.opsets.get(node.domain) ?? 1, inputs);
  const isTouched = inputs.some((input) => input !== null && isOfBatch(input));
  for (const [i, name] of node.outputs.entries()) {
    if (name === '') continue;
    const value = outputs[i];
    if (value === undefined) throw new Unknown(`its output ${i + 1} is not followed`);
    assertRowsOnOneAxis(value);
    if (isTouched && value.batchAxis === null && value.sizes === null) {
      throw new Unknown('what it makes of the batch is not followed');
    }
    values.set(name, value);
  }
}

function outputsOf(node: GraphNode, opset: number, inputs: readonly (FlowValue | null)[]): readonly FlowValue[] {
  if (node.operator === 'Constant' && node.domain === '') return [constantOf(node)];
  const hasGraph = [...node.attributes.values()].some(({ graph }) => graph !== null);
  const rule = hasGraph ? undefined : RULES_BY_DOMAIN.get(node.domain)?.get(node.operator);
  if (rule !== undefined) return rule({ node, opset, inputs });
  // A graph within may use any value of the one around it.
  const isTouched = hasGraph || inputs.some((input) => input !== null && isOfBatch(input));
  if (isTouched || node.operator.startsWith('Random') || inputs.length === 0)
    throw new Unknown('this operator is not followed');
  return node.outputs.map(() => OPAQUE);
}

function isOfBatch(value: FlowValue): boolean {
  return value.batchAxis !== null || tellsBatchSize(value);
}

/** The branch that a known condition chooses; else both, which must leave the rows alike. */
function chosen(
  node: GraphNode,
  condition: FlowValue,
  values: ReadonlyMap<string, FlowValue>,
  model: Definitions,
): readonly FlowValue[] {
  if (isOfBatch(condition)) throw new Coupled('which branch it takes depends on the batch');
  const [truth] = numbersOf(condition) ?? [];
  const names = ['then_branch', 'else_branch'].filter((_, i) => truth === undefined || (truth === 0) === (i === 1));
  const branches = names.map((name) => {
    const graph = node.attributes.get(name)?.graph;
    if (graph == null) throw new Unknown(`it has no ${name}`);
    const inner = new Map(values);
    const stop = follow(graph, inner, model);
    if (stop !== null) throw new (stop.kind === 'coupled' ? Coupled : Unknown)(`in it, ${stop.node}: ${stop.reason}`);
    return graph.outputs.map((output) => {
      const value = inner.get(output.name);
      if (value === undefined) throw new Unknown(`nothing makes '${output.name}' in its ${name}`);
      return value;
    });
  });
  return branches.reduce((some, others) => {
    if (some.length !== others.length) throw new Unknown('its branches give different numbers of values');
    return some.map((value, i) => either(value, others[i]!));
  });
}

/** One of two, and it does not depend on the batch which. */
function either(a: FlowValue, b: FlowValue): FlowValue {
  if (tellsBatchSize(a) || tellsBatchSize(b)) throw new Unknown('its branches give different sizes');
  if (a.batchAxis !== b.batchAxis) throw new Unknown('its branches leave the rows on different axes');
  const isAlike = a.dimensions !== null && a.dimensions.length === b.dimensions?.length;
  if (!isAlike && a.batchAxis !== null) throw new Unknown('its branches give different ranks');
  const dimensions = a.dimensions?.map((size, axis) => {
    const other = b.dimensions?.[axis] ?? size;
    if (areEqual(size, other)) return size;
    if (axis === a.batchAxis) throw new Unknown('its branches give different numbers of rows');
    return freshDimension();
  });
  return valueOf(isAlike ? (dimensions ?? null) : null, a.batchAxis);
}

function constantOf({ attributes }: GraphNode): FlowValue {
  const tensor = attributes.get('value')?.tensor;
  if (tensor != null) return constant(tensor);
  const int = attributes.get('value_int');
  if (int !== undefined) return { dimensions: [], batchAxis: null, sizes: [fixed(int.int)] };
  const ints = attributes.get('value_ints')?.ints;
  if (ints !== undefined) return { dimensions: [fixed(ints.length)], batchAxis: null, sizes: ints.map(fixed) };
  if (attributes.has('value_float')) return valueOf([]);
  if (attributes.has('value_floats')) return valueOf([freshDimension()]);
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
