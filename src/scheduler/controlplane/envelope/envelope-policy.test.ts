import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { EnvelopePolicy, type EnvelopeRules } from './envelope-policy.js';

const RULES: EnvelopeRules = {
  leastMillicores: 200,
  mostMillicores: 4000,
  stepMillicores: 100,
  reserveMillicores: 250,
  holdMs: 1000,
  rate: { perSec: 1, burst: 3 },
};

function policy(rules: Partial<EnvelopeRules> = {}, limitMillicores = 500): EnvelopePolicy {
  return new EnvelopePolicy(0, limitMillicores, { ...RULES, ...rules });
}

/** Asks for what is needed, as far as it may now, and has it in force. @returns the limit asked for; null for none */
function ask(of: EnvelopePolicy, nowMs: number, neededMillicores: number): number | null {
  of.need(nowMs, neededMillicores);
  const step = of.decide(nowMs);
  if (step.kind === 'wait') return null;
  of.noteAsked(nowMs, step.limitMillicores);
  of.noteAccepted();
  return step.limitMillicores;
}

describe('the limit that is asked for', () => {
  it('is what is needed and the reserve, in whole steps, at once', () => {
    // 1010 + 250 = 1260 → 1300
    expect(ask(policy(), 0, 1010)).toBe(1300);
  });

  it('is no more than there is, and no less than the request that stays', () => {
    expect(ask(policy(), 0, 9000)).toBe(4000);
    const of = policy({ holdMs: 0 }, 1000);
    expect(ask(of, 0, 0)).toBe(300); // the reserve, in whole steps
    expect(ask(policy({ holdMs: 0, reserveMillicores: 0 }, 1000), 0, 0)).toBe(200);
  });

  it('is smaller once no more was needed for a while, and worth a write', () => {
    const of = policy({}, 2000);
    expect(ask(of, 0, 1750)).toBeNull();
    expect(ask(of, 100, 500)).toBeNull();
    expect(of.decide(100)).toEqual({ kind: 'wait', untilMs: 1100 });
    expect(ask(of, 1100, 500)).toBe(800);
    // 800 → 750 is less than a step.
    expect(ask(of, 9000, 460)).toBeNull();
  });

  it('keeps one resize for growth, and comes no faster than the rate', () => {
    const of = policy({ holdMs: 0 });
    expect([ask(of, 0, 1000), ask(of, 0, 2000)]).toEqual([1300, 2300]);
    // One of three is left.
    expect(ask(of, 0, 100)).toBeNull();
    expect(ask(of, 0, 3000)).toBe(3300);
    expect(ask(of, 0, 3700)).toBeNull();
    expect(of.decide(0)).toEqual({ kind: 'wait', untilMs: 1000 });
    expect(ask(of, 999, 3700)).toBeNull();
    expect(ask(of, 1000, 3700)).toBe(4000);
  });

  it('over any time is asked for no oftener than the rate and the burst allow, and always within the limits', () => {
    fc.assert(
      fc.property(
        fc.array(fc.record({ afterMs: fc.nat(400), needed: fc.nat(6000), isInForce: fc.boolean() }), { maxLength: 80 }),
        (events) => {
          const of = policy({ holdMs: 200 });
          let nowMs = 0;
          let asked = 0;
          for (const { afterMs, needed, isInForce } of events) {
            nowMs += afterMs;
            const limit = ask(of, nowMs, needed);
            if (isInForce) of.noteInForce(of.wishedMillicores);
            if (limit === null) continue;
            asked += 1;
            expect(limit).toBeGreaterThanOrEqual(RULES.leastMillicores);
            expect(limit).toBeLessThanOrEqual(RULES.mostMillicores);
            expect(limit % RULES.stepMillicores).toBe(0);
          }
          expect(asked).toBeLessThanOrEqual(RULES.rate.burst + (RULES.rate.perSec * nowMs) / 1000);
        },
      ),
    );
  });

  it('is enough in the end, whatever was needed before', () => {
    fc.assert(
      fc.property(fc.array(fc.nat(3700), { minLength: 1, maxLength: 30 }), (needs) => {
        const of = policy();
        needs.forEach((needed, index) => ask(of, index * 10, needed));
        const last = needs.at(-1)!;
        for (let nowMs = 1000; nowMs < 20_000; nowMs += 500) {
          ask(of, nowMs, last);
          of.noteInForce(of.wishedMillicores);
        }
        expect(of.availableMillicores).toBeGreaterThanOrEqual(Math.min(last, 3750));
        // And no more than a step, or a tenth, above it.
        const target = Math.max(200, Math.ceil((last + 250) / 100) * 100);
        expect(of.inForceMillicores - target).toBeLessThan(Math.max(100, 0.1 * of.inForceMillicores) + 1);
      }),
    );
  });
});

describe('a deferred resize', () => {
  it('leaves what is in force, and stands while all of it is used', () => {
    const of = policy({ holdMs: 0 }, 1000);
    expect(ask(of, 0, 2000)).toBe(2300);
    of.noteDeferred();
    expect(of.trouble(10)).toBe('deferred');
    expect(of.reachableMillicores(10)).toBe(750);
    // Plans ask for what can be had now.
    expect(ask(of, 20, 750)).toBeNull();
    expect(of.wishedMillicores).toBe(2300);
    of.noteInForce(2300);
    expect(of.trouble(30)).toBeNull();
    expect(of.reachableMillicores(30)).toBe(3750);
  });

  it('is taken back where less would do', () => {
    const of = policy({ holdMs: 0 }, 1000);
    ask(of, 0, 2000);
    of.noteDeferred();
    expect(ask(of, 20, 300)).toBe(600);
    of.noteInForce(600);
    expect(of.trouble(30)).toBeNull();
  });
});

describe('an infeasible resize', () => {
  it('is not asked for again; what lies between is searched by halves, and the wish is taken back', () => {
    const of = policy({ rate: { perSec: 100, burst: 100 }, holdMs: 0 }, 1000);
    const asked: (number | null)[] = [];
    for (let i = 0; i < 10; i++) {
      const limit = ask(of, i * 1000, 3700);
      asked.push(limit);
      if (limit === null) break;
      if (limit <= 1700) of.noteInForce(limit);
      else of.noteInfeasible(i * 1000);
    }
    // 4000: no. 1000 + 1500 = 2500: no. 1000 + 750 → 1700: yes. 1700 + 400 = 2100: no. 1900: no. 1800: no. Back to 1700.
    expect(asked).toEqual([4000, 2500, 1700, 2100, 1900, 1800, 1700, null]);
    expect(of.trouble(9000)).toBe('infeasible');
    expect(of.reachableMillicores(9000)).toBe(1450);
    expect(ask(of, 60_000, 3700)).toBeNull();
  });

  it('is forgotten when somebody else changed something, or after ten minutes', () => {
    const impossible = (): EnvelopePolicy => {
      const of = policy({ rate: { perSec: 100, burst: 100 }, mostMillicores: 1100, holdMs: 0 }, 1000);
      expect(ask(of, 0, 850)).toBe(1100);
      of.noteInfeasible(0);
      expect(ask(of, 10, 850)).toBe(1000);
      expect(ask(of, 20, 850)).toBeNull();
      return of;
    };
    const changed = impossible();
    changed.noteOthers(1000, 900);
    changed.noteInForce(900);
    expect(ask(changed, 1010, 850)).toBe(1100);
    const later = impossible();
    expect(ask(later, 599_000, 850)).toBeNull();
    expect(ask(later, 600_000, 850)).toBe(1100);
  });
});

describe('a resize that cannot be asked for', () => {
  it('is asked for again after pauses that double, and what there is stays', () => {
    const of = policy({ rate: { perSec: 100, burst: 100 } });
    let nowMs = 0;
    const pauses: number[] = [];
    for (let i = 0; i < 9; i++) {
      of.need(nowMs, 2000);
      expect(of.decide(nowMs)).toEqual({ kind: 'resize', limitMillicores: 2300 });
      of.noteAsked(nowMs, 2300);
      of.noteFailed(nowMs, 'unreachable', null);
      expect(of.reachableMillicores(nowMs)).toBe(250);
      const step = of.decide(nowMs);
      if (step.kind === 'resize') throw new Error('at once');
      pauses.push((step.untilMs - nowMs) / 1000);
      nowMs = step.untilMs;
      // Plans may count on it again: whether it can be had is found out by asking.
      expect([of.reachableMillicores(nowMs), of.failure]).toEqual([3750, 'unreachable']);
    }
    expect(pauses).toEqual([1, 2, 4, 8, 16, 32, 60, 60, 60]);
    expect(ask(of, nowMs, 2000)).toBe(2300);
    expect([of.trouble(nowMs), of.failure]).toEqual([null, null]);
  });

  it('waits for as long as it is asked to', () => {
    const of = policy();
    of.need(0, 2000);
    of.noteAsked(0, 2300);
    of.noteFailed(0, 'refused', 7000);
    expect(of.decide(0)).toEqual({ kind: 'wait', untilMs: 7000 });
  });
});

describe('a limit that somebody else sets', () => {
  it('is overruled where it is too little, and left alone after the third time', () => {
    const of = policy({ holdMs: 0 });
    ask(of, 0, 1000);
    of.noteInForce(1300);
    of.noteOthers(1000, 700);
    of.noteInForce(700);
    expect(ask(of, 1001, 1000)).toBe(1300);
    of.noteOthers(2000, 700);
    expect(ask(of, 3000, 1000)).toBe(1300);
    of.noteOthers(4000, 700);
    of.noteInForce(700);
    expect(of.trouble(4000)).toBe('contested');
    expect(of.reachableMillicores(4000)).toBe(450);
    expect(ask(of, 5000, 3000)).toBeNull();
    expect(of.decide(5000)).toEqual({ kind: 'wait', untilMs: 304_000 });
    expect(ask(of, 304_000, 1000)).toBe(1300);
  });
});
