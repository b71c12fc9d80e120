import { readScenario, simulate } from 'sponge-inference/simulator';

/*
 * Compares policies on a ready scenario: what each misses, and on how many cores.
 *
 *   node --import tsx examples/simulator.ts bursts
 */

const [scenario = 'bursts'] = process.argv.slice(2);
const { summary } = await simulate({
  file: readScenario(scenario, ['durationSec=60']),
  policies: ['sponge', 'paper', 'static-8'],
  seed: 1,
  seeds: 1,
  threads: 1,
});

for (const { policy, violationRate, meanCores } of summary.policies)
  console.log(`${policy.padEnd(10)} ${(100 * violationRate).toFixed(2)} % not on time, ${meanCores.toFixed(2)} cores`);
