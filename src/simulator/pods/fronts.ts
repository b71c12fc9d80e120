/*
 * Who stands before the pods and chooses one for each request: what Envoy does by itself, and ours. There may be several side by side, each
 * with a part of the requests, and none knows what the others send.
 */
import { Picker } from '../../route/picker.js';
import type { Sent } from '../../route/request.js';
import type { PodReport } from '../../scheduler/domain/pod-report.js';
import type { Prng } from '../../scheduler/random/prng.js';

/**
 * `least-request`: the one with the fewest under way, of all; `random-of-two`: of two by chance, which is what Envoy's least request does
 * by default. Both count what they themselves have sent.
 */
export type Balancing = 'round-robin' | 'least-request' | 'random-of-two' | 'picker';

/** The picker's number for what it chose; 0 of others. */
export interface Choice {
  readonly pod: number;
  readonly number: number;
}

export interface Front {
  /** Null: refused at once. */
  choose(nowMs: number, budgetMs: number): Choice | null;
  /** Where to try next what one did not take; null: nowhere. @param tried pods that did not */
  chooseAgain(choice: Choice, tried: readonly number[]): number | null;
  /** It is under way there. */
  sent(pod: number): void;
  ended(pod: number): void;
  hear(nowMs: number, pod: number, report: PodReport): void;
  /** The connection to it has ended. */
  lose(pod: number): void;
  /** These are the pods from now on. */
  setPods(pods: readonly number[]): void;
}

export function createFront(balancing: Balancing, prng: Prng): Front {
  switch (balancing) {
    case 'picker':
      return new PickerFront(prng);
    case 'round-robin':
      return new CountingFront(prng, inTurn());
    case 'least-request':
      return new CountingFront(prng, leastRequest);
    case 'random-of-two':
      return new CountingFront(prng, randomOfTwo);
  }
}

/** @returns one of the pods, of which there is at least one */
type Choose = (pods: readonly number[], underWay: ReadonlyMap<number, number>, prng: Prng) => number;

/** Tries for another pod than those before, as Envoy's `host_selection_retry_max_attempts`. */
const OTHER_POD_TRIES = 5;

class CountingFront implements Front {
  readonly #prng: Prng;
  readonly #choose: Choose;
  readonly #underWay = new Map<number, number>();
  #pods: readonly number[] = [];

  constructor(prng: Prng, choose: Choose) {
    this.#prng = prng;
    this.#choose = choose;
  }

  choose(): Choice | null {
    if (this.#pods.length === 0) return null;
    return { pod: this.#choose(this.#pods, this.#underWay, this.#prng), number: 0 };
  }

  chooseAgain(_choice: Choice, tried: readonly number[]): number | null {
    if (this.#pods.length === 0) return null;
    return otherThan(tried, () => this.#choose(this.#pods, this.#underWay, this.#prng));
  }

  sent(pod: number): void {
    this.#underWay.set(pod, (this.#underWay.get(pod) ?? 0) + 1);
  }

  ended(pod: number): void {
    this.#underWay.set(pod, this.#underWay.get(pod)! - 1);
  }

  hear(): void {
    // It goes by what it has sent.
  }

  lose(): void {
    // Health checks tell, and those are the pods that it is given.
  }

  setPods(pods: readonly number[]): void {
    this.#pods = pods;
  }
}

function inTurn(): Choose {
  let turn = -1;
  return (pods, _, prng) => {
    // Not all fronts in step.
    turn = turn === -1 ? prng.int(pods.length) : turn + 1;
    return pods[turn % pods.length]!;
  };
}

const leastRequest: Choose = (pods, underWay, prng) => {
  // Of equals any: from anywhere on.
  const from = prng.int(pods.length);
  let [best, least] = [pods[from]!, Infinity];
  for (let index = 0; index < pods.length; index++) {
    const pod = pods[(from + index) % pods.length]!;
    const count = underWay.get(pod) ?? 0;
    if (count < least) [best, least] = [pod, count];
  }
  return best;
};

const randomOfTwo: Choose = (pods, underWay, prng) => {
  const [one, other] = [pods[prng.int(pods.length)]!, pods[prng.int(pods.length)]!];
  return (underWay.get(other) ?? 0) < (underWay.get(one) ?? 0) ? other : one;
};

function otherThan(tried: readonly number[], choose: () => number): number {
  let pod = choose();
  for (let tries = OTHER_POD_TRIES; tries > 0 && tried.includes(pod); tries--) pod = choose();
  return pod;
}

class PickerFront implements Front {
  readonly #prng: Prng;
  readonly #picker: Picker;
  /** Of what is under way, by number. */
  readonly #fallbacks = new Map<number, readonly string[]>();
  #pods: readonly number[] = [];

  constructor(prng: Prng) {
    this.#prng = prng;
    this.#picker = new Picker({ random: () => prng.uniform() });
  }

  choose(nowMs: number, budgetMs: number): Choice | null {
    const pick = this.#picker.pick(nowMs, { model: MODEL, version: null, budgetMs, inputBytes: null });
    return pick.kind === 'refuse' ? null : this.#taken(pick);
  }

  #taken({ pod, number, fallbacks }: Sent): Choice {
    this.#fallbacks.set(number, fallbacks);
    return { pod: Number(pod), number };
  }

  /** Envoy has the fallbacks with the choice, and then takes any. */
  chooseAgain({ number }: Choice, tried: readonly number[]): number | null {
    const next = this.#fallbacks.get(number)?.find((pod) => !tried.includes(Number(pod)));
    if (next !== undefined) return Number(next);
    if (this.#pods.length === 0) return null;
    return otherThan(tried, () => this.#pods[this.#prng.int(this.#pods.length)]!);
  }

  sent(): void {
    // The picker counts it from its choice on.
  }

  ended(): void {
    // Reports tell.
  }

  hear(nowMs: number, pod: number, report: PodReport): void {
    this.#picker.hear(nowMs, String(pod), report);
  }

  lose(pod: number): void {
    this.#picker.lose(String(pod), 'lost');
  }

  setPods(pods: readonly number[]): void {
    this.#pods = pods;
    this.#picker.setPods(pods.map(String));
  }
}

/** Of all pods the only one. */
export const MODEL = 'm';
