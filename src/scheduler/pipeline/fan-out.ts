import type { Tensor } from '../domain/tensor.js';
import type { PipelineGraph } from './graph.js';

/*
 * How many parts a step has, before that is known: what it had of late. Of a step that may be left out that is less than 1.
 */

/** Weight of the newest. */
const GAIN = 0.1;

export class FanOuts {
  readonly #means: (number | null)[];

  constructor(stepCount: number) {
    this.#means = new Array<null>(stepCount).fill(null);
  }

  /** 1 before any was seen. */
  expected(step: number): number {
    return this.#means[step] ?? 1;
  }

  /** @param parts that ran */
  observe(step: number, parts: number): void {
    const mean = this.#means[step] ?? null;
    this.#means[step] = mean === null ? parts : mean + GAIN * (parts - mean);
  }
}

/** Of each step that runs for the rows of what the client sent, or for parts that came of them: how many that is. Null where only the run tells. */
export function knownParts({ steps }: PipelineGraph, inputs: readonly Tensor[]): readonly (number | null)[] {
  const rows = new Map(inputs.map(({ name, shape }) => [name, shape[0] ?? null]));
  const counts = new Map<string, number | null>();
  return steps.map(({ forEach, inputs: own, outputs }) => {
    const [divided] = forEach;
    const from = own.find(({ name }) => name === divided)?.from ?? [];
    const given = from.find((tensor) => rows.has(tensor) || counts.has(tensor));
    const count = given === undefined ? null : (rows.get(given) ?? counts.get(given) ?? null);
    if (divided !== undefined) for (const { tensor } of outputs) counts.set(tensor, count);
    return count;
  });
}
