import { describe, expect, it } from 'vitest';
import { ReceiveBudget } from './receive-budget.js';

describe('the receive budget', () => {
  it('is shared by all calls, and refuses what is no longer left', () => {
    const budget = new ReceiveBudget(100);
    const [first, second] = [budget.open(), budget.open()];
    expect(first.take(60)).toBe(true);
    expect(second.take(41)).toBe(false);
    expect(second.take(40)).toBe(true);
    expect(budget.takenBytes).toBe(100);
  });

  it('has room again for what was given back, and for all of it after a release', () => {
    const budget = new ReceiveBudget(100);
    const receipt = budget.open();
    receipt.take(100);
    receipt.give(30);
    expect(budget.takenBytes).toBe(70);
    receipt.release();
    receipt.release();
    expect(budget.takenBytes).toBe(0);
  });

  it('never gets back more than was taken, and gives nothing to a call that is over', () => {
    const budget = new ReceiveBudget(100);
    const [receipt, other] = [budget.open(), budget.open()];
    other.take(50);
    receipt.take(10);
    receipt.give(20);
    expect(budget.takenBytes).toBe(50);
    receipt.release();
    expect(receipt.take(1)).toBe(false);
    expect(budget.takenBytes).toBe(50);
  });
});
