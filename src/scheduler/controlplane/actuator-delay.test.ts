import { describe, expect, it } from 'vitest';
import { ActuatorDelay } from './actuator-delay.js';

function observing(delay: ActuatorDelay, ...tookMs: readonly number[]): ActuatorDelay {
  for (const each of tookMs) delay.observe(each);
  return delay;
}

describe('the delay of resizes', () => {
  it('is what the scaler expects until five resizes say otherwise', () => {
    const delay = observing(new ActuatorDelay(0.1), 900, 1100, 1000, 1200);
    expect([delay.typicalMs, delay.isSlow]).toEqual([0.1, false]);
    observing(delay, 800);
    expect([delay.typicalMs, delay.isSlow]).toEqual([800, true]);
  });

  it('is not moved by outliers', () => {
    const delay = new ActuatorDelay(0.1);
    for (let i = 0; i < 30; i++) observing(delay, 0.1, 0.1, 40);
    expect(delay.isSlow).toBe(false);
  });

  it('does not change its regime to and fro around the limit', () => {
    const delay = observing(new ActuatorDelay(10), 4, 4, 4, 4, 4, 4);
    expect([delay.typicalMs, delay.isSlow]).toEqual([4, true]);
    observing(delay, 1, 1, 1, 1, 1);
    expect(delay.isSlow).toBe(false);
    observing(delay, 4, 4, 4, 4, 4);
    expect(delay.isSlow).toBe(false);
  });
});
