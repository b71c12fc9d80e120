import { randomBytes } from 'node:crypto';
import { parseArgs } from 'node:util';
import { setTimeout as delay } from 'node:timers/promises';
import { Prng } from '../../src/scheduler/random/prng.js';
import { MISBEHAVIOURS, runLoad, type Misbehaviour } from './clients.js';
import { FAULTS, strikeRepeatedly, type FaultName } from './faults.js';
import { Ledger, BusyWatch } from './ledger.js';
import { printScenario, printTotal, type ScenarioResult } from './report.js';
import { Site } from './site.js';
import { watchForStill } from './still-watch.js';
import { differencesOf, readServerSums, sumsBetween, type ServerSums } from './sums.js';

/*
 * `npm run test:faults`: a server that is hurt while it serves, by faults one after another and then all at once, and a ledger of
 * every request: its answer is right to the last bit, or it is refused or failed by a reason; within a second of its deadline;
 * and the server's own sums say the same.
 *
 *   npm run test:faults -- [--requests N] [--clients N] [--seed S] [--faults kill-worker,poison,…] [--together]
 *                          [--untimed] [--serve "--flag value"] [--verbose]
 *
 * Half of the requests are sent under each fault by itself, half under all of them together (`--together`: all of the requests); more
 * where a fault has not struck by then. The default is short; 1 000 000 are the long form. `--untimed` reports
 * late answers without failing for them, which is all that a machine can say that others use. Exits 1 with a finding, 2 when it could not
 * run.
 */

const ALL = [...Object.keys(FAULTS), ...Object.keys(MISBEHAVIOURS)] as (FaultName | Misbehaviour)[];
const SUMS_SETTLE_MS = 20_000;
const PROGRESS_MS = 5000;

/** What is known to go wrong, and so is left out unless it is asked for: each is a fault of the server's that waits for its repair. */
const OPEN: Readonly<Partial<Record<FaultName | Misbehaviour, string>>> = {};

const { values } = parseArgs({
  options: {
    requests: { type: 'string', default: '20000' },
    clients: { type: 'string', default: '40' },
    seed: { type: 'string' },
    faults: { type: 'string', default: ALL.filter((name) => !(name in OPEN)).join() },
    serve: { type: 'string', default: '' },
    together: { type: 'boolean', default: false },
    untimed: { type: 'boolean', default: false },
    verbose: { type: 'boolean', default: false },
  },
});
const requestCount = Number(values.requests);
const clientCount = Number(values.clients);
const seed = Number(values.seed ?? randomBytes(4).readUInt32LE() % 1_000_000);
const chosen = values.faults.split(',').filter((name) => name !== '') as (FaultName | Misbehaviour)[];
const unknown = chosen.filter((name) => !ALL.includes(name));
if (
  unknown.length > 0 ||
  ![requestCount, clientCount].every((count) => Number.isSafeInteger(count) && count > 0) ||
  !Number.isSafeInteger(seed)
) {
  console.error(`usage: npm run test:faults -- [--requests N] [--seed S] [--faults ${ALL.join()}]`);
  process.exit(2);
}
const repeat = `npm run test:faults -- --requests ${requestCount} --clients ${clientCount} --seed ${seed} --faults ${chosen.join()}${values.together ? ' --together' : ''}`;
console.log(`${requestCount} requests, seed ${seed}: ${repeat}\n`);

for (const [name, why] of Object.entries(OPEN)) {
  if (!chosen.includes(name as FaultName)) console.warn(`NOT TRIED ${name}: ${why}; try it with --faults ${name}`);
}

const site = new Site({
  group: `suite-${randomBytes(3).toString('hex')}`,
  // A worker that was stopped for long is replaced within the run; clients can fill the queue and the calls.
  flags: [
    '--no-refine',
    ...['--log-level', 'warn'],
    '--hang-timeout-ms',
    '1000',
    '--queue-limit',
    '300',
    ...values.serve.split(' ').filter(Boolean),
  ],
});
const watch = new BusyWatch();
const results: ScenarioResult[] = [];
let nextRequest = 0;
try {
  await site.start();
  const scenarios = values.together
    ? [chosen]
    : chosen.length > 1
      ? [...chosen.map((name) => [name]), chosen]
      : [chosen];
  for (const names of scenarios) {
    const count = Math.ceil(
      requestCount / (names.length > 1 || scenarios.length === 1 ? 1 : chosen.length) / (scenarios.length > 1 ? 2 : 1),
    );
    results.push(await runScenario(names, count));
    printScenario(results.at(-1)!);
  }
} catch (error) {
  // What is said while it closes, as of groups left behind, is but a consequence.
  console.error(error, `\nthe server's log ends:\n${site.log.slice(-2000)}`);
  throw error;
} finally {
  watch.stop();
  await site.close();
}
const isSound = printTotal(results, values.untimed);
if (!isSound) console.error(`  errors in the server's log:\n${site.errors || 'none'}`);
console.log(`repeat with: ${repeat}`);
process.exitCode = isSound ? 0 : 1;

/** A router that is killed forgets its sums: where that is among the faults, a part without it follows whose sums are compared. */
async function runScenario(names: readonly (FaultName | Misbehaviour)[], count: number): Promise<ScenarioResult> {
  const name = names.length > 1 ? 'all together' : names.join();
  const strikes = new Map<string, number>();
  const skipped = new Map<string, string>();
  const ledger = new Ledger();
  if (names.includes('kill-router')) {
    await runPart(names, Math.floor(count / 2), ledger, strikes, skipped);
    const compared = new Ledger();
    const before = await readServerSums(site.server.metrics);
    await runPart(
      names.filter((each) => each !== 'kill-router'),
      Math.ceil(count / 2),
      compared,
      strikes,
      skipped,
    );
    await compareSums(compared, before);
    await expectServing(compared);
    return { name, ledgers: [ledger, compared], strikes, skipped };
  }
  const before = await readServerSums(site.server.metrics);
  await runPart(names, count, ledger, strikes, skipped);
  await compareSums(ledger, before);
  await expectServing(ledger);
  return { name, ledgers: [ledger], strikes, skipped };
}

async function runPart(
  names: readonly (FaultName | Misbehaviour)[],
  count: number,
  ledger: Ledger,
  strikes: Map<string, number>,
  skipped: Map<string, string>,
): Promise<void> {
  const end = new AbortController();
  const failures: unknown[] = [];
  const unstruck = new Set<FaultName>();
  // Several together strike as often as two would: a server that is always down shows nothing.
  const slowdown = Math.max(1, names.filter((name) => name in FAULTS).length / 2);
  const strikers = names
    .filter((name): name is FaultName => name in FAULTS)
    .map((name, i) => {
      const fault = FAULTS[name];
      const obstacle = fault.obstacle(site);
      if (obstacle !== null) {
        skipped.set(name, obstacle);
        return Promise.resolve();
      }
      unstruck.add(name);
      const onStruck = (): void => {
        unstruck.delete(name);
        strikes.set(name, (strikes.get(name) ?? 0) + 1);
      };
      const pace = { end: end.signal, slowdown, onStruck };
      return strikeRepeatedly(fault, site, new Prng(seed * 100 + i), pace).catch((error: unknown) => {
        unstruck.delete(name);
        failures.push(error);
      });
    });
  const progress = values.verbose ? setInterval(() => printProgress(ledger, names), PROGRESS_MS) : undefined;
  const still = watchForStill(() => site.server.metrics, ledger);
  nextRequest = await runLoad({
    server: site.server,
    ledger,
    excuses: { routerAway: site.routerAway, clientBusy: watch.intervals },
    seed,
    from: nextRequest,
    count,
    clients: clientCount,
    isEnough: () => unstruck.size === 0,
    onAllSent: () => end.abort(),
    misbehaviours: names.filter((name): name is Misbehaviour => name in MISBEHAVIOURS),
  });
  still.stop();
  await Promise.all(strikers);
  clearInterval(progress);
  if (failures.length > 0) throw failures[0];
}

/** Requests of clients that left are still on their way to their outcome. */
async function compareSums(ledger: Ledger, before: ServerSums): Promise<void> {
  const untilMs = performance.now() + SUMS_SETTLE_MS;
  for (;;) {
    const differences = differencesOf(ledger, sumsBetween(before, await readServerSums(site.server.metrics)));
    if (differences.length === 0) return;
    if (performance.now() > untilMs) {
      for (const difference of differences) ledger.find('sums', difference);
      return;
    }
    await delay(200);
  }
}

/** What comes next needs a server in good order, so one that is not is replaced. */
async function expectServing(ledger: Ledger): Promise<void> {
  const obstacle = await site.obstacleToServing();
  if (obstacle === null) return;
  ledger.find('unexpected', obstacle);
  await site.restart();
}

function printProgress({ sent, pendingCount }: Ledger, names: readonly string[]): void {
  const warnings = site.log.split('\n').filter((line) => /^\S+ (?:warn|error)/.test(line));
  console.error(`    ${names.length} faults: ${sent} sent, ${pendingCount} not ended; the server's latest warnings:`);
  for (const line of warnings.slice(-8)) console.error(`      ${line}`);
}
