import { describe, expect, it } from 'vitest';
import { VirtualClock } from '../../scheduler/clock/virtual-clock.js';
import type { BudgetMember } from '../../scheduler/controlplane/core-budget.js';
import { createNode, type Node } from '../../scheduler/node.js';
import { StartingCores } from './starting-cores.js';

const LIMITS = { minMillicores: 200, maxMillicores: 4000, stepMillicores: 100 };

class Bench {
  readonly node: Node = createNode({ clock: new VirtualClock(), budgetMillicores: 4000 });
  nowMs = 0;

  starting(instances = 1, isShared = true): StartingCores {
    return new StartingCores({ node: this.node, isShared, idleMillicores: 10, instances, nowMs: () => this.nowMs });
  }

  /** A model that is served, with so much in use and so much wanted. */
  served(heldMillicores: number, wantedMillicores = 0): BudgetMember & { readonly told: string[] } {
    const told: string[] = [];
    const member = {
      told,
      holders: [{ heldMillicores }],
      claim: { neededMillicores: heldMillicores, wantedMillicores, dueAtMs: 500 },
      nextFreeAtMs: Infinity,
      lastBusyAtMs: -Infinity,
      restingMillicores: 10,
      startingMillicores: 0,
      release: () => void told.push('release'),
      retry: () => void told.push('retry'),
    };
    this.node.budget.join(member, 0);
    return member;
  }
}

/** What it resolved to; null while it has not. */
function got(acquired: Promise<number>): Promise<number | null> {
  return Promise.race([acquired, new Promise<null>((fulfil) => setImmediate(fulfil, null))]);
}

describe('the cores of a model that is started', () => {
  it('load it on one of them, or half of what there is; on all where it is alone', () => {
    expect(new Bench().starting().loadingMillicores(LIMITS)).toBe(1000);
    expect(new Bench().starting().loadingMillicores({ ...LIMITS, maxMillicores: 1750 })).toBe(800);
    expect(new Bench().starting().loadingMillicores({ ...LIMITS, maxMillicores: 300 })).toBe(200);
    expect(new Bench().starting(1, false).loadingMillicores(LIMITS)).toBe(4000);
  });

  it('are at most what the others, and its own instances to come, do not rest on', () => {
    const bench = new Bench();
    bench.starting(3);
    // 3 · 10 of the other, and 10 of its own second one
    expect(bench.starting(2).mostMillicores).toBe(4000 - 30 - 10);
  });

  it('are waited for while others hold them, and had as soon as those give them up', async () => {
    const bench = new Bench();
    const [first, second] = [bench.starting(), bench.starting()];
    expect(await got(first.acquire(4000))).toBe(3990);
    first.keep(3990);
    const waiting = second.acquire(1000);
    expect(await got(waiting)).toBeNull();
    first.keep(10);
    expect(await got(waiting)).toBe(1000);
    expect(bench.node.budget.roomFor({ heldMillicores: 0 })).toBe(4000 - 10 - 1000);
  });

  it('are had from who leaves', async () => {
    const bench = new Bench();
    const [first, second] = [bench.starting(), bench.starting()];
    await first.acquire(3990);
    const waiting = second.acquire(4000);
    first.leave();
    expect(await got(waiting)).toBe(4000);
  });

  it('wait like a request that is due in a second, and ask those that hold some to give them up', () => {
    const bench = new Bench();
    const served = bench.served(3900);
    bench.nowMs = 5000;
    const starting = bench.starting();
    void starting.acquire(1000);
    expect(served.told).toEqual(['release']);
    expect(starting.claim).toMatchObject({ neededMillicores: 0, wantedMillicores: 1000, dueAtMs: 6000 });
  });

  it('come before those of all others after that second, who would else never leave enough at once', () => {
    const bench = new Bench();
    // Below its floor, which is half of the cores.
    const served = bench.served(500, 4000);
    void bench.starting().acquire(4000);
    bench.nowMs = 999;
    expect(bench.node.budget.shareOf(served, 500)).toBe(4000);
    bench.nowMs = 1000;
    expect(bench.node.budget.shareOf(served, 500)).toBe(4000 - 3990);
  });

  it('are waited for four times as long as they are worked on, so that many steps take no longer than few', async () => {
    const bench = new Bench();
    const starting = bench.starting();
    await starting.acquire(4000); // at once, so the first second is still owed
    bench.served(3990);
    starting.keep(0);
    bench.nowMs = 5000;
    void starting.acquire(4000);
    expect(starting.claim.dueAtMs).toBe(6000);
  });

  it('have nobody make way while another model that is started holds what is lacking', async () => {
    const bench = new Bench();
    const served = bench.served(500, 4000);
    const [loading, starting] = [bench.starting(), bench.starting()];
    await loading.acquire(1000);
    void starting.acquire(4000);
    bench.nowMs = 5000;
    // Its own 500, and the 2500 that nobody has.
    expect(bench.node.budget.shareOf(served, 500)).toBe(3000);
    loading.keep(10);
    // 3980 are wanted: of 4000 without what two others rest on.
    expect(bench.node.budget.shareOf(served, 500)).toBe(4000 - 10 - 3980);
  });

  it('are wanted back by a model that is served, not by another one that is started', async () => {
    const bench = new Bench();
    const starting = bench.starting();
    let wanted = 0;
    starting.onWanted = () => (wanted += 1);
    await starting.acquire(3000);
    void bench.starting().acquire(2000);
    expect(wanted).toBe(0);
    bench.node.budget.reclaim(bench.served(10, 2000));
    expect(wanted).toBe(1);
  });
});
