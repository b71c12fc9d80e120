import { PipelineError, type PipelineDescription, type PipelineStep } from './description.js';

/*
 * A description that has been looked through: who waits for whom, what is a list, and how often each tensor is used, so that it can be let go
 * of with its last use.
 *
 * Invariants: steps are in an order in which each comes behind all whose outputs it takes; every tensor is made once; every step's work
 * reaches an output.
 */

export interface GraphStep extends PipelineStep {
  /** Indexes of steps whose outputs it takes, ascending. */
  readonly before: readonly number[];
  /** Indexes of steps that take its outputs, ascending. */
  readonly behind: readonly number[];
  /** Every tensor that it looks at, each once: inputs and its condition. */
  readonly uses: readonly string[];
}

export interface PipelineGraph {
  readonly inputs: readonly string[];
  readonly outputs: readonly string[];
  readonly steps: readonly GraphStep[];
  /** Of each tensor: how many steps look at it, and one more for an output of the pipeline. */
  readonly useCounts: ReadonlyMap<string, number>;
  /** Of each list: the tensor that its parts are parts of. Lists of the same have the same places. */
  readonly lists: ReadonlyMap<string, string>;
}

/** @throws PipelineError of one line: what is wrong with it, and where */
export function graphOf(description: PipelineDescription): PipelineGraph {
  const makers = makersOf(description);
  const known = [...description.inputs, ...makers.keys()];
  for (const step of description.steps) assertStep(step, known);
  for (const output of description.outputs)
    if (!known.includes(output)) throw new PipelineError(`output '${output}': ${unknownTensor(output, known)}`);
  if (description.outputs.length === 0)
    throw new PipelineError('the pipeline has no outputs: name at least one tensor');
  const ordered = inOrder(description.steps, makers);
  assertUseful(ordered, description.outputs);
  const lists = listsOf(ordered);
  const place = new Map(ordered.map((step, index) => [step.name, index]));
  const before = ordered.map((step) =>
    placesOf(
      usesOf(step).flatMap((tensor) => makers.get(tensor)?.name ?? []),
      place,
    ),
  );
  const steps = ordered.map((step, index) => ({
    ...step,
    before: before[index]!,
    behind: ordered.map((_, other) => other).filter((other) => before[other]!.includes(index)),
    uses: usesOf(step),
  }));
  const useCounts = new Map<string, number>(known.map((tensor) => [tensor, 0]));
  const count = (tensor: string): unknown => useCounts.set(tensor, useCounts.get(tensor)! + 1);
  steps.forEach(({ uses }) => uses.forEach(count));
  new Set(description.outputs).forEach(count);
  return { inputs: description.inputs, outputs: description.outputs, steps, useCounts, lists };
}

/** By tensor. */
function makersOf({ inputs, steps }: PipelineDescription): ReadonlyMap<string, PipelineStep> {
  const makers = new Map<string, PipelineStep>();
  const names = new Set<string>();
  for (const step of steps) {
    if (names.has(step.name))
      throw new PipelineError(`step '${step.name}' is there twice: give one of them another name`);
    names.add(step.name);
    for (const { tensor } of step.outputs) {
      const other = makers.get(tensor);
      if (other !== undefined)
        throw new PipelineError(
          `step '${step.name}': '${tensor}' is made by step '${other.name}' already; call it otherwise`,
        );
      if (inputs.includes(tensor))
        throw new PipelineError(
          `step '${step.name}': '${tensor}' is an input of the pipeline; call its output otherwise`,
        );
      makers.set(tensor, step);
    }
  }
  return makers;
}

function assertStep(step: PipelineStep, known: readonly string[]): void {
  const where = `step '${step.name}'`;
  for (const { name, from } of step.inputs)
    for (const tensor of from)
      if (!known.includes(tensor))
        throw new PipelineError(`${where}: input '${name}': ${unknownTensor(tensor, known)}`);
  if (step.when !== null && !known.includes(step.when))
    throw new PipelineError(`${where}: when: ${unknownTensor(step.when, known)}`);
  for (const name of step.forEach)
    if (step.inputs.every((input) => input.name !== name))
      throw new PipelineError(
        `${where}: for_each: '${name}' is none of its inputs, those are ${quoted(step.inputs.map((input) => input.name))}`,
      );
}

function unknownTensor(tensor: string, known: readonly string[]): string {
  return `there is no tensor '${tensor}', only ${quoted(known)}`;
}

function quoted(names: readonly string[]): string {
  return names.length === 0 ? 'none' : names.map((name) => `'${name}'`).join(', ');
}

function usesOf({ inputs, when }: PipelineStep): readonly string[] {
  return [...new Set([...inputs.flatMap(({ from }) => from), ...(when === null ? [] : [when])])];
}

/** Each behind those that it waits for; else as they are written. @throws PipelineError naming a cycle */
function inOrder(steps: readonly PipelineStep[], makers: ReadonlyMap<string, PipelineStep>): readonly PipelineStep[] {
  const ordered: PipelineStep[] = [];
  const path: PipelineStep[] = [];
  const visit = (step: PipelineStep): void => {
    if (ordered.includes(step)) return;
    if (path.includes(step)) {
      const cycle = [...path.slice(path.indexOf(step)), step].map(({ name }) => `'${name}'`);
      throw new PipelineError(`steps wait for each other in a circle: ${cycle.reverse().join(' → ')}`);
    }
    path.push(step);
    for (const tensor of usesOf(step)) {
      const maker = makers.get(tensor);
      if (maker !== undefined) visit(maker);
    }
    path.pop();
    ordered.push(step);
  };
  steps.forEach(visit);
  return ordered;
}

/** Work for nothing is a mistake of whoever wrote it. */
function assertUseful(ordered: readonly PipelineStep[], outputs: readonly string[]): void {
  const wanted = new Set(outputs);
  for (const step of [...ordered].reverse()) {
    if (!step.outputs.some(({ tensor }) => wanted.has(tensor)))
      throw new PipelineError(`step '${step.name}': nothing comes of it; use one of its outputs, or remove it`);
    usesOf(step).forEach((tensor) => wanted.add(tensor));
  }
}

function listsOf(ordered: readonly PipelineStep[]): ReadonlyMap<string, string> {
  const lists = new Map<string, string>();
  for (const step of ordered) {
    const where = `step '${step.name}'`;
    const runsForParts = step.forEach.length > 0;
    for (const { name, from } of step.inputs) {
      const kinds = new Set(from.map((tensor) => lists.has(tensor)));
      if (kinds.size > 1)
        throw new PipelineError(`${where}: input '${name}' is a list or a tensor, as it comes: make both the same`);
      if (kinds.has(true) && !step.takesLists && !step.forEach.includes(name))
        throw new PipelineError(
          `${where}: input '${name}' gets a list, and a model takes one tensor: name it in for_each`,
        );
    }
    if (step.when !== null && lists.has(step.when) && !runsForParts)
      throw new PipelineError(
        `${where}: when: '${step.when}' is a list, and the step runs once: name an input in for_each`,
      );
    for (const { name, tensor, isList } of step.outputs) {
      if (isList && runsForParts)
        throw new PipelineError(`${where}: output '${name}' is a list in each of its parts: a list of lists cannot be`);
      const divided = step.inputs.find((input) => input.name === step.forEach[0])?.from[0];
      if (divided !== undefined) lists.set(tensor, lists.get(divided) ?? divided);
      else if (isList) lists.set(tensor, tensor);
    }
  }
  return lists;
}

function placesOf(names: readonly string[], place: ReadonlyMap<string, number>): readonly number[] {
  return [...new Set(names.map((name) => place.get(name)!))].sort((a, b) => a - b);
}
