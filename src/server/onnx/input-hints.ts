import { ARGUMENT_RULES } from './argument-rules.js';
import { GraphScope } from './graph-scope.js';
import type { Graph, GraphNode, GraphValue, ModelGraph } from './model-graph.js';
import {
  beforeCast,
  both,
  hintFor,
  NO_NEEDS,
  ofAnyElement,
  ofPart,
  type InputHint,
  type Needs,
} from './value-needs.js';

/*
 * What values an input takes, as far as the graph tells: an index, a shape, a count, text that is a number. Noise that ignores it
 * makes models fail that every real request runs, or ends their process.
 *
 * Walks each graph once, from its outputs to its inputs, with what the operators behind need of each value: operators run in the
 * order of the file, so that all of a value's uses are known when its origin is met. Needs pass through operators that keep
 * values, and in and out of the bodies of control flow; arithmetic ends them. Linear in the size of the file.
 */

/** By input, of those of which something is known; as JSON it crosses to other processes. */
export type InputHints = readonly (readonly [name: string, hint: InputHint])[];

export function inputHints({ graph, opsets, functions }: ModelGraph): InputHints {
  const needs = new Walk(opsets, functions).needsOf(graph, null, []);
  return graph.inputs.flatMap((input) => {
    const hint = hintFor(needs.get(input.name) ?? NO_NEEDS, input.elementType, isSingle(input));
    return hint === null ? [] : [[input.name, hint] as const];
  });
}

function isSingle({ shape }: GraphValue): boolean {
  return shape?.every((size) => size === 1) ?? false;
}

/** The first result has the elements of the first input, in order. */
const KEEPS_ELEMENTS: ReadonlySet<string> = new Set([
  'Ceil',
  'Dropout',
  'Flatten',
  'Floor',
  'Identity',
  'Optional',
  'OptionalGetElement',
  'Reshape',
  'Round',
  'Squeeze',
  'Unsqueeze',
]);

/** The results have no other elements than those of these inputs, or of all where none is listed. */
const PICKS_ELEMENTS: ReadonlyMap<string, readonly number[]> = new Map([
  ['Compress', [0]],
  ['DepthToSpace', [0]],
  ['Expand', [0]],
  ['Gather', [0]],
  ['GatherElements', [0]],
  ['GatherND', [0]],
  ['Max', []],
  ['Min', []],
  ['Pad', [0, 2]],
  ['ReduceMax', [0]],
  ['ReduceMin', [0]],
  ['ReverseSequence', [0]],
  ['ScatterElements', [0, 2]],
  ['ScatterND', [0, 2]],
  ['Slice', [0]],
  ['SpaceToDepth', [0]],
  ['Split', [0]],
  ['Tile', [0]],
  ['TopK', [0]],
  ['Transpose', [0]],
  ['Unique', [0]],
  ['Where', [1, 2]],
]);
/** Of theirs only the first result: the others are places. */
const FIRST_RESULT_ONLY: ReadonlySet<string> = new Set(['TopK', 'Unique']);

/** By value. */
type NeedsByName = Map<string, Needs>;

class Walk {
  readonly #opsets: ReadonlyMap<string, number>;
  readonly #functions: ReadonlySet<string>;

  constructor(opsets: ReadonlyMap<string, number>, functions: ReadonlySet<string>) {
    this.#opsets = opsets;
    this.#functions = functions;
  }

  /**
   * Of what the graph takes from outside: its inputs, and for a body what it uses of the graphs around it.
   * @param results what is needed of its outputs, in order
   */
  needsOf(graph: Graph, outer: GraphScope | null, results: readonly (Needs | undefined)[]): NeedsByName {
    const scope = new GraphScope(graph, outer);
    const needs: NeedsByName = new Map();
    for (const [i, { name }] of graph.outputs.entries()) add(needs, name, results[i]);
    for (const node of graph.nodes.toReversed()) this.#visit(node, scope, needs);
    return needs;
  }

  #visit(node: GraphNode, scope: GraphScope, needs: NeedsByName): void {
    const { domain, operator, inputs, outputs, attributes } = node;
    const results = outputs.map((name) => needs.get(name));
    for (const name of outputs) needs.delete(name);
    if (this.#functions.has(`${domain}:${operator}`)) return;
    if (domain === '') {
      passBack(node, scope, results, needs);
      for (const { graph } of attributes.values()) {
        if (graph !== null) this.#visitBody(node, graph, scope, results, needs);
      }
      compare(node, scope, needs);
    }
    const call = { node, opset: this.#opsets.get(domain) ?? 1, scope };
    for (const kind of ['number', 'integer'] as const) {
      for (const [position, rule] of (ARGUMENT_RULES[kind].get(domain)?.get(operator) ?? []).entries()) {
        const hint = typeof rule === 'function' ? rule(call) : rule;
        if (hint !== null) add(needs, inputs[position], { ...NO_NEEDS, [kind]: hint });
      }
    }
  }

  #visitBody(
    node: GraphNode,
    body: Graph,
    scope: GraphScope,
    results: readonly (Needs | undefined)[],
    needs: NeedsByName,
  ): void {
    const isLoop = node.operator === 'Loop';
    // A branch gives the very results; what goes round may give a part of one each time.
    const parts = node.operator === 'If' ? results : results.map((each) => each && ofAnyElement(each));
    // A loop's body also says whether to go on.
    const inner = this.needsOf(body, scope, isLoop ? [undefined, ...parts] : parts);
    const isOldScan = node.operator === 'Scan' && (this.#opsets.get('') ?? 1) < 9;
    for (const [i, { name }] of body.inputs.entries()) {
      const own = inner.get(name);
      inner.delete(name);
      if (own === undefined) continue;
      // A loop counts its runs for its body, and an old scan takes the lengths of its sequences first.
      if (isLoop) add(needs, i === 0 ? undefined : node.inputs[i], own);
      else add(needs, node.inputs[isOldScan ? i + 1 : i], ofAnyElement(own));
    }
    for (const name of body.initializers.keys()) inner.delete(name);
    for (const [name, captured] of inner) add(needs, name, captured);
  }
}

function passBack(
  { operator, inputs, attributes }: GraphNode,
  scope: GraphScope,
  results: readonly (Needs | undefined)[],
  needs: NeedsByName,
): void {
  const [first] = results;
  const picked = PICKS_ELEMENTS.get(operator);
  if (operator === 'Cast') {
    add(needs, inputs[0], beforeCast(first ?? NO_NEEDS, attributes.get('to')?.int ?? 0));
  } else if (operator === 'CastLike') {
    add(needs, inputs[0], beforeCast(first ?? NO_NEEDS, scope.elementTypeOf(inputs[1] ?? '')));
  } else if (KEEPS_ELEMENTS.has(operator)) {
    add(needs, inputs[0], first);
  } else if (operator === 'Concat') {
    if (first === undefined) return;
    for (const [i, name] of inputs.entries()) add(needs, name, ofPart(first, i, inputs.length));
  } else if (operator === 'Loop') {
    // What goes round is at first what is given, where it runs not at all.
    for (const [i, each] of results.entries()) add(needs, inputs[i + 2], each);
  } else if (picked !== undefined) {
    const known = FIRST_RESULT_ONLY.has(operator) ? [first] : results;
    const needed = known.reduce<Needs | undefined>(
      (all, each) => (each && all ? both(each, all) : (each ?? all)),
      undefined,
    );
    if (needed === undefined) return;
    const from = picked.length === 0 ? inputs : picked.map((position) => inputs[position]);
    for (const name of from) add(needs, name, ofAnyElement(needed));
  }
}

/** A sample rate, say, that the model knows by name: it takes one of the values that it looks for. */
function compare({ operator, inputs }: GraphNode, scope: GraphScope, needs: NeedsByName): void {
  if (operator !== 'Equal') return;
  for (const [position, name] of inputs.entries()) {
    const [compared, ...others] = scope.numbersOf(inputs[1 - position] ?? '') ?? [];
    if (compared !== undefined && Number.isFinite(compared) && others.length === 0)
      add(needs, name, { ...NO_NEEDS, compared });
  }
}

/** To what later operators need of the value; '' and undefined are inputs that are left out. */
function add(needs: NeedsByName, name: string | undefined, earlier: Needs | undefined): void {
  if (name === undefined || name === '' || earlier === undefined) return;
  needs.set(name, both(earlier, needs.get(name) ?? NO_NEEDS));
}
