import type { Tensor } from '../../scheduler/domain/tensor.js';
import { differenceBetween } from '../workers/output-comparison.js';
import type { Sample } from '../workers/samples.js';

/*
 * Audits batching that was only tried: now and then a member of a real batch is kept, run again alone when there is CPU to
 * spare, and compared. Often at first, ever more seldom while nothing is found, and never not at all.
 */

/** A member of a real batch: what it sent, and what it was answered. */
export interface AnsweredMember {
  readonly inputs: Sample;
  readonly outputs: readonly Tensor[];
}

export type AuditResult = 'same' | 'different' | 'failed';

/** From the first batch on; doubled by every audit that finds nothing. */
const FIRST_INTERVAL_MS = 500;
const LONGEST_INTERVAL_MS = 60_000;
/** Of inputs and outputs together; larger members are not kept. */
const MOST_BYTES = 16 * 1024 ** 2;

/** Decides what is audited, and when; holds one member at most. */
export class BatchAudit {
  #intervalMs = FIRST_INTERVAL_MS;
  #dueAtMs = 0;
  #member: AnsweredMember | null = null;

  /** The one that waits to be run alone. */
  get member(): AnsweredMember | null {
    return this.#member;
  }

  /** Takes a member of a batch of several, if it is time for one. It is copied: its memory is the client's. */
  offer(nowMs: number, { inputs, outputs }: AnsweredMember): void {
    if (this.#member !== null || nowMs < this.#dueAtMs || byteCountOf(inputs) + byteCountOf(outputs) > MOST_BYTES)
      return;
    this.#member = { inputs: inputs.map(copied), outputs: outputs.map(copied) };
  }

  /** Lets it go unjudged: the worker was lost with it. The next one is due later, so that no worker dies of audits again and again. */
  discard(nowMs: number): void {
    this.#member = null;
    this.#dueAtMs = nowMs + this.#intervalMs;
    this.#intervalMs = Math.min(LONGEST_INTERVAL_MS, 2 * this.#intervalMs);
  }

  /**
   * Judges the member by its run alone, and lets it go.
   * @param alone every output that it was answered; or why the model refused it, as it may refuse anything
   * @param copies the same among mates that are copies of itself
   */
  judge(
    nowMs: number,
    alone: readonly Tensor[] | string,
    copies: readonly Tensor[] | string,
  ): { readonly result: AuditResult; readonly difference: string } {
    const { outputs } = this.#member!;
    this.#member = null;
    this.#dueAtMs = nowMs + this.#intervalMs;
    if (typeof alone === 'string') return { result: 'failed', difference: alone };
    this.#intervalMs = Math.min(LONGEST_INTERVAL_MS, 2 * this.#intervalMs);
    // Whoever asked for some outputs was answered those.
    const asked = outputs.flatMap(({ name }) => alone.find((output) => output.name === name) ?? []);
    const rounded =
      typeof copies === 'string'
        ? asked
        : outputs.flatMap(({ name }) => copies.find((each) => each.name === name) ?? []);
    const difference = differenceBetween(asked, outputs, rounded);
    return difference === null ? { result: 'same', difference: '' } : { result: 'different', difference };
  }
}

function copied({ name, datatype, shape, data }: Tensor): Tensor {
  return { name, datatype, shape, data: data.slice() };
}

function byteCountOf(tensors: readonly Tensor[]): number {
  return tensors.reduce((sum, { data }) => sum + data.byteLength, 0);
}
