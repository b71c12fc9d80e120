import { describe, expect, it } from 'vitest';
import { aRequest, finished, infeasible } from '../../../../test/fixtures/events.js';
import { arrival, arrivals } from '../../../../test/fixtures/planner-views.js';
import { RecentLoad } from './recent-load.js';

function loadOf(events: readonly ReturnType<typeof arrival>[]): RecentLoad {
  const load = new RecentLoad();
  for (const event of events) load.observe(event);
  return load;
}

describe('recent load', () => {
  it('is nothing before any traffic', () => {
    const load = loadOf([]);
    expect([load.peakRatePerSec(0), load.largestNetworkDelayMs(0)]).toEqual([0, 0]);
    expect(load.peakRatePerSec(123_456)).toBe(0);
  });

  it('has the rate of the busiest of the last five seconds, and of the one that has begun', () => {
    const load = loadOf([...arrivals(0, 20), ...arrivals(1000, 30), ...arrivals(2000, 10)]);
    expect(load.peakRatePerSec(3000)).toBe(30);
    // Second 1 is the last of five until 7000.
    expect(load.peakRatePerSec(6999)).toBe(30);
    expect(load.peakRatePerSec(7000)).toBe(10);
    expect(load.peakRatePerSec(8000)).toBe(0);
    for (const event of arrivals(8000, 40).slice(0, 25)) load.observe(event);
    expect(load.peakRatePerSec(8700)).toBe(25);
  });

  it('has the largest network delay of the same seconds', () => {
    const load = loadOf([arrival(500, 300), arrival(1500, 80)]);
    expect(load.largestNetworkDelayMs(2000)).toBe(300);
    expect(load.largestNetworkDelayMs(6000)).toBe(80);
    expect(load.largestNetworkDelayMs(60_000)).toBe(0);
  });

  it('may begin before 0', () => {
    const load = loadOf([arrival(-1500), arrival(-1400), arrival(-200)]);
    expect([-100, 0, 3999, 4000, 5000].map((nowMs) => load.peakRatePerSec(nowMs))).toEqual([2, 2, 2, 1, 0]);
  });

  it('counts what arrives, whatever becomes of it', () => {
    const load = loadOf([arrival(0)]);
    load.observe(finished(1, infeasible(), aRequest()));
    expect(load.peakRatePerSec(1000)).toBe(1);
  });
});
