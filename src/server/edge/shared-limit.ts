/*
 * A limit that clients share: so much in all, and for any one of them a part of it, so that nobody can keep all others out. A part
 * that is large enough is noticed by nobody else: not by the many phones behind one address, nor by a gateway that speaks for all.
 *
 * Work and memory are of those that hold something; who has given all back is forgotten.
 */

export type Claim = 'granted' | 'full' | 'client-full';

/** What a limit is of. */
export const LIMIT_USES = ['calls', 'receipt', 'rest', 'grpc'] as const;
/** Calls in progress, bytes on their way in, and each front end's connections. */
export type LimitUse = (typeof LIMIT_USES)[number];

/** Of one thread's, or of all threads' (`io-threads/thread-limit.ts`). */
export interface Limit {
  /** What is held already stays so. */
  most: number;
  readonly held: number;
  readonly mostForOne: number;
  /** @param amount ≥ 0 */
  take(client: string, amount: number): Claim;
  /** Takes it whatever there is left: of what is held already by somebody who gives it back within this turn. */
  takeOver(client: string, amount: number): void;
  /** Of what was granted. */
  give(client: string, amount: number): void;
}

/** @param clientFraction of `most`, in (0, 1]: what one client may hold, but never less than 1 */
export type MakeLimit = (use: LimitUse, most: number, clientFraction: number) => Limit;

export const makeSharedLimit: MakeLimit = (_use, most, clientFraction) => new SharedLimit(most, clientFraction);

export class SharedLimit implements Limit {
  #most: number;
  readonly #clientFraction: number;
  readonly #heldBy = new Map<string, number>();
  #held = 0;

  /** @param clientFraction of `most`, in (0, 1]: what one client may hold, but never less than 1 */
  constructor(most: number, clientFraction: number) {
    this.#most = most;
    this.#clientFraction = clientFraction;
  }

  get most(): number {
    return this.#most;
  }

  /** What is held already stays so. */
  set most(most: number) {
    this.#most = most;
  }

  get held(): number {
    return this.#held;
  }

  get mostForOne(): number {
    return Math.max(1, Math.floor(this.#clientFraction * this.#most));
  }

  /** @param amount ≥ 0 */
  take(client: string, amount: number): Claim {
    if (this.#held + amount > this.#most) return 'full';
    const held = (this.#heldBy.get(client) ?? 0) + amount;
    if (held > this.mostForOne) return 'client-full';
    this.#held += amount;
    this.#heldBy.set(client, held);
    return 'granted';
  }

  takeOver(client: string, amount: number): void {
    this.#held += amount;
    this.#heldBy.set(client, (this.#heldBy.get(client) ?? 0) + amount);
  }

  /** Of what was granted. */
  give(client: string, amount: number): void {
    const left = (this.#heldBy.get(client) ?? 0) - amount;
    if (left < 0) throw new Error(`${client} gives back ${-left} more than it holds`);
    this.#held -= amount;
    if (left === 0) this.#heldBy.delete(client);
    else this.#heldBy.set(client, left);
  }
}
