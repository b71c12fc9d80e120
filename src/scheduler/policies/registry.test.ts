import { describe, expect, it } from 'vitest';
import { builtPolicy, choosePolicy, unitMillicoresOf } from './chosen-policy.js';
import type { PolicySetting } from './declaration.js';
import { POLICIES } from './registry.js';

const SETTING: PolicySetting = {
  limits: { minMillicores: 100, maxMillicores: 4000, stepMillicores: 100 },
  maxBatchSize: 16,
  sloMs: 500,
  instances: 1,
  sharesCores: false,
  replicas: { unitMillicores: 1000, maxInstances: 4 },
};

/** The load is known beforehand. */
const TOLD: PolicySetting = {
  ...SETTING,
  authors: () => ({
    coefficients: { gamma: 40, epsilon: 10, delta: 2, eta: 5 },
    arrivalRatePerSec: 10,
    sloMs: 500,
    maxBatchSize: 16,
  }),
};

const NAMES = Object.keys(POLICIES);

describe('what a policy declares', () => {
  it.each(NAMES)('%s: is so', (name) => {
    const chosen = choosePolicy(name, {});
    const { policy } = builtPolicy(chosen, TOLD);
    const { planner } = policy;
    expect(planner.isEventDriven).toBe(chosen.declaration.isEventDriven ?? false);
    expect(policy.isAllocationFixed).toBe(chosen.scaling.kind === 'fixed');
    expect(policy.dispatch.isDeadlineAware).toBe(chosen.knobs.expiry === 'on');
    // Those that know one instance only are told of no other.
    const several = builtPolicy(chosen, { ...TOLD, instances: 3 });
    expect(several.instances).toBe(chosen.scaling.kind === 'instances' ? 3 : 1);
    expect(several.policy.planner.plansInstances).toBe(chosen.scaling.kind === 'instances');
  });

  it.each(NAMES.filter((name) => POLICIES[name]!.scaling.kind === 'instances'))(
    '%s: a single instance beside other models has an allocation of its own too',
    (name) => {
      const { policy } = builtPolicy(choosePolicy(name, {}), { ...TOLD, sharesCores: true });
      expect(policy.planner.plansInstances).toBe(true);
    },
  );
});

describe('a chosen policy', () => {
  it('has its own parameters, but for those that were given', () => {
    const { parameters, stated, knobs } = choosePolicy('triton', { batch: '4', order: 'edf' });
    expect(parameters).toEqual({ numbers: { cores: 8, batch: 4, waitMs: 100 }, without: 'none', prefer: 'cpu' });
    expect([...stated]).toEqual(['batch', 'order']);
    expect(knobs).toEqual({ order: 'edf', batching: 'delay', admission: 'none', expiry: 'off' });
  });

  it('prefers latency where it knows how', () => {
    expect(choosePolicy('paper', { prefer: 'latency' }).parameters.prefer).toBe('latency');
    expect(() => choosePolicy('paper', { prefer: 'speed' })).toThrow('prefer=speed: give one of cpu, latency');
    expect(() => choosePolicy('vpa', { prefer: 'latency' })).toThrow('policy vpa has no parameter prefer');
  });

  it('has a unit, of a core unless it is said', () => {
    expect(unitMillicoresOf(choosePolicy('fa2-published', { unit: '0.25' }))).toBe(250);
    expect(unitMillicoresOf(choosePolicy('themis', {}))).toBe(1000);
  });

  it('names those of the caller too, to who asks for one that nobody has', () => {
    expect(() => choosePolicy('best', {}, ['best-static'])).toThrow(
      /^no policy is called best; .*, bentoml, best-static$/,
    );
  });

  it('says where it is told a load that nobody knows', () => {
    for (const name of ['released', 'fa2']) {
      expect(() => builtPolicy(choosePolicy(name, {}), SETTING)).toThrow('told the load beforehand');
    }
  });
});
