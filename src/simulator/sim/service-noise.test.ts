import { describe, expect, it } from 'vitest';
import { Prng } from '../../scheduler/random/prng.js';
import { meanMultiplier, ServiceNoise, slownessAt } from './service-noise.js';

const CALM = { slowSpells: [], drifts: [] };

describe('service noise', () => {
  it('is a factor of median 1 whose mean is e^(σ²/2), and remembers the least', () => {
    const noise = new ServiceNoise(0.07, CALM, new Prng(1));
    const draws = Array.from({ length: 20_000 }, () => noise.draw(0)).sort((a, b) => a - b);
    expect(draws[10_000]).toBeCloseTo(1, 2);
    expect(draws.reduce((sum, draw) => sum + draw, 0) / draws.length).toBeCloseTo(meanMultiplier(0.07), 3);
    expect(noise.least).toBe(draws[0]);
  });

  it('multiplies slow spells with drift, and drift grows evenly', () => {
    const state = {
      slowSpells: [{ atMs: 100, forMs: 100, factor: 2 }],
      drifts: [{ atMs: 100, overMs: 200, factor: 1.4 }],
    };
    expect(slownessAt(state, 99)).toBe(1);
    // 2 × (1 + 0.25 × 0.4) at 150; 1 + 0.5 × 0.4 at 200; 1.4 in the end
    expect(slownessAt(state, 150)).toBeCloseTo(2.2, 12);
    expect(slownessAt(state, 200)).toBeCloseTo(1.2, 12);
    expect(slownessAt(state, 5000)).toBeCloseTo(1.4, 12);
  });

  it('steps at once where drift takes no time', () => {
    const state = { slowSpells: [], drifts: [{ atMs: 100, overMs: 0, factor: 1.3 }] };
    expect([99.9, 100].map((atMs) => slownessAt(state, atMs))).toEqual([1, 1.3]);
  });
});
