import { describe, expect, it } from 'vitest';
import { parseScenario } from '../simulator/scenarios/parse-scenario.js';
import { setUp, type ScenarioSetup } from '../simulator/scenarios/setup.js';
import { planLoad, uploadedFraction } from './load-plan.js';

function setUpWith(network: string, arrivals = '{ kind: poisson, ratePerSec: 20 }'): ScenarioSetup {
  const text = `durationSec: 20\narrivals: ${arrivals}\nnetwork: ${network}\nleavingFraction: 0.1`;
  return setUp(parseScenario(text, 's.yaml'), 's.yaml', '.');
}

describe('a load plan', () => {
  it.each(['{ mode: none }', '{ mode: applied, clients: 3, propagationMs: [5, 20] }', '{ mode: subtracted }'])(
    'has the requests that are simulated: %s',
    (network) => {
      const setup = setUpWith(network);
      const workload = setup.workload(7);
      const { requests } = planLoad(setup, 7);
      expect(requests).toHaveLength(workload.count);
      expect(requests.map(({ index }) => index).sort((a, b) => a - b)).toEqual([...workload.sentAtMs.keys()]);
      const firstBytes = requests.map(({ firstByteAtMs }) => firstByteAtMs);
      expect(firstBytes).toEqual(firstBytes.toSorted((a, b) => a - b));
      for (const { index, upload, sloMs, client, leavesAtMs, patienceMs } of requests) {
        expect([upload?.bytes ?? workload.bytes[index], sloMs, client, leavesAtMs]).toEqual([
          workload.bytes[index],
          workload.sloMs[index],
          workload.client[index],
          workload.leavesAtMs[index],
        ]);
        const isSubtracted = network.includes('subtracted');
        expect(patienceMs).toBe(isSubtracted ? sloMs - workload.networkDelayMs[index]! : sloMs);
      }
    },
  );

  it('may be for some clients only', () => {
    const setup = setUpWith('{ mode: applied, clients: 3 }');
    const parts = [0, 1, 2].map((client) => planLoad(setup, 7, (each) => each === client));
    expect(parts.map(({ requestCount }) => requestCount)).toEqual(Array(3).fill(setup.workload(7).count));
    expect(parts.reduce((sum, { requests }) => sum + requests.length, 0)).toBe(setup.workload(7).count);
    parts.forEach(({ requests }, client) => expect(requests.every((each) => each.client === client)).toBe(true));
  });

  it('judges a reply as the simulator does: by the client’s own link', () => {
    const setup = setUpWith('{ mode: applied, clients: 3, propagationMs: [5, 20], replyBytes: 4096 }');
    const workload = setup.workload(3);
    const plan = planLoad(setup, 3);
    for (const request of plan.requests) {
      const finishedAtMs = workload.receivedAtMs[request.index]! + 40;
      const simulated = workload.replyEndAtMs(request.index, finishedAtMs);
      expect(plan.replyEndAtMs(request, finishedAtMs)).toBeCloseTo(simulated, 3);
    }
  });

  it('lets a body be there as its link carries it: nothing before the propagation, all at the end', () => {
    const { requests } = planLoad(setUpWith('{ mode: applied, propagationMs: 10 }'), 1);
    for (const { upload } of requests.slice(0, 50)) {
      const { sentAtMs, endAtMs } = upload!;
      expect(uploadedFraction(upload!, sentAtMs + 10)).toBe(0);
      expect(uploadedFraction(upload!, endAtMs)).toBe(1);
      const middle = uploadedFraction(upload!, (sentAtMs + 10 + endAtMs) / 2);
      expect(middle).toBeGreaterThan(0);
      expect(middle).toBeLessThan(1);
    }
  });
});
