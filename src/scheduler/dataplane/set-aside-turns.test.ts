import { describe, expect, it } from 'vitest';
import { SetAsideTurns } from './set-aside-turns.js';

/** Runs batches of 10 ms for so long, set-aside ones when it is their turn; all were due at 0. @returns when those ran */
function turnsIn(durationMs: number, turns = new SetAsideTurns()): number[] {
  const ran: number[] = [];
  for (let nowMs = 0; nowMs < durationMs; nowMs += 10) {
    if (turns.isNext(nowMs, 0)) {
      ran.push(nowMs);
      turns.setAsideRan(nowMs, 10);
    } else turns.othersRan(10);
  }
  return ran;
}

describe('the turns of what is set aside', () => {
  it('come once the first of it is overdue for five seconds', () => {
    expect(turnsIn(5000)).toEqual([]);
    expect(turnsIn(5010)).toEqual([5000]);
  });

  it('are a twentieth of the time', () => {
    // After 5 s that owe 263 ms, what is owed is made up for batch by batch; from then on one in twenty.
    const late = turnsIn(60_000).filter((nowMs) => nowMs >= 20_000);
    expect(late).toHaveLength(200); // 40 s / 10 ms / 20
  });

  it('are not earned by batches that ran while nobody had to wait for them', () => {
    const turns = new SetAsideTurns();
    turns.setAsideRan(9000, 10);
    turns.othersRan(100_000);
    turns.nothingWaits();
    expect(turns.isNext(10_000, 0)).toBe(false);
    turns.othersRan(191);
    expect(turns.isNext(10_000, 0)).toBe(true);
  });

  it('are owed to others for the last batch that they had themselves, and for no other', () => {
    const turns = new SetAsideTurns();
    // Nobody else was there.
    for (let run = 0; run < 1000; run++) turns.setAsideRan(9000, 10);
    turns.othersRan(189);
    expect(turns.isNext(10_000, 0)).toBe(false);
    turns.othersRan(2); // 10 ms · 95 / 5 = 190
    expect(turns.isNext(10_000, 0)).toBe(true);
  });

  it('come every ten seconds where hardly anything of the model runs', () => {
    const turns = new SetAsideTurns();
    turns.setAsideRan(10_000, 500);
    turns.othersRan(100);
    expect([turns.isNext(19_999, 0), turns.isNext(20_000, 0)]).toEqual([false, true]);
  });
});
