/*
 * Who of several models that share a node's cores may take what is free.
 *
 * Any model may take any core that the others do not need now. Where not all can have what they want, those come first that have less
 * than their floor, and among equals the one whose first request is due first. So nobody's backlog is served from what another needs
 * to keep above its floor: without floors the model whose requests cost most pays for all, as it is the first to fit nowhere.
 *
 * A model that is started has no floor, and wants all cores at one instant: in overload others are below theirs all the time, so that it
 * would never be served. Once it has waited long enough it comes before all.
 */

/** What a model has, and would have. */
export interface CoreClaim {
  /** That its batches run on, or are about to, and the floors of its instances that rest. */
  readonly neededMillicores: number;
  /** So much it may have in a backlog before others get more. */
  readonly floorMillicores: number;
  /** What it waits for besides; 0: it waits for no cores. */
  readonly wantedMillicores: number;
  /** Of the first of its requests; Infinity without any. */
  readonly dueAtMs: number;
  /** It has waited for long enough to come before others whatever their floors. */
  readonly isOverdueStart?: boolean;
}

/** Of the budget: all floors together where none is stated. The other half goes to whoever is in the greatest hurry. */
const FLOORS_FRACTION = 0.5;

/**
 * By model, whole millicores: what it may have in a backlog before others get more.
 * @param fractions of the cores, in [0, 1]; undefined for an equal share of half of them, beside all that do not state 0
 * @throws Error where they do not fit together
 */
export function floorsMillicores(
  fractions: readonly (number | undefined)[],
  totalMillicores: number,
): readonly number[] {
  const equal = FLOORS_FRACTION / Math.max(1, fractions.filter((fraction) => fraction !== 0).length);
  const floors = fractions.map((fraction) => fraction ?? equal);
  const sum = floors.reduce((total, fraction) => total + fraction, 0);
  if (sum > 1 + 1e-9 || floors.some((fraction) => !(fraction >= 0)))
    throw new Error(`floors of ${floors.join(', ')} of the cores do not fit together; lower them to 1 in all`);
  return floors.map((fraction) => Math.floor(fraction * totalMillicores));
}

/** Of two that want more. */
export function comesBefore(one: CoreClaim, other: CoreClaim): boolean {
  const isOverdue = one.isOverdueStart === true;
  if (isOverdue !== (other.isOverdueStart === true)) return isOverdue;
  const isBelowFloor = one.neededMillicores < one.floorMillicores;
  if (isBelowFloor !== other.neededMillicores < other.floorMillicores) return isBelowFloor;
  return one.dueAtMs < other.dueAtMs;
}

/**
 * The most that a model may need in all: what the others do not, less what those of them wait for who come before it. Where those wait
 * for more than is left it is less than what it needs already: it keeps that, and starts nothing.
 */
export function shareMillicores(own: CoreClaim, others: readonly CoreClaim[], totalMillicores: number): number {
  let share = totalMillicores;
  for (const other of others) {
    share -= other.neededMillicores;
    if (other.wantedMillicores > 0 && comesBefore(other, own)) share -= other.wantedMillicores;
  }
  return share;
}
