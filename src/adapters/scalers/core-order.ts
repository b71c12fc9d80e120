/*
 * Which cores each model of a process is pinned to. Every open scaler has an order of its own, and an allocation of n
 * cores is the first n of it. A new order begins with the cores that the others use last, so that small allocations of
 * several models do not meet while there are as many cores as models.
 */

/** Of the open scalers of this process. */
const openOrders = new Set<readonly number[]>();

export interface CoreOrder {
  readonly cpus: readonly number[];
  /** Leaves the cores to orders made later. Safe to call twice. */
  release(): void;
}

/**
 * The `count` best of the cores: those that the fewest others use first, of these the ones that the fewest use second,
 * and so on; of equals the highest number, because device interrupts mostly arrive on the lowest ones.
 */
export function claimCoreOrder(cpus: readonly number[], count: number): CoreOrder {
  // With a base above their number, all later places together weigh less than one earlier place.
  const base = openOrders.size + 1;
  const pressure = new Map(cpus.map((cpu) => [cpu, 0]));
  for (const order of openOrders) {
    for (const [place, cpu] of order.entries()) pressure.set(cpu, (pressure.get(cpu) ?? 0) + base ** -place);
  }
  const bestFirst = [...cpus].sort((a, b) => pressure.get(a)! - pressure.get(b)! || b - a);
  const order = bestFirst.slice(0, count);
  openOrders.add(order);
  return { cpus: order, release: () => void openOrders.delete(order) };
}
