import { describe, expect, it } from 'vitest';
import { Caution } from './caution.js';

describe('the caution of the door', () => {
  it('grows with the share of the work that was done for nothing, and goes with what is answered in time', () => {
    const caution = new Caution();
    expect(caution.factor).toBe(1);
    caution.lost(1);
    caution.lost(0.4);
    expect(caution.factor).toBeCloseTo(1 + 0.05 + 0.02);
    // One in 1/0.003 may be lost: 333 answers undo one loss.
    for (let answer = 0; answer < 333; answer++) caution.answered();
    expect(caution.factor).toBeCloseTo(1.02, 3);
  });

  it('is never less than none, nor more than three times', () => {
    const caution = new Caution();
    caution.answered();
    expect(caution.factor).toBe(1);
    for (let loss = 0; loss < 1000; loss++) caution.lost(1);
    expect(caution.factor).toBe(3);
  });

  it('is not changed by those for whom nothing was done', () => {
    const caution = new Caution();
    caution.lost(0);
    expect(caution.factor).toBe(1);
  });
});
