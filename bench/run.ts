import { fork } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { parseArgs } from 'node:util';
import { DISTURBED_EXIT_CODE } from './harness/disturbed.js';
import { describeMachine, machineLines } from './harness/machine.js';
import { budgetText, isBudgetMet, ratio, spreadText, verdictText, type Row } from './harness/row.js';
import { median } from './harness/statistics.js';

/*
 * Runs the benches one after another, each in a process of its own, and prints one table: ours, a baseline of the same run,
 * the ratio of their medians, and the budget. Medians with the smallest and largest value over interleaved repetitions.
 *
 *   npm run bench -- [name…] [--tiny] [--json file] [--before commit]
 *
 * `--tiny` shows within about a minute that everything works; its numbers mean nothing. Exit code 1: a bench broke. A missed
 * budget is a finding, not a failure; nor is a machine that was too busy for a bench each time that it was tried, which is told.
 * `--before`: `pipeline` measures what that commit, or the built tree in that folder, costs who serves one model, beside this one.
 *
 *   npm run bench -- peers …
 *
 * is not one of them: it installs other servers and writes `docs/peers.md` (`peers/run.ts`); nor is
 *
 *   npm run bench -- text …
 *
 * which fetches a model of text, and mosec (`text/run.ts`).
 */

const BENCHES = [
  'solver',
  'planner',
  'queue',
  'arrival',
  'standstill',
  'faults',
  'added-time',
  'path',
  'throughput',
  'io-threads',
  'tracing',
  'pipeline',
  'json',
  'resize',
  'in-place',
  'runtime',
  'refusal',
  'memory',
  'instances',
  'start',
  'simulation',
  'load',
  'feed',
  'neighbour',
  'several',
  'route',
  'soak',
] as const;

/** Of a bench that is disturbed. */
const MOST_ATTEMPTS = 3;
/** Benches side by side with `--tiny`. */
const TINY_AT_A_TIME = 3;

const apart = ['peers', 'text'].find((name) => name === process.argv[2]);
if (apart !== undefined) {
  const peers = fork(new URL(`${apart}/run.ts`, import.meta.url), process.argv.slice(3), {
    execArgv: ['--import', 'tsx'],
  });
  const [exitCode] = (await once(peers, 'close')) as [number | null];
  process.exit(exitCode ?? 1);
}

const { values: flags, positionals } = parseArgs({
  allowPositionals: true,
  options: { tiny: { type: 'boolean', default: false }, json: { type: 'string' }, before: { type: 'string' } },
});
const unknown = positionals.filter((name) => !(BENCHES as readonly string[]).includes(name));
if (unknown.length > 0) {
  console.error(`no such bench: ${unknown.join(', ')}; there are: ${BENCHES.join(', ')}`);
  process.exit(1);
}
const names: readonly string[] = positionals.length > 0 ? positionals : BENCHES;

const machine = describeMachine();
console.log(machineLines(machine));
const rows: (Row & { readonly bench: string })[] = [];
const broken: string[] = [];
const disturbed: string[] = [];
// What means nothing need not be undisturbed.
const pending = [...names];
await Promise.all(Array.from({ length: flags.tiny ? TINY_AT_A_TIME : 1 }, runPending));
rows.sort((a, b) => names.indexOf(a.bench) - names.indexOf(b.bench));

console.log(`\n${table(rows)}\n`);
console.log(machineLines(machine));
if (flags.tiny) console.log('--tiny: these numbers mean nothing');
writeResults();
if (disturbed.length > 0) console.error(`disturbed each time: ${disturbed.join(', ')}; why is above`);
if (broken.length > 0) {
  console.error(`broken: ${broken.join(', ')}; the error is above`);
  process.exitCode = 1;
}

async function runPending(): Promise<void> {
  for (let name = pending.shift(); name !== undefined; name = pending.shift()) {
    console.log(`\n---- ${name}`);
    const startedAtMs = performance.now();
    const { rows: found, exitCode } = await untilUndisturbed(name);
    rows.push(...found.map((row) => ({ bench: name, ...row })));
    if (exitCode === DISTURBED_EXIT_CODE) disturbed.push(name);
    else if (exitCode !== 0 || found.length === 0) broken.push(name);
    console.log(`${name}: ${found.length} rows in ${((performance.now() - startedAtMs) / 1000).toFixed(1)} s`);
  }
}

interface BenchRun {
  readonly rows: readonly Row[];
  readonly exitCode: number;
}

/** What was measured before it was disturbed does not count. */
async function untilUndisturbed(name: string): Promise<BenchRun> {
  for (let attempt = 1; attempt <= MOST_ATTEMPTS; attempt++) {
    const run = await runBench(name);
    if (run.exitCode !== DISTURBED_EXIT_CODE) return run;
  }
  return { rows: [], exitCode: DISTURBED_EXIT_CODE };
}

async function runBench(name: string): Promise<BenchRun> {
  const args = [...(flags.tiny ? ['--tiny'] : []), ...(flags.before === undefined ? [] : ['--before', flags.before])];
  const child = fork(new URL(`${name}.bench.ts`, import.meta.url), args, {
    execArgv: ['--import', 'tsx'],
    serialization: 'advanced',
  });
  const found: Row[] = [];
  child.on('message', (row) => found.push(row as Row));
  const [exitCode] = (await once(child, 'close')) as [number | null];
  return { rows: found, exitCode: exitCode ?? 1 };
}

function table(all: readonly Row[]): string {
  const head = ['what', 'unit', 'ours', 'baseline', '', 'ratio', 'budget', ''];
  const lines = all.map((row) => [
    row.what,
    row.unit,
    spreadText(row.ours),
    spreadText(row.baseline?.values ?? []),
    row.baseline?.what ?? '',
    ratio(row)?.toPrecision(2) ?? '-',
    budgetText(row),
    verdictText(row),
  ]);
  const widths = head.map((_, column) => Math.max(...[head, ...lines].map((cells) => cells[column]!.length)));
  const text = (cells: readonly string[]): string =>
    cells
      .map((cell, column) => cell.padEnd(widths[column]!))
      .join('  ')
      .trimEnd();
  const notes = all.filter(({ note }) => note !== '').map(({ what, note }) => `  ${what}: ${note}`);
  return [text(head), text(widths.map((width) => '-'.repeat(width))), ...lines.map(text), '', ...notes].join('\n');
}

/** A tiny run is only kept where it is asked for. */
function writeResults(): void {
  const path =
    flags.json ?? (flags.tiny ? null : join(import.meta.dirname, `results/${machine.date.replaceAll(':', '-')}.json`));
  if (path === null) return;
  const summarised = rows.map((row) => ({
    ...row,
    oursMedian: row.ours.length === 0 ? null : median(row.ours),
    baselineMedian: row.baseline === null ? null : median(row.baseline.values),
    ratio: ratio(row),
    isBudgetMet: isBudgetMet(row),
  }));
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(path, `${JSON.stringify({ machine, isTiny: flags.tiny, disturbed, rows: summarised }, null, 2)}\n`);
  console.log(`written to ${path}`);
}
