import { parseArgs } from 'node:util';
import { faultyNode } from './faulty-node.js';
import { faultyRun } from './faulty-run.js';

/** Repeats one seed of the fault simulation, or a short sweep of them: `npm run simulate -- --seed 8713`. */
const { values } = parseArgs({
  options: {
    seed: { type: 'string' },
    seeds: { type: 'string', default: '20' },
    rate: { type: 'string', default: '60' },
    log: { type: 'boolean', default: false },
  },
});
const first = Number(values.seed ?? 1);
const count = values.seed === undefined ? Number(values.seeds) : 1;
/** Of each of three models that share two cores: less than there is, a third more, and three times as much. */
const NODE_LOADS_MILLICORES = [300, 900, 2000] as const;
let failures = 0;
for (let seed = first; seed < first + count; seed++) {
  for (const planner of ['sponge', 'paper'] as const) {
    const report = faultyRun({ seed, planner, durationMs: 30_000, ratePerSec: Number(values.rate), faults: true });
    if (values.log) console.log(report.log);
    const share = ((100 * report.outcomes.completed_on_time) / report.sent).toFixed(1);
    console.log(
      `seed ${seed} ${planner}: ${report.sent} sent, ${share} % on time, ${report.resizes} resizes`,
      report.outcomes,
    );
    for (const violation of report.violations) console.error(`  BROKEN: ${violation}`);
    failures += report.violations.length;
  }
  const node = await faultyNode({ seed, durationMs: 30_000, loadMillicores: NODE_LOADS_MILLICORES[seed % 3]! });
  if (values.log) console.log(node.log);
  console.log(
    `seed ${seed} node: ${node.sent} sent, ${node.starts} models started in at most ${(node.longestStartMs / 1000).toFixed(1)} s`,
    Object.fromEntries(node.outcomes),
  );
  for (const violation of node.violations) console.error(`  BROKEN: ${violation}`);
  failures += node.violations.length;
}
if (failures > 0) process.exitCode = 1;
