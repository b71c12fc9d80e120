import { execFile } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { TestBench } from '../server/harness.js';
import { definedKinds, kubernetesSchemas, lint, refusals, renderAll } from './charts.js';
import { containerGap, makeRoot, servesReadOnly } from './container.js';
import { REPOSITORY } from './expressions.js';
import { definitions, helm, onPath, validatingPython } from './packages.js';
import { prometheusGap, queriesAnswer } from './queries.js';

/*
 * `npm run test:deploy`: deploy/ and the Containerfile are tried with other projects' tools. What cannot be had is left out, loudly. Ends with
 * "deployment: N passed, N failed, N skipped", and with 1 where something failed.
 */

/** Not a fault of ours. */
class Skipped extends Error {}

const folder = mkdtempSync(join(tmpdir(), 'sponge-deploy-'));
const counts = { passed: 0, failed: 0, skipped: 0 };

async function step(name: string, act: () => string | Promise<string>): Promise<void> {
  try {
    console.log(`passed   ${name}: ${await act()}`);
    counts.passed += 1;
  } catch (error) {
    const kind = error instanceof Skipped ? 'skipped' : 'failed';
    counts[kind] += 1;
    console.log(`${kind.toUpperCase().padEnd(8)} ${name}: ${(error as Error).message}`);
  }
}

/** What is to be had, or why it is not: told once for each step that needs it. */
function wanted<Tool>(have: () => Tool): () => Tool {
  let made: { readonly tool: Tool } | { readonly reason: string } | null = null;
  return () => {
    try {
      made ??= { tool: have() };
    } catch (error) {
      made = { reason: (error as Error).message.split('\n')[0]! };
    }
    if ('reason' in made) throw new Skipped(made.reason);
    return made.tool;
  };
}

function needs(gap: string | null): void {
  if (gap !== null) throw new Skipped(gap);
}

const withHelm = wanted(helm);
const withPython = wanted(validatingPython);
const withDefinitions = wanted(() => {
  if (onPath('go') === null) throw new Error('go is missing, which fetches them');
  return definitions();
});

try {
  await step('chart, lint', () => lint(withHelm()));
  await step('chart, refusals', () => refusals(withHelm()));
  let rendered: Awaited<ReturnType<typeof renderAll>> = [];
  await step('chart, rendering', async () => {
    rendered = await renderAll(withHelm(), folder);
    return `${rendered.length} times`;
  });
  await step("Kubernetes' schemas", () => {
    needs(rendered.length === 0 ? 'nothing was rendered' : null);
    return kubernetesSchemas(withPython(), rendered, folder);
  });
  await step("others' definitions", () => {
    needs(rendered.length === 0 ? 'nothing was rendered' : null);
    return definedKinds(withPython(), withDefinitions(), rendered);
  });
  await step('systemd unit', async () => {
    needs(onPath('systemd-analyze') === null ? 'systemd-analyze is missing' : null);
    await promisify(execFile)('systemd-analyze', ['verify', join(REPOSITORY, 'deploy/systemd/sponge.service')]);
    return 'systemd-analyze verify';
  });
  const bench = new TestBench();
  try {
    await step('queries', () => {
      needs(prometheusGap());
      return queriesAnswer(bench);
    });
    await step('container', async () => {
      needs(containerGap());
      return servesReadOnly(bench, await makeRoot(folder));
    });
  } finally {
    await bench.close();
  }
} finally {
  rmSync(folder, { recursive: true, force: true });
}
console.log(`deployment: ${counts.passed} passed, ${counts.failed} failed, ${counts.skipped} skipped`);
process.exitCode = counts.failed === 0 ? 0 : 1;
