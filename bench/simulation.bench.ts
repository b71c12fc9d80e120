import type * as PoliciesModule from '../src/simulator/policies/policies.js';
import type * as RunSeedModule from '../src/simulator/comparison/run-seed.js';
import type * as ScenarioFilesModule from '../src/simulator/scenarios/scenario-files.js';
import type * as SetupModule from '../src/simulator/scenarios/setup.js';
import type * as SimulationModule from '../src/simulator/sim/simulation.js';
import { VirtualClock } from '../src/scheduler/clock/virtual-clock.js';
import { atLeast, isTiny, report, type Budget } from './harness/row.js';

/*
 * Simulated requests per second of wall time on one core: whole runs, with clients, network, ledgers and event digest, of the
 * built code. Budgets: 1 million with a static policy, 100 000 with the default planner. The baseline beside them is the clock
 * alone: one event each for a request's arrival, staging and deadline, which is what no policy can do without.
 *
 *   npm run build && npx tsx bench/simulation.bench.ts [--tiny]
 *
 * The scenario is `authors-applied`, for longer: 20 requests a second, so batches are small and events many. Variants take turns;
 * the median round counts.
 */

// The build, not the sources: tsx names every closure at run time, which costs more than some of them do.
const built = async <T>(path: string): Promise<T> =>
  (await import(new URL(`../dist/${path}`, import.meta.url).href)) as T;
const { policyFor } = await built<typeof PoliciesModule>('simulator/policies/policies.js');
const { worldOf } = await built<typeof RunSeedModule>('simulator/comparison/run-seed.js');
const { readScenario } = await built<typeof ScenarioFilesModule>('simulator/scenarios/scenario-files.js');
const { setUp } = await built<typeof SetupModule>('simulator/scenarios/setup.js');
const { startRun } = await built<typeof SimulationModule>('simulator/sim/simulation.js');

const SEED = 1;
const file = readScenario('authors-applied', [`durationSec=${isTiny ? 100 : 10_000}`]);
const setup = setUp(file.scenario, file.name, file.folder);
const world = worldOf(setup, SEED);

function simulateWith(policy: string): void {
  const run = startRun(setup.environment, world.workload, world.infeasible, policyFor(policy, setup, SEED), SEED);
  while (run.advance(1_000_000));
  run.report();
}

/** Arrival, staging and a deadline that is cancelled as the request is answered. */
function clockAlone(): void {
  const clock = new VirtualClock();
  const { receivedAtMs, dueAtMs, count } = world.workload;
  let index = 0;
  const next = (): void => {
    const current = index++;
    if (index < count) clock.scheduleExact(receivedAtMs[index]!, next);
    const deadline = clock.schedule(dueAtMs[current]!, () => undefined);
    clock.schedule(receivedAtMs[current]! + 0.5, () => deadline.cancel());
  };
  clock.scheduleExact(receivedAtMs[0]!, next);
  clock.runUntilIdle();
}

const BASELINE = 'clock alone';
interface Variant {
  readonly name: string;
  readonly run: () => void;
  readonly budget: Budget | null;
}
const policy = (name: string, spec: string, budget: Budget | null): Variant => ({
  name,
  run: () => simulateWith(spec),
  budget,
});
const variants: readonly Variant[] = [
  { name: BASELINE, run: clockAlone, budget: null },
  policy(
    'static, 8 a batch',
    'static(cores=16,batch=8,order=edf,batching=sponge,admission=sponge,expiry=on)',
    atLeast(1e6),
  ),
  policy('static, one at a time', 'static-16', null),
  policy('sponge', 'sponge', atLeast(1e5)),
  policy('paper', 'paper', null),
  policy('released', 'released', null),
];

const rates = new Map<string, number[]>(variants.map(({ name }) => [name, []]));
for (let round = 0; round < (isTiny ? 2 : 5); round += 1) {
  for (const { name, run } of variants) {
    const startMs = performance.now();
    run();
    rates.get(name)!.push((1000 * world.workload.count) / (performance.now() - startMs));
  }
}
for (const { name, budget } of variants) {
  if (name === BASELINE) continue;
  report({
    what: `simulated, ${name}`,
    unit: 'requests/s',
    ours: rates.get(name)!,
    baseline: { what: BASELINE, values: rates.get(BASELINE)! },
    budget,
    note: `${world.workload.count} requests a round, authors-applied`,
  });
}
