import { TestBench } from '../server/harness.js';
import { Replacing, tallyText } from '../server/replacing.js';

/*
 * npm run test:replacements -- [count]: the long form of what `server/model-control.test.ts` does a few times, with its times beside those
 * of the same client while nothing is replaced.
 */

const count = Number(process.argv[2] ?? 50);
const REST_MS = 15_000;

const bench = new TestBench();
try {
  const replacing = new Replacing(bench, 'replaced');
  const server = await replacing.serve();
  console.log(`nothing replaced: ${tallyText(await replacing.rest(server, REST_MS))}`);
  const tally = await replacing.replace(server, count);
  console.log(`${count} replacements: ${tallyText(tally)}`);
  for (const failure of tally.failures.slice(0, 10)) console.log(failure);
  process.exitCode = tally.failures.length === 0 ? 0 : 1;
} finally {
  await bench.close();
}
