import type { Event } from '../../src/scheduler/domain/event.js';
import { recordOf, type EventRecord } from '../../src/scheduler/domain/event-record.js';
import { startMillicores } from '../../src/scheduler/system.js';
import { quantile } from '../../src/scheduler/perf-model/quantile.js';
import { policyFor } from '../../src/simulator/policies/policies.js';
import { runPolicy, worldOf } from '../../src/simulator/comparison/run-seed.js';
import { setUp } from '../../src/simulator/scenarios/setup.js';
import type { ScenarioFile } from '../../src/simulator/comparison/simulate.js';
import { violationRate } from '../../src/simulator/sim/outcome-ledger.js';
import type { LiveCase, SimulatedRun } from './live-results.js';
import { batchMeasures } from './live-run.js';
import { runSeries } from './run-series.js';

/** One of several that rests holds nothing: the least that can be simulated. */
const RESTING_CORES = 0.001;

/** The same policy, clients and seed on a virtual clock, on the machine that the profile describes, told in the same words. */
export function simulatedRun(
  file: ScenarioFile,
  seed: number,
  liveCase: LiveCase,
  isIdleReleased: boolean,
): SimulatedRun {
  const { warmInstances = 1 } = liveCase;
  const cpu = { ...file.scenario.cpu, idleRelease: isIdleReleased };
  const scenario = { ...file.scenario, cpu: warmInstances === 1 ? cpu : { ...cpu, idleCores: RESTING_CORES } };
  const setup = setUp(scenario, file.name, file.folder);
  const world = worldOf(setup, seed);
  const simulated = policyFor(liveCase.simulatedPolicy, setup, seed);
  const records: EventRecord[] = [];
  const report = runPolicy(setup, world, simulated, undefined, (event: Event) => records.push(recordOf(event)));
  const { limits, maxBatchSize } = setup.environment.cpu;
  const own = simulated.horizontal?.limits ?? limits;
  const start = warmInstances === 1 ? [own.maxMillicores] : startMillicores(warmInstances, setup.environment.cpu);
  const model = {
    name: setup.machine.name,
    version: '',
    policy: liveCase.simulatedPolicy,
    limits: own,
    cpuMillicores: start[0]!,
    instances: warmInstances,
    ...(warmInstances === 1 ? {} : { allocations: start }),
    maxBatchSize,
  };
  const series = runSeries(model, records, { startAtMs: 0, durationMs: report.durationMs });
  const { outcomes, allocation, durationMs } = report;
  const latencies = outcomes.latenciesMs.toSorted();
  const latencyAt = (q: number): number | null => (latencies.length === 0 ? null : quantile(latencies, q));
  return {
    case: liveCase.name,
    isIdleReleased,
    measures: {
      sent: outcomes.sent,
      onTime: outcomes.onTime,
      late: outcomes.late,
      refused: outcomes.rejectedInfeasible + outcomes.rejectedOverload,
      expired: outcomes.expired,
      failed: outcomes.failed,
      cancelled: outcomes.cancelled,
      violationRate: violationRate(outcomes),
      goodputPerSec: (1000 * outcomes.onTime) / world.workload.durationMs,
      latencyP50Ms: latencyAt(0.5),
      latencyP99Ms: latencyAt(0.99),
      durationSec: durationMs / 1000,
      coreSeconds: allocation.coreSeconds,
      usedCoreSeconds: report.cpuSecondsUsed,
      ...batchMeasures(series.batches),
      resizes: series.resizes,
    },
    series,
  };
}
