import { join } from 'node:path';
import { startNode } from './node.js';
import { addsAPodAndTakesItAway } from './operated.js';
import { Site } from './site.js';
import { Walk } from './walk.js';

/* In the namespaces that `run.ts` made: the node, and the walk. */

const [folder] = process.argv.slice(2) as [string];
const counts = { passed: 0, failed: 0 };

async function step(name: string, act: () => Promise<string>): Promise<void> {
  try {
    console.log(`passed   ${name}: ${await act()}`);
    counts.passed++;
  } catch (error) {
    console.log(`FAILED   ${name}: ${(error as Error).message}`);
    counts.failed++;
  }
}

const node = await startNode(process.env['KUBE_BIN']!, folder);
try {
  node.importImage(join(folder, 'image-docker-io-library-sponge-test.tar'));
  const site = new Site(node, join(folder, 'models'));
  const walk = new Walk(site);
  await step('serves', () => walk.serves());
  await step('resizes under load', () => walk.resizesUnderLoad());
  await step('latencies', () => walk.latencies());
  await step('rights', () => walk.hasTheLeastRights());
  await step('limits of the node', () => walk.meetsLimitsOfTheNode());
  await step('operated', () => addsAPodAndTakesItAway(site, folder));
} finally {
  await node.close();
}
console.log(`kubernetes: ${counts.passed} passed, ${counts.failed} failed`);
process.exit(counts.failed === 0 ? 0 : 1);
