import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { BudgetSample, SAMPLE_SIZE } from './budget-sample.js';

function sampleOf(budgetsMs: readonly number[]): BudgetSample {
  const sample = new BudgetSample();
  for (const budgetMs of budgetsMs) sample.observe(budgetMs);
  return sample;
}

describe('the budgets of late', () => {
  it('lose nobody whose budget outlasts the batch and a run alone', () => {
    expect(sampleOf([500, 600]).lostMs(300, 100)).toBe(0);
    expect(new BudgetSample().lostMs(300, 100)).toBe(0);
  });

  it('lose those who come too early in a batch that runs longer than they can wait', () => {
    // 250 ms last only if no more than 150 are left of the batch: the first 150 of 300 are lost, for every other request
    expect(sampleOf([250, 1000]).lostMs(300, 100)).toBe((150 + 0) / 2);
  });

  it('lose by this batch nobody who cannot even be met alone at any time', () => {
    expect(sampleOf([50, 1000]).lostMs(300, 100)).toBe(0);
  });

  it('forget what is long past', () => {
    const sample = sampleOf([150]);
    for (let i = 0; i < SAMPLE_SIZE; i++) sample.observe(1000);
    expect(sample.lostMs(300, 100)).toBe(0);
  });

  it('have quantiles', () => {
    expect(sampleOf([400, 100, 300, 200]).quantileMs(0.25)).toBe(200);
    expect(new BudgetSample().quantileMs(0.2)).toBe(Infinity);
  });

  it('are what a plain sum over the latest ones says', () => {
    const ms = fc.double({ min: -200, max: 2000, noNaN: true });
    fc.assert(
      fc.property(
        fc.array(ms, { minLength: 1, maxLength: 2 * SAMPLE_SIZE }),
        fc.double({ min: 0, max: 1500, noNaN: true }),
        ms,
        (all, runMs, aloneMs) => {
          const latest = all.slice(-SAMPLE_SIZE);
          const plain = latest.map((budgetMs) => (budgetMs < aloneMs ? 0 : Math.max(0, runMs + aloneMs - budgetMs)));
          const expected = plain.reduce((sum, each) => sum + each, 0) / latest.length;
          expect(sampleOf(all).lostMs(runMs, aloneMs)).toBeCloseTo(expected, 6);
        },
      ),
    );
  });
});
