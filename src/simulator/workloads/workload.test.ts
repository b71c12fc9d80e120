import { describe, expect, it } from 'vitest';
import { BandwidthTrace } from './bandwidth-trace.js';
import { generateWorkload, type NetworkSpec, type Workload, type WorkloadSpec } from './workload.js';

const FAST_THEN_SLOW = BandwidthTrace.even(1000, [1000, 100]);

function workload(network: NetworkSpec, overrides: Partial<WorkloadSpec> = {}, seed = 1): Workload {
  return generateWorkload(
    {
      durationMs: 2000,
      arrivals: { kind: 'constant', ratePerSec: 2 },
      payloads: [{ bytes: 100_000, sloMs: 1000, weight: 1 }],
      network,
      leavingFraction: 0,
      ...overrides,
    },
    seed,
  );
}

function applied(overrides: Partial<Extract<NetworkSpec, { mode: 'applied' }>> = {}): NetworkSpec {
  return { mode: 'applied', traces: [FAST_THEN_SLOW], propagationMs: 0, replyBytes: 0, clocks: null, ...overrides };
}

describe('a workload with its delays applied', () => {
  it('is received when the bandwidth has let it through, and what that took is off the budget', () => {
    const { sentAtMs, receivedAtMs, networkDelayMs, dueAtMs, latestFinishAtMs } = workload(applied());
    expect([...sentAtMs]).toEqual([250, 750, 1250, 1750]);
    // 100 KB: 100 ms at 1000 bytes/ms; at 100 bytes/ms only 75 and 25 KB until 2000, then 25 and 75 KB at 1000
    expect([...receivedAtMs]).toEqual([350, 850, 2025, 2075]);
    expect([...networkDelayMs]).toEqual([100, 100, 775, 325]);
    expect([...dueAtMs]).toEqual([1250, 1750, 2250, 2750]);
    expect([...latestFinishAtMs]).toEqual([1250, 1750, 2250, 2750]);
  });

  it('lets requests overtake each other, and lists them as they are received', () => {
    const spread = workload(applied({ traces: [BandwidthTrace.even(100_000, [100])] }), {
      payloads: [{ bytes: [1000, 100_000], sloMs: 1000, weight: 1 }],
      arrivals: { kind: 'poisson', ratePerSec: 50 },
    });
    const { receivedAtMs, sentAtMs } = spread;
    expect([...receivedAtMs]).toEqual([...receivedAtMs].sort((a, b) => a - b));
    expect([...sentAtMs]).not.toEqual([...sentAtMs].sort((a, b) => a - b));
  });

  it('leaves so much earlier to finish as the reply takes, which the server comes to expect', () => {
    const withReplies = workload(applied({ replyBytes: 50_000 }));
    // sent at 250: the answer has to be there at 1250; from 1000 on 100 bytes/ms: 25 KB then, 25 KB at 1000 before
    expect(withReplies.latestFinishAtMs[0]).toBeCloseTo(975, 6);
    expect(withReplies.replyEndAtMs(0, 975)).toBeCloseTo(1250, 6);
    // nothing is known of the first request's client; then 1000 bytes/ms
    expect([...withReplies.replyReserveMs.slice(0, 2)]).toEqual([0, 50]);
  });

  it('has a delay that the server cannot see, unless clients stamp what they send', () => {
    const arrivals = { kind: 'constant', ratePerSec: 20 } as const;
    const unseen = workload(applied({ propagationMs: 30 }), { arrivals });
    expect(unseen.receivedAtMs[0]! - unseen.sentAtMs[0]!).toBe(130);
    expect(unseen.networkDelayMs[0]).toBe(100);
    expect(unseen.latestFinishAtMs[0]).toBe(unseen.dueAtMs[0]! - 60);
    expect(new Set(unseen.networkDelaySources)).toEqual(new Set(['transfer']));
    // A clock that is hours off does not matter, but what one way takes longer than it did at best is seen.
    const jitter = { propagationMs: [30, 300], clocks: { offsetMs: 9e6, driftPpm: 0 } } as const;
    const stamped = workload(applied(jitter), { arrivals });
    expect(new Set(stamped.networkDelaySources)).toEqual(new Set(['transfer', 'send_stamp']));
    stamped.networkDelayMs.forEach((delayMs, i) => {
      expect(delayMs).toBeLessThanOrEqual(stamped.receivedAtMs[i]! - stamped.sentAtMs[i]! + 1e-6);
    });
  });
});

describe('a workload as the authors released it', () => {
  it('takes whole milliseconds off the SLO and waits for nothing', () => {
    const network: NetworkSpec = { mode: 'subtracted', traces: [BandwidthTrace.even(1000, [1500.7, 333.9])] };
    const { receivedAtMs, sentAtMs, networkDelayMs, dueAtMs } = workload(network);
    expect([...receivedAtMs]).toEqual([...sentAtMs]);
    // ⌊1000 − 100 000 / 1500⌋ = 933 and ⌊1000 − 100 000 / 333⌋ = 699
    expect([...networkDelayMs]).toEqual([67, 67, 301, 301]);
    expect([...dueAtMs]).toEqual([1183, 1683, 1949, 2449]);
  });

  it('never takes off more than there is', () => {
    const network: NetworkSpec = { mode: 'subtracted', traces: [BandwidthTrace.even(1000, [0.5, 40])] };
    expect([...workload(network).networkDelayMs]).toEqual([1000, 1000, 1000, 1000]);
  });
});

describe('any workload', () => {
  it('is the same for the same seed and another for another', () => {
    const spec = { arrivals: { kind: 'poisson', ratePerSec: 20 } } as const;
    expect(workload(applied(), spec, 3).receivedAtMs).toEqual(workload(applied(), spec, 3).receivedAtMs);
    expect(workload(applied(), spec, 3).receivedAtMs).not.toEqual(workload(applied(), spec, 4).receivedAtMs);
  });

  it('draws payloads by their weights', () => {
    const { bytes, count } = workload(
      { mode: 'none' },
      {
        durationMs: 100_000,
        arrivals: { kind: 'constant', ratePerSec: 100 },
        payloads: [
          { bytes: 1, sloMs: 1, weight: 3 },
          { bytes: 2, sloMs: 1, weight: 1 },
        ],
      },
    );
    expect(bytes.filter((each) => each === 1).length / count).toBeCloseTo(0.75, 1);
  });

  it('lets a share of the clients leave before their SLO is over', () => {
    const { leavesAtMs, sentAtMs, count } = workload(
      { mode: 'none' },
      { durationMs: 100_000, arrivals: { kind: 'constant', ratePerSec: 100 }, leavingFraction: 0.1 },
    );
    const leaving = [...leavesAtMs.keys()].filter((i) => leavesAtMs[i]! < Infinity);
    expect(leaving.length / count).toBeCloseTo(0.1, 1);
    for (const i of leaving) expect(leavesAtMs[i]! - sentAtMs[i]!).toBeLessThanOrEqual(1000);
  });
});
