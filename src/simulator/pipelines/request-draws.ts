import type { Tensor } from '../../scheduler/domain/tensor.js';
import type { PipelineGraph } from '../../scheduler/pipeline/graph.js';
import { Progress, type PartStart, type StepValue } from '../../scheduler/pipeline/progress.js';
import { logNormal } from '../../scheduler/random/normal.js';
import { Prng } from '../../scheduler/random/prng.js';
import { stream } from '../../scheduler/random/streams.js';
import { drawCount, drawMs, type StepScenario } from './pipeline-schema.js';

/*
 * What a request of a simulated pipeline is: how many parts its steps have, which conditions hold, how long its function calls take and how
 * they end. All of it follows from the seed, the request and the step, so every policy meets the same.
 *
 * Tensors are as small as can be: a simulation needs their number, and whether they are true.
 */

export interface CallFate {
  readonly ms: number;
  readonly end: 'done' | 'fails' | 'hangs';
}

type Outputs = ReadonlyMap<string, Tensor | readonly Tensor[]>;

const TRUE_ROW = Uint8Array.of(1);
const FALSE_ROW = Uint8Array.of(0);
/** More requests than that would draw the same numbers twice. */
const MOST_REQUESTS = 2 ** 21;

export class RequestDraws {
  readonly #graph: PipelineGraph;
  readonly #steps: readonly StepScenario[];
  readonly #bases: readonly number[];
  readonly #conditions: ReadonlySet<string>;

  /** @param steps in the order of the graph's */
  constructor(graph: PipelineGraph, steps: readonly StepScenario[], seed: number) {
    this.#graph = graph;
    this.#steps = steps;
    this.#bases = graph.steps.map(({ name }) => stream(seed, `pipeline step ${name}`).uint32());
    this.#conditions = new Set(graph.steps.flatMap(({ when }) => when ?? []));
  }

  /** One for each of the pipeline's inputs. */
  inputs(): readonly Tensor[] {
    return this.#graph.inputs.map((name) => tensor(name, TRUE_ROW, 1));
  }

  /** @param request its index */
  outputs(request: number, step: number, part: number, inputs: ReadonlyMap<string, StepValue>): Outputs {
    const own = this.#graph.steps[step]!;
    const { gives, trueFraction } = this.#steps[step]!;
    const prng = this.#prng(request, step, part, 0);
    const count = gives === undefined ? null : drawCount(gives, prng);
    return new Map(
      own.outputs.map(({ name, tensor: made, isList }): [string, Tensor | readonly Tensor[]] => {
        const isTrue = (): boolean => !this.#conditions.has(made) || prng.uniform() < trueFraction;
        if (isList)
          return [name, Array.from({ length: count ?? partsIn(inputs) }, () => tensor(name, rowOf(isTrue()), 1))];
        return [name, count === null ? tensor(name, rowOf(isTrue()), 1) : rowsOf(name, count, isTrue)];
      }),
    );
  }

  /** Of a call of a function. */
  fate(request: number, step: number, part: number, inputs: ReadonlyMap<string, StepValue>): CallFate {
    const own = this.#steps[step]!;
    const prng = this.#prng(request, step, part, 1);
    const ms = drawMs(own, partsIn(inputs), prng) * logNormal(prng, own.deviation);
    const chance = prng.uniform();
    if (chance < own.failFraction) return { ms, end: 'fails' };
    return { ms, end: chance < own.failFraction + own.hangFraction ? 'hangs' : 'done' };
  }

  /** The request's whole way, where nothing fails. @param visit told of each part once, in an order in which they can run */
  walk(request: number, visit: (start: PartStart) => void): void {
    const progress = new Progress({
      graph: this.#graph,
      inputs: new Map(this.inputs().map((each) => [each.name, each])),
      maxBytes: Infinity,
    });
    const waiting = [...progress.begin()];
    for (let start = waiting.shift(); start !== undefined; start = waiting.shift()) {
      visit(start);
      const outputs = this.outputs(request, start.step, start.part, start.inputs);
      waiting.push(...progress.ended(start.step, start.part, { kind: 'done', outputs }));
    }
    progress.release();
  }

  #prng(request: number, step: number, part: number, purpose: 0 | 1): Prng {
    const base = (this.#bases[step]! + Math.imul(2 * part + purpose, 0x9e3779b1)) >>> 0;
    return new Prng(base * MOST_REQUESTS + (request % MOST_REQUESTS));
  }
}

/** Of lists that a step gets whole; 1 where there are none. */
function partsIn(inputs: ReadonlyMap<string, StepValue>): number {
  let most = -1;
  for (const value of inputs.values()) if (isList(value)) most = Math.max(most, value.length);
  return most < 0 ? 1 : most;
}

function rowOf(isTrue: boolean): Uint8Array {
  return isTrue ? TRUE_ROW : FALSE_ROW;
}

function rowsOf(name: string, count: number, isTrue: () => boolean): Tensor {
  return tensor(
    name,
    Uint8Array.from({ length: count }, () => Number(isTrue())),
    count,
  );
}

function tensor(name: string, data: Uint8Array, rows: number): Tensor {
  return { name, datatype: 'UINT8', shape: [rows, 1], data };
}

function isList(value: StepValue): value is Exclude<StepValue, Tensor> {
  return Array.isArray(value);
}
