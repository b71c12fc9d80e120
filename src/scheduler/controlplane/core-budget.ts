/*
 * The cores that the allocations of one model share, or those of all models of a node. What counts for each allocation is the most
 * that it may have now: what was brought about, or what was asked for and is not in force yet, so that the sum holds at every instant,
 * in whichever order resizes take effect.
 *
 * Who may take what is a rule apart (`core-claims.ts`). Here it is carried out: who lacks cores has the others give up what they hold
 * and do not need, and whenever some came free, those that wait for them plan again, in their order.
 *
 * Invariant, asserted on every request: the sum never exceeds the total. It is one of what we ask for: what an actuator makes of it,
 * or somebody else beside it, cannot break it.
 */
import { comesBefore, floorsMillicores, shareMillicores, type CoreClaim } from './core-claims.js';

/** An allocation. */
export interface BudgetHolder {
  /** Brought about, or asked for: whichever is more. */
  readonly heldMillicores: number;
}

/** All allocations of a model. */
export interface BudgetMember {
  readonly holders: readonly BudgetHolder[];
  /** Its floor aside. */
  readonly claim: Omit<CoreClaim, 'floorMillicores'>;
  /** When the first of its batches that run is expected to end; Infinity without any. */
  readonly nextFreeAtMs: number;
  /** When it last had something to do; Infinity while it has. */
  readonly lastBusyAtMs: number;
  /** What it holds when it has nothing to do. */
  readonly restingMillicores: number;
  /** Of what it holds: what something is loaded on, which may take long and gives nothing up before. */
  readonly startingMillicores: number;
  /** Gives up what it holds and does not need, for another one. It may take effect later, and is then told by `offer`. */
  release(claimant: BudgetMember): void;
  /** Plans again: there may be cores for it now. */
  retry(): void;
}

interface Share {
  readonly member: BudgetMember;
  /** Stated; undefined for an equal one. */
  readonly floorFraction: number | undefined;
  /** Follows from those of all. */
  floorMillicores: number;
}

/**
 * A model that had nothing to do for so long is not counted on to come back at once: its floor is free for the plans of others. Of
 * 49 models that rest, half of the cores would be kept for nobody. As long as a pause between bursts of requests may be.
 */
const FLOOR_KEPT_MS = 10_000;

export class CoreBudget {
  readonly totalMillicores: number;
  #shares: readonly Share[] = [];
  #isOffering = false;

  constructor(totalMillicores: number) {
    this.totalMillicores = totalMillicores;
  }

  /**
   * @param floorFraction of the cores: what the member may have in a backlog before others get more; undefined for an equal share
   * @throws Error where the floors of all do not fit together
   */
  join(member: BudgetMember, floorFraction?: number): void {
    this.#setFloors([...this.#shares, { member, floorFraction, floorMillicores: 0 }]);
  }

  /** A model that takes another's place comes to have its floor. @throws Error where the floors of all do not fit together */
  setFloor(member: BudgetMember, floorFraction: number | undefined): void {
    this.#setFloors(this.#shares.map((share) => (share.member === member ? { ...share, floorFraction } : share)));
  }

  /** It holds nothing any more. */
  leave(member: BudgetMember): void {
    this.#setFloors(this.#shares.filter((share) => share.member !== member));
    this.offer(member);
  }

  #setFloors(shares: readonly Share[]): void {
    const floors = floorsMillicores(
      shares.map(({ floorFraction }) => floorFraction),
      this.totalMillicores,
    );
    shares.forEach((share, index) => (share.floorMillicores = floors[index]!));
    this.#shares = shares;
  }

  /** What is held when nobody has anything to do. */
  get restingMillicores(): number {
    return this.#shares.reduce((sum, { member }) => sum + member.restingMillicores, 0);
  }

  /** What an allocation may have in all while the others keep what they hold. */
  roomFor(holder: BudgetHolder): number {
    return this.totalMillicores - this.#heldMillicores() + holder.heldMillicores;
  }

  /** What a member may need in all, now that its first request is due then. */
  shareOf(member: BudgetMember, dueAtMs: number): number {
    if (this.#shares.length === 1) return this.totalMillicores;
    const own = this.#shares.find((share) => share.member === member)!;
    const others = this.#shares.filter((share) => share !== own).map(claimOf);
    return shareMillicores({ ...claimOf(own), dueAtMs }, others, this.totalMillicores);
  }

  /**
   * What a member can count on once the others have ended what they run: all but the floors of those that had something to do of late.
   * With what they leave now instead, four
   * models on eight cores lost three times as much at load 0.7; with all of it, or an equal share at least, one and a half times.
   */
  reachOf(member: BudgetMember, nowMs: number): number {
    let reach = this.totalMillicores;
    for (const share of this.#shares) {
      if (share.member === member) continue;
      if (share.member.lastBusyAtMs > nowMs - FLOOR_KEPT_MS) reach -= share.floorMillicores;
    }
    return reach;
  }

  /**
   * When cores of others are expected to come free: now where nothing of theirs runs, as what they hold they may give up at any moment.
   * Infinity where nobody shares.
   */
  freeAtMs(member: BudgetMember, nowMs: number): number {
    let freeAtMs = Infinity;
    for (const share of this.#shares)
      if (share.member !== member) freeAtMs = Math.min(freeAtMs, share.member.nextFreeAtMs);
    return this.#shares.length === 1 ? Infinity : Math.max(nowMs, freeAtMs < Infinity ? freeAtMs : nowMs);
  }

  /** What others run on, or are about to. */
  busyBesideMillicores(member: BudgetMember): number {
    let busy = 0;
    for (const share of this.#shares) {
      if (share.member === member) continue;
      const { claim, restingMillicores } = share.member;
      busy += Math.max(0, claim.neededMillicores - restingMillicores);
    }
    return busy;
  }

  /** What others load something on. */
  startingBesideMillicores(member: BudgetMember): number {
    let starting = 0;
    for (const share of this.#shares) if (share.member !== member) starting += share.member.startingMillicores;
    return starting;
  }

  /** Whether others wait for cores. */
  isWantedBeside(member: BudgetMember): boolean {
    return this.#shares.some((share) => share.member !== member && share.member.claim.wantedMillicores > 0);
  }

  /** Whether cores that are free now may not be soon: others wait for some, or load something, step by step. */
  isContendedBeside(member: BudgetMember): boolean {
    return this.isWantedBeside(member) || this.startingBesideMillicores(member) > 0;
  }

  /** Has the others give up what they hold and do not need. */
  reclaim(member: BudgetMember): void {
    for (const share of this.#shares) if (share.member !== member) share.member.release(member);
  }

  /** Cores came free, or are no longer waited for: who waits for some plans again. */
  offer(by: BudgetMember): void {
    // Whoever comes next is asked next anyway.
    if (this.#isOffering || !this.isWantedBeside(by)) return;
    this.#isOffering = true;
    const waiting = this.#shares.filter(({ member }) => member !== by && member.claim.wantedMillicores > 0);
    waiting.sort((a, b) => Number(comesBefore(claimOf(b), claimOf(a))) - Number(comesBefore(claimOf(a), claimOf(b))));
    for (const { member } of waiting) member.retry();
    this.#isOffering = false;
  }

  assertKept(): void {
    const held = this.#heldMillicores();
    if (held > this.totalMillicores) {
      throw new Error(`allocations of ${held} millicores exceed the budget of ${this.totalMillicores}`);
    }
  }

  #heldMillicores(): number {
    let held = 0;
    for (const { member } of this.#shares) for (const { heldMillicores } of member.holders) held += heldMillicores;
    return held;
  }
}

function claimOf({ member, floorMillicores }: Share): CoreClaim {
  return { ...member.claim, floorMillicores };
}
