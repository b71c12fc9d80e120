import { parseArgs } from 'node:util';
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
}
if (failures > 0) process.exitCode = 1;
