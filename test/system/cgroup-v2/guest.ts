import { measureCpuCeiling } from '../../../src/server/scalers/cpu-ceiling.js';
import { scalerSuite } from '../scalers/suite.js';

/*
 * Runs the scaler suite inside the guest: `<label> <user id> <resizes>`. Emulated CPUs keep time badly at the scale of a
 * quota period (0.36 cores were seen at 300 millicores), hence the tolerance; a quota that is not kept shows more than twice
 * the use.
 */

const [label, userId, resizes] = process.argv.slice(2);
process.setgid!(Number(userId));
process.setuid!(Number(userId));

console.log(
  `guest: ${label}: ${measureCpuCeiling().millicores} millicores, limited by ${measureCpuCeiling().limitedBy}`,
);
const resizeCount = Number(resizes);
const suite = scalerSuite({ kind: 'cgroup-v2', helper: '/helper.mjs', resizeCount, toleranceFraction: 0.5 });
for (const check of suite.checks) {
  const startedAtMs = performance.now();
  try {
    const detail = await check.run();
    const seconds = ((performance.now() - startedAtMs) / 1000).toFixed(1);
    console.log(`ok: ${label}: ${check.name} (${seconds} s)${detail === undefined ? '' : `\n    ${detail}`}`);
  } catch (error) {
    console.log(`not ok: ${label}: ${check.name}\n    ${(error as Error).message.replaceAll('\n', ' ')}`);
  }
}
await suite.cleanUp();
process.exit();
