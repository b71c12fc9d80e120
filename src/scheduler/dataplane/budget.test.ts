import { describe, expect, it } from 'vitest';
import { resolveBudget, type BudgetInputs } from './budget.js';

const inputs = (overrides: Partial<BudgetInputs> = {}): BudgetInputs => ({
  firstByteAtMs: 100,
  receivedAtMs: 100,
  statedBudgetsMs: [],
  defaultSloMs: 1000,
  expectedReplyMs: 0,
  ...overrides,
});

describe('the budget of a request', () => {
  it('takes the transfer that was measured from the stated SLO', () => {
    const budget = resolveBudget(inputs({ receivedAtMs: 180, statedBudgetsMs: [250] }));
    expect(budget).toMatchObject({
      sloMs: 250,
      networkDelayMs: 80,
      networkDelaySource: 'transfer',
      isDeadlineDefaulted: false,
    });
    expect(budget.dueAtMs).toBe(180 + 250 - 80);
  });

  it('charges what the router was late in reading it, and blames the network for the rest only', () => {
    // 300 ms from the first byte to the last, 200 of which the router stood still for.
    const late = { receivedAtMs: 400, statedBudgetsMs: [1000], routerDelayMs: 200 };
    expect(resolveBudget(inputs(late))).toMatchObject({
      networkDelayMs: 100,
      networkDelaySource: 'transfer',
      routerDelayMs: 200,
      dueAtMs: 100 + 1000,
    });
    // 350 ms by its own stamp.
    expect(resolveBudget(inputs({ ...late, sendStampDelayMs: 350 }))).toMatchObject({
      networkDelayMs: 150,
      networkDelaySource: 'send_stamp',
      dueAtMs: 400 + 1000 - 350,
    });
    expect(resolveBudget(inputs({ ...late, statedBudgetsMs: [150] }))).toMatchObject({
      networkDelayMs: 0,
      dueAtMs: 400,
    });
  });

  it('counts the tightest of several stated budgets', () => {
    expect(resolveBudget(inputs({ statedBudgetsMs: [300, 120, 500] })).sloMs).toBe(120);
  });

  it('falls back to the default SLO only when none is stated', () => {
    expect(resolveBudget(inputs())).toMatchObject({ sloMs: 1000, isDeadlineDefaulted: true });
    expect(resolveBudget(inputs({ statedBudgetsMs: [5000] }))).toMatchObject({
      sloMs: 5000,
      isDeadlineDefaulted: false,
    });
  });

  it('charges the largest credible delay and names its source', () => {
    const budget = resolveBudget(
      inputs({ receivedAtMs: 130, statedBudgetsMs: [400], declaredUploadMs: 90, sendStampDelayMs: 60 }),
    );
    expect(budget).toMatchObject({ networkDelayMs: 90, networkDelaySource: 'declared_upload' });
  });

  it('never charges more than the SLO nor less than nothing', () => {
    const spent = resolveBudget(inputs({ statedBudgetsMs: [50], declaredUploadMs: 9000, expectedReplyMs: 20 }));
    expect(spent).toMatchObject({ networkDelayMs: 50, replyReserveMs: 0, dueAtMs: 100 });
    const skewed = resolveBudget(inputs({ statedBudgetsMs: [50], declaredUploadMs: -5, sendStampDelayMs: -70 }));
    expect(skewed).toMatchObject({ networkDelayMs: 0, networkDelaySource: 'none', dueAtMs: 150 });
  });

  it('is exactly nothing where the network took everything, at any instant', () => {
    for (const receivedAtMs of [0.1, 12_345.678_9, 987_654.321]) {
      const budget = resolveBudget(inputs({ receivedAtMs, statedBudgetsMs: [800], declaredUploadMs: 2000 }));
      expect(budget.dueAtMs).toBe(receivedAtMs);
    }
  });

  it('keeps the reply reserve out of the deadline', () => {
    expect(resolveBudget(inputs({ statedBudgetsMs: [50], expectedReplyMs: 8 })).dueAtMs).toBe(100 + 50 - 8);
  });
});
