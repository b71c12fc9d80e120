import type { Tensor } from '../domain/tensor.js';
import type { GraphStep, PipelineGraph } from './graph.js';
import { isTrue, joined, rowsOf } from './parts.js';

/*
 * One request's way through a pipeline: what of it can begin now, what has ended, and the tensors between. Pure: it is told what became of each
 * part, in any order, and says what comes next.
 *
 * Invariants: a part begins once, and its step ends once all of them have; a tensor is held from the step that makes it to the end of
 * the last part that uses it, and no longer; once the request has failed, or is complete, nothing begins any more.
 */

/** What a step is given for one input: a list where it is one and the step runs once, null where a part is missing. */
export type StepValue = Tensor | readonly (Tensor | null)[];

/** A part of a step that may run from now on. */
export interface PartStart {
  /** Index of the step in the graph. */
  readonly step: number;
  /** From 0 on; 0 of a step that runs once. */
  readonly part: number;
  /** By the step's names. */
  readonly inputs: ReadonlyMap<string, StepValue>;
}

export type PartResult =
  /** By the step's names. */
  | { readonly kind: 'done'; readonly outputs: ReadonlyMap<string, Tensor | readonly Tensor[]> }
  | { readonly kind: 'failed'; readonly message: string };

/** A tensor, and by how many it will still be used. */
interface Held {
  /** Null where a part is missing, and once nobody uses it any more. */
  tensor: Tensor | null;
  uses: number;
}

/** `missing`: its step was left out. */
type Slot =
  | { readonly kind: 'one'; readonly held: Held }
  | { readonly kind: 'list'; readonly parts: readonly Held[] }
  | { readonly kind: 'missing' };

const MISSING: Held = { tensor: null, uses: 0 };

interface RunningStep {
  readonly partCount: number;
  readonly isDivided: boolean;
  /** Tensors whose parts are let go of one by one. */
  readonly byPart: ReadonlySet<string>;
  left: number;
  /** Of each part that has ended, by the pipeline's names; undefined where it is missing. */
  readonly results: (ReadonlyMap<string, readonly Held[]> | undefined)[];
}

export interface ProgressOptions {
  readonly graph: PipelineGraph;
  readonly inputs: ReadonlyMap<string, Tensor>;
  /** Of all tensors that it holds at a time; a request that would hold more fails. */
  readonly maxBytes: number;
}

export class Progress {
  readonly #graph: PipelineGraph;
  readonly #maxBytes: number;
  readonly #slots = new Map<string, Slot>();
  readonly #running = new Map<number, RunningStep>();
  readonly #ended = new Set<number>();
  #heldBytes = 0;
  #peakBytes = 0;
  #failure: string | null = null;

  /** @param options inputs are held from now on, as far as a step uses them */
  constructor({ graph, inputs, maxBytes }: ProgressOptions) {
    this.#graph = graph;
    this.#maxBytes = maxBytes;
    for (const name of graph.inputs) {
      const tensor = inputs.get(name);
      if (tensor === undefined) this.#slots.set(name, { kind: 'missing' });
      else this.#slots.set(name, { kind: 'one', held: this.#hold(tensor, name) });
    }
  }

  /** Null while all is well. */
  get failure(): string | null {
    return this.#failure;
  }

  get heldBytes(): number {
    return this.#heldBytes;
  }

  get peakBytes(): number {
    return this.#peakBytes;
  }

  get isComplete(): boolean {
    return this.#failure === null && this.#ended.size === this.#graph.steps.length;
  }

  /** A part of it has ended. */
  get hasBegun(): boolean {
    for (const { left, partCount } of this.#running.values()) if (left < partCount) return true;
    return false;
  }

  hasEnded(step: number): boolean {
    return this.#ended.has(step);
  }

  /** Of a step that has begun: how many parts it has, and how many of them have not ended. Null before. */
  partsOf(step: number): { readonly count: number; readonly left: number } | null {
    const running = this.#running.get(step);
    return running === undefined ? null : { count: running.partCount, left: running.left };
  }

  /** What can begin at the start. Call it once. */
  begin(): readonly PartStart[] {
    return this.#advance();
  }

  /** One part has ended. @returns what can begin therefore; nothing once the request has failed */
  ended(step: number, part: number, result: PartResult): readonly PartStart[] {
    if (this.#failure !== null) return [];
    const running = this.#running.get(step)!;
    const own = this.#graph.steps[step]!;
    if (result.kind === 'done') {
      const missing = own.outputs.find(({ name }) => !result.outputs.has(name));
      if (missing !== undefined) return this.#fail(own, part, `it gave no '${missing.name}'`);
      const held = own.outputs.map(({ name, tensor }) => {
        const value = result.outputs.get(name)!;
        return [tensor, (isList(value) ? value : [value]).map((each) => this.#hold(each, tensor))] as const;
      });
      running.results[part] = new Map(held);
      if (this.#heldBytes > this.#maxBytes)
        return this.#fail(
          own,
          part,
          `with its outputs the request holds ${this.#heldBytes} bytes, and may hold ${this.#maxBytes}`,
        );
    } else if (own.onFailure === 'fail') {
      return this.#fail(own, part, result.message);
    }
    this.#endPart(step, own, running, part);
    return this.#advance();
  }

  /** Of a complete request: by the pipeline's names, in its order; without those that are missing. Held until `release`. */
  outputs(): readonly Tensor[] {
    const outputs: Tensor[] = [];
    for (const name of this.#graph.outputs) {
      const slot = this.#slots.get(name)!;
      if (slot.kind === 'missing') continue;
      if (slot.kind === 'one') outputs.push({ ...slot.held.tensor!, name });
      else {
        const parts = this.#partsInAll(name, slot.parts);
        const whole = joined(name, parts);
        if (whole !== null) outputs.push(whole);
        else if (parts.length > 0)
          this.#failure ??= `output '${name}': its ${parts.length} parts are of unlike types or shapes, and an answer has one tensor`;
      }
    }
    return outputs;
  }

  /** Lets go of all that is still held: the request has its outcome. */
  release(): void {
    for (const slot of this.#slots.values()) {
      if (slot.kind === 'one') this.#letGo(slot.held, slot.held.uses);
      else if (slot.kind === 'list') for (const part of slot.parts) this.#letGo(part, part.uses);
    }
    this.#slots.clear();
    for (const { results } of this.#running.values())
      for (const result of results)
        for (const parts of result?.values() ?? []) for (const part of parts) this.#letGo(part, part.uses);
    this.#running.clear();
    this.#heldBytes = 0;
  }

  // ---- beginning ---------------------------------------------------------------------------------------------------

  #advance(): readonly PartStart[] {
    const starts: PartStart[] = [];
    // Behind all whose outputs it takes: a step that ends at once, as it is left out, lets those behind it begin in the same pass.
    this.#graph.steps.forEach((step, index) => {
      if (this.#failure !== null || this.#running.has(index) || this.#ended.has(index)) return;
      if (step.before.every((other) => this.#ended.has(other))) starts.push(...this.#begin(index, step));
    });
    return this.#failure === null ? starts : [];
  }

  #begin(index: number, step: GraphStep): readonly PartStart[] {
    const condition = step.when === null ? null : this.#slots.get(step.when)!;
    const isOff = condition?.kind === 'missing' || (condition?.kind === 'one' && !isTrue(condition.held.tensor!));
    const given = new Map<string, readonly Slot[]>(
      step.inputs.map(({ name, from }) => [
        name,
        from.map((tensor) => this.#slots.get(tensor)!).filter(({ kind }) => kind !== 'missing'),
      ]),
    );
    if (isOff || [...given.values()].some((slots) => slots.length === 0)) {
      this.#leaveOut(index, step);
      return [];
    }
    const isDivided = step.forEach.length > 0;
    const divided = this.#dividedInputs(step, given);
    if (typeof divided === 'string') return this.#fail(step, null, divided);
    const partCount = isDivided ? divided.count : 1;
    const conditions = condition?.kind === 'list' ? condition.parts : null;
    if (conditions !== null && conditions.length !== partCount)
      return this.#fail(
        step,
        null,
        `its condition '${step.when!}' has ${conditions.length} parts, and it runs for ${partCount}`,
      );
    const whole = new Set(step.inputs.filter(({ name }) => !step.forEach.includes(name)).flatMap(({ from }) => from));
    const byPart = new Set(
      step.uses.filter((tensor) => isDivided && this.#slots.get(tensor)!.kind === 'list' && !whole.has(tensor)),
    );
    const running: RunningStep = { partCount, isDivided, byPart, left: partCount, results: [] };
    this.#running.set(index, running);
    const starts: PartStart[] = [];
    const absent: number[] = [];
    for (let part = 0; part < partCount; part++) {
      const inputs = this.#inputsOf(step, given, divided.values, part);
      const own = conditions?.[part]?.tensor ?? null;
      if (inputs === null || (conditions !== null && (own === null || !isTrue(own)))) absent.push(part);
      else starts.push({ step: index, part, inputs });
    }
    for (const part of absent) this.#endPart(index, step, running, part);
    if (partCount === 0) this.#end(index, step, running);
    return starts;
  }

  /** Of each input of which it runs once a part: its parts, by each of the tensors that it may come from. A text says what is wrong. */
  #dividedInputs(
    step: GraphStep,
    given: ReadonlyMap<string, readonly Slot[]>,
  ):
    { readonly count: number; readonly values: ReadonlyMap<string, readonly (readonly (Tensor | null)[])[]> } | string {
    const values = new Map<string, readonly (readonly (Tensor | null)[])[]>();
    let count: number | null = null;
    for (const name of step.forEach) {
      const lists: (readonly (Tensor | null)[])[] = [];
      for (const slot of given.get(name)!) {
        const parts =
          slot.kind === 'list'
            ? slot.parts.map(({ tensor }) => tensor)
            : slot.kind === 'one'
              ? rowsOf(slot.held.tensor!)
              : null;
        if (parts === null) return `input '${name}' is a single number, and has no rows to run for`;
        count ??= parts.length;
        if (parts.length !== count)
          return `input '${name}' has ${parts.length} parts, and another one that it runs for has ${count}`;
        lists.push(parts);
      }
      values.set(name, lists);
    }
    if (count !== null && count > step.maxParts)
      return `it would run for ${count} parts, and max_parts is ${step.maxParts}`;
    return { count: count ?? 1, values };
  }

  /** Null where one of them is missing. */
  #inputsOf(
    step: GraphStep,
    given: ReadonlyMap<string, readonly Slot[]>,
    divided: ReadonlyMap<string, readonly (readonly (Tensor | null)[])[]>,
    part: number,
  ): ReadonlyMap<string, StepValue> | null {
    const inputs = new Map<string, StepValue>();
    for (const { name } of step.inputs) {
      const lists = divided.get(name);
      if (lists === undefined) {
        const [slot] = given.get(name)!;
        if (slot!.kind === 'one') inputs.set(name, { ...slot!.held.tensor!, name });
        else if (slot!.kind === 'list')
          inputs.set(
            name,
            slot!.parts.map(({ tensor }) => tensor),
          );
        continue;
      }
      const tensor = lists.map((list) => list[part] ?? null).find((each) => each !== null) ?? null;
      if (tensor === null) return null;
      inputs.set(name, { ...tensor, name });
    }
    return inputs;
  }

  // ---- ending ------------------------------------------------------------------------------------------------------

  #endPart(index: number, step: GraphStep, running: RunningStep, part: number): void {
    for (const tensor of running.byPart) {
      const slot = this.#slots.get(tensor)!;
      if (slot.kind === 'list' && part < slot.parts.length) this.#letGo(slot.parts[part]!, 1);
    }
    running.left -= 1;
    if (running.left === 0) this.#end(index, step, running);
  }

  #end(index: number, step: GraphStep, running: RunningStep): void {
    this.#ended.add(index);
    for (const { tensor, isList: givesList } of step.outputs) {
      const kind = running.isDivided || givesList ? 'list' : 'one';
      this.#slots.set(tensor, slotOf(kind, tensor, running));
    }
    running.results.length = 0;
    for (const tensor of step.uses) if (!running.byPart.has(tensor)) this.#letGoOf(tensor);
  }

  #leaveOut(index: number, step: GraphStep): void {
    this.#ended.add(index);
    for (const { tensor } of step.outputs) this.#slots.set(tensor, { kind: 'missing' });
    for (const tensor of step.uses) this.#letGoOf(tensor);
  }

  #fail({ name }: GraphStep, part: number | null, message: string): readonly PartStart[] {
    const where = part === null || (this.#runningNamed(name)?.partCount ?? 1) === 1 ? '' : `, part ${part + 1}`;
    this.#failure ??= `step '${name}'${where}: ${message}`;
    return [];
  }

  #runningNamed(name: string): RunningStep | undefined {
    return this.#running.get(this.#graph.steps.findIndex((step) => step.name === name));
  }

  // ---- holding -----------------------------------------------------------------------------------------------------

  #usesOf(tensor: string): number {
    return this.#graph.useCounts.get(tensor) ?? 0;
  }

  #hold(tensor: Tensor, name: string): Held {
    const uses = this.#usesOf(name);
    // Nothing comes of it.
    if (uses === 0) return { tensor: null, uses };
    tensor.lease?.hold();
    this.#heldBytes += tensor.data.byteLength;
    this.#peakBytes = Math.max(this.#peakBytes, this.#heldBytes);
    return { tensor, uses };
  }

  #letGoOf(tensor: string): void {
    const slot = this.#slots.get(tensor)!;
    if (slot.kind === 'one') this.#letGo(slot.held, 1);
    else if (slot.kind === 'list') for (const part of slot.parts) this.#letGo(part, 1);
  }

  #letGo(held: Held, uses: number): void {
    if (held.uses === 0 || held.tensor === null) return;
    held.uses -= uses;
    if (held.uses > 0) return;
    this.#heldBytes -= held.tensor.data.byteLength;
    held.tensor.lease?.release();
    held.tensor = null;
  }

  /** Those of a list whose place is taken in every output that is divided alike: what an answer says of one part is in all of its tensors. */
  #partsInAll(name: string, parts: readonly Held[]): readonly Tensor[] {
    const { lists, outputs } = this.#graph;
    const alike = outputs
      .filter((other) => lists.get(other) === lists.get(name))
      .map((other) => this.#slots.get(other)!)
      .flatMap((slot) => (slot.kind === 'list' && slot.parts.length === parts.length ? [slot.parts] : []));
    return parts.flatMap(({ tensor }, place) =>
      tensor !== null && alike.every((list) => list[place]!.tensor !== null) ? [tensor] : [],
    );
  }
}

function isList(value: StepValue | readonly Tensor[]): value is readonly Tensor[] {
  return Array.isArray(value);
}

function slotOf(kind: 'one' | 'list', tensor: string, { isDivided, partCount, results }: RunningStep): Slot {
  if (isDivided) {
    const parts = Array.from({ length: partCount }, (_, part) => results[part]?.get(tensor)?.[0] ?? MISSING);
    return { kind: 'list', parts };
  }
  const held = results[0]?.get(tensor);
  if (held === undefined) return { kind: 'missing' };
  return kind === 'list' ? { kind: 'list', parts: held } : { kind: 'one', held: held[0]! };
}
