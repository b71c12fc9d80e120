import { posix } from 'node:path';
import { describe, expect, it } from 'vitest';
import { importsOf, isSource, readFiles, type SourceFile } from './source-files.js';

/*
 * Imports point inward: cli, research → reports → load → simulator, and cli → server → protocol → scheduler. Within the scheduler
 * node → system → dataplane | controlplane → perf-model → clock, random, domain. The planes do not import each other, the server knows
 * nothing of the simulator nor it of the server, the Kubernetes client of nothing else, and the dashboard knows only what the event stream is made of.
 */

const DOMAIN = ['scheduler/domain'];
const BASE = [...DOMAIN, 'scheduler/clock', 'scheduler/random'];
const PLANE_BASE = [...BASE, 'scheduler/perf-model'];
const SYSTEM = [...PLANE_BASE, 'scheduler/dataplane', 'scheduler/controlplane', 'scheduler/system'];
const SCHEDULER = [...SYSTEM, 'scheduler/policies', 'scheduler/node', 'scheduler/pipeline', 'scheduler/variants'];
const SHIPPED = [
  ...SCHEDULER,
  'threads',
  'kubernetes',
  'route',
  'operate',
  'protocol',
  'server',
  'simulator',
  'load',
  'reports',
  'dashboard',
];

/** What each folder of `src/` (of the scheduler, each folder or file in it) may import, besides itself. */
const ALLOWED: Readonly<Record<string, readonly string[]>> = {
  'scheduler/domain': [],
  'scheduler/clock': DOMAIN,
  'scheduler/random': DOMAIN,
  'scheduler/perf-model': BASE,
  'scheduler/dataplane': PLANE_BASE,
  'scheduler/controlplane': PLANE_BASE,
  'scheduler/system': SYSTEM,
  'scheduler/policies': SYSTEM,
  'scheduler/node': SYSTEM,
  // Requests that go through several systems.
  'scheduler/pipeline': SYSTEM,
  // Requests that go to one of several systems.
  'scheduler/variants': [...SYSTEM, 'scheduler/pipeline'],
  // What the package gives to others, besides its command.
  'scheduler/index': SCHEDULER,
  threads: [],
  kubernetes: [],
  // Which of several servers: no more than what they report.
  route: [...DOMAIN, 'scheduler/random'],
  // How many pods and how many cores: by the kernel that answers `sponge plan`.
  operate: [...PLANE_BASE, 'scheduler/controlplane'],
  protocol: [...DOMAIN, 'scheduler/random'],
  server: [...SCHEDULER, 'threads', 'protocol', 'kubernetes', 'route', 'operate'],
  // Pods behind the picker and under the controller are simulated with both.
  simulator: [...SCHEDULER, 'threads', 'route', 'operate'],
  load: [...SCHEDULER, 'threads', 'protocol', 'simulator'],
  reports: [...SCHEDULER, 'server', 'simulator', 'load'],
  dashboard: DOMAIN,
  cli: SHIPPED,
  research: [...SHIPPED, 'cli'],
};

/** `src/scheduler/dataplane/x.ts` → `scheduler/dataplane`; `src/scheduler/system.ts` → `scheduler/system`; `src/load/x.ts` → `load`. */
function folderOf(path: string): string {
  const [root = '', first = '', second = ''] = path.replace(/\.(?:ts|js)$/, '').split('/');
  if (root === 'research') return root;
  return first === 'scheduler' ? `${first}/${second}` : first;
}

function findOutwardImports(files: readonly SourceFile[]): string[] {
  const complaints: string[] = [];
  for (const file of files) {
    const from = folderOf(file.path);
    const allowed = ALLOWED[from];
    if (allowed === undefined) {
      complaints.push(`${file.path}: ${from} has no place in the import order; give it one in ALLOWED`);
      continue;
    }
    for (const { specifier, place } of importsOf(file)) {
      if (!specifier.startsWith('.')) continue;
      const target = posix.join(posix.dirname(file.path), specifier);
      const to = folderOf(target);
      if (!target.startsWith('src/') && from !== 'research')
        complaints.push(`${place}: imports ${target}; what ships stands on src/ alone`);
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
    const files = [...readFiles('src'), ...readFiles('research')].filter(isSource);
    expect(files.length).toBeGreaterThan(10);
    expect(findOutwardImports(files)).toEqual([]);
  });

  it.each([
    [
      'src/scheduler/dataplane/a.ts',
      "import { x } from '../controlplane/scaler.js';",
      'dataplane imports scheduler/controlplane',
    ],
    [
      'src/scheduler/controlplane/a.ts',
      "import type { X } from '../dataplane/edf-queue.js';",
      'imports scheduler/dataplane',
    ],
    ['src/scheduler/domain/a.ts', "export * from '../clock/clock.js';", 'domain imports scheduler/clock'],
    ['src/scheduler/perf-model/a.ts', "const x = await import('../../server/x.js');", 'perf-model imports server'],
    ['src/scheduler/dataplane/a.ts', "import '../system.js';", 'dataplane imports scheduler/system'],
    ['src/server/edge/rest/a.ts', "import '../../../simulator/sim/machine.js';", 'server imports simulator'],
    ['src/simulator/sim/a.ts', "type X = import('../../server/x.js').X;", 'simulator imports server'],
    ['src/protocol/a.ts', "import '../server/edge/intake.js';", 'protocol imports server'],
    ['src/protocol/a.ts', "import '../scheduler/dataplane/budget.js';", 'protocol imports scheduler/dataplane'],
    ['src/load/a.ts', "import '../reports/page.js';", 'load imports reports'],
    ['src/dashboard/a.ts', "import '../scheduler/dataplane/edf-queue.js';", 'dashboard imports scheduler/dataplane'],
    ['src/cli/a.ts', "import '../../research/live/live-run.js';", 'imports research/live/live-run.js'],
    ['src/cli/a.ts', "import '../../test/fixtures/events.js';", 'imports test/fixtures/events.js'],
    ['src/utils/a.ts', '', 'utils has no place'],
  ])('would be found: %s with %s', (path, text, complaint) => {
    expect(findOutwardImports([{ path, text }])).toEqual([expect.stringContaining(complaint)]);
  });

  it('are free within a folder and inward', () => {
    const text =
      "import '../domain/event.js'; import './batcher.js'; import '../perf-model/profile.js'; import 'node:fs';";
    expect(findOutwardImports([{ path: 'src/scheduler/dataplane/a.ts', text }])).toEqual([]);
    const system = "import './dataplane/edf-queue.js'; import './controlplane/scaler.js';";
    expect(findOutwardImports([{ path: 'src/scheduler/system.ts', text: system }])).toEqual([]);
    const research = "import '../../src/cli/options.js'; import '../planner/cases.js';";
    expect(findOutwardImports([{ path: 'research/cli/a.ts', text: research }])).toEqual([]);
  });
});
