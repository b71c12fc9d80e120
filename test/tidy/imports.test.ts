import { posix } from 'node:path';
import { describe, expect, it } from 'vitest';
import { importsOf, isShippedSource, readFiles, type SourceFile } from './source-files.js';

/*
 * Imports point inward: cli, experiments → adapters | sim → node → system → dataplane | controlplane → perf-model → clock,
 * random, domain. The planes do not import each other, adapters know nothing of the simulator, the Kubernetes client knows of nothing else, and the dashboard knows
 * only what the event stream is made of.
 */

const DOMAIN = ['domain'];
const BASE = [...DOMAIN, 'clock', 'random'];
const PLANE_BASE = [...BASE, 'perf-model'];
const SYSTEM = [...PLANE_BASE, 'dataplane', 'controlplane', 'system'];

/** What each folder of `src/` (or file in it) may import, besides itself. */
const ALLOWED: Readonly<Record<string, readonly string[]>> = {
  domain: [],
  clock: DOMAIN,
  random: DOMAIN,
  'perf-model': BASE,
  dataplane: PLANE_BASE,
  controlplane: PLANE_BASE,
  system: SYSTEM,
  node: SYSTEM,
  kubernetes: [],
  adapters: [...SYSTEM, 'node', 'kubernetes'],
  sim: [...SYSTEM, 'node'],
  dashboard: DOMAIN,
  client: DOMAIN,
  experiments: [...SYSTEM, 'node', 'adapters', 'sim'],
  cli: [...SYSTEM, 'node', 'adapters', 'sim', 'experiments', 'dashboard', 'client'],
  // What the package gives to others, besides its command.
  scheduler: [...SYSTEM, 'node'],
  simulator: ['experiments'],
};

/** `src/dataplane/x.ts` → `dataplane`; `src/system.ts` → `system`. */
function folderOf(path: string): string {
  return (path.split('/')[1] ?? '').replace(/\.(?:ts|js)$/, '');
}

function findOutwardImports(files: readonly SourceFile[]): string[] {
  const complaints: string[] = [];
  for (const file of files) {
    const from = folderOf(file.path);
    const allowed = ALLOWED[from];
    if (allowed === undefined) {
      complaints.push(`${file.path}: src/${from} has no place in the import order; give it one in ALLOWED`);
      continue;
    }
    for (const { specifier, place } of importsOf(file)) {
      if (!specifier.startsWith('.')) continue;
      const target = posix.join(posix.dirname(file.path), specifier);
      const to = folderOf(target);
      if (!target.startsWith('src/')) complaints.push(`${place}: imports ${target}; what ships stands on src/ alone`);
      else if (to !== from && !allowed.includes(to)) {
        complaints.push(
          `${place}: ${from} imports ${to}; it may import ${allowed.join(', ') || 'nothing else'}. ` +
            'Move the noun inward, or have an interface here that the outer part implements',
        );
      }
    }
  }
  return complaints;
}

describe('imports', () => {
  it('point inward', () => {
    const files = readFiles('src').filter(isShippedSource);
    expect(files.length).toBeGreaterThan(10);
    expect(findOutwardImports(files)).toEqual([]);
  });

  it.each([
    ['src/dataplane/a.ts', "import { x } from '../controlplane/scaler.js';", 'dataplane imports controlplane'],
    ['src/controlplane/a.ts', "import type { X } from '../dataplane/edf-queue.js';", 'controlplane imports dataplane'],
    ['src/domain/a.ts', "export * from '../clock/clock.js';", 'domain imports clock'],
    ['src/perf-model/a.ts', "const x = await import('../adapters/x.js');", 'perf-model imports adapters'],
    ['src/adapters/oip/rest/a.ts', "import '../../../sim/simulator.js';", 'adapters imports sim'],
    ['src/sim/a.ts', "type X = import('../adapters/x.js').X;", 'sim imports adapters'],
    ['src/dataplane/a.ts', "import '../system.js';", 'dataplane imports system'],
    ['src/dashboard/a.ts', "import '../dataplane/edf-queue.js';", 'dashboard imports dataplane'],
    ['src/cli/a.ts', "import '../../test/fixtures/events.js';", 'imports test/fixtures/events.js'],
    ['src/utils/a.ts', '', 'src/utils has no place'],
  ])('would be found: %s with %s', (path, text, complaint) => {
    expect(findOutwardImports([{ path, text }])).toEqual([expect.stringContaining(complaint)]);
  });

  it('are free within a folder and inward', () => {
    const text =
      "import '../domain/event.js'; import './batcher.js'; import '../perf-model/profile.js'; import 'node:fs';";
    expect(findOutwardImports([{ path: 'src/dataplane/a.ts', text }])).toEqual([]);
    const system = "import './dataplane/edf-queue.js'; import './controlplane/scaler.js';";
    expect(findOutwardImports([{ path: 'src/system.ts', text: system }])).toEqual([]);
  });
});
