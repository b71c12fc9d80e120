import { describe, expect, it } from 'vitest';
import { batchEnded } from '../../../test/fixtures/events.js';
import { WorkerHealth } from './worker-health.js';

/** Dies at each of these instants, and is ready again 100 ms later. */
function healthAfter(...diedAtMs: number[]): WorkerHealth {
  const health = new WorkerHealth();
  for (const atMs of diedAtMs) {
    health.observe({ kind: 'worker-lost', atMs, message: 'killed', restartEstimateMs: 100 });
    health.observe({ kind: 'worker-ready', atMs: atMs + 100 });
  }
  return health;
}

describe('a model', () => {
  it('is not ready while its worker is away, and says why', () => {
    const health = new WorkerHealth();
    expect(health.reasonNotReady(0)).toBe('');
    health.observe({ kind: 'worker-lost', atMs: 1, message: 'killed', restartEstimateMs: 100 });
    expect(health.reasonNotReady(2)).toBe('the worker is restarting: killed');
    health.observe({ kind: 'worker-ready', atMs: 100 });
    expect(health.reasonNotReady(100)).toBe('');
  });
});

describe('a crash loop', () => {
  it('begins with the third death in a row, and ends when the worker was up for 5 s', () => {
    expect(healthAfter(0, 200).reasonNotReady(300)).toBe('');
    const health = healthAfter(0, 200, 400);
    expect(health.reasonNotReady(501)).toMatch(/died \d+ times/);
    expect(health.reasonNotReady(5499)).toMatch(/died \d+ times/);
    expect(health.reasonNotReady(5500)).toBe('');
  });

  it('is none where deaths lie 5 s apart, or something was served between them', () => {
    expect(healthAfter(0, 5100, 10_200, 15_300).reasonNotReady(15_400)).toBe('');
    const health = healthAfter(0, 200);
    health.observe(batchEnded({ result: 'completed' }));
    health.observe({ kind: 'worker-lost', atMs: 400, message: 'killed', restartEstimateMs: 100 });
    health.observe({ kind: 'worker-ready', atMs: 500 });
    expect(health.reasonNotReady(501)).toBe('');
  });

  it('counts restarts that fail', () => {
    const health = new WorkerHealth();
    for (const atMs of [0, 20_000, 40_000]) {
      health.observe({ kind: 'worker-lost', atMs, message: 'no memory', restartEstimateMs: 100 });
    }
    health.observe({ kind: 'worker-ready', atMs: 50_000 });
    expect(health.reasonNotReady(50_001)).toMatch(/died \d+ times/);
  });
});
