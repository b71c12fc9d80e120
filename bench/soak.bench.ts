import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { findCgroupPlaces } from '../src/server/scalers/cgroup-paths.js';
import { runLoad } from '../test/faults/clients.js';
import { Ledger, BusyWatch } from '../test/faults/ledger.js';
import { writeModels } from '../test/faults/questions.js';
import { watchForStill } from '../test/faults/still-watch.js';
import { bench } from './harness/bench.js';
import { isTiny, numberText, report } from './harness/row.js';
import { slopeOf, type Sample } from './harness/slope.js';
import { residentMib, startSponge, type HeldMemory } from './harness/sponge-server.js';

/*
 * A quarter of an hour under a load of everything that clients do: both protocols, all encodings, deadlines of all kinds, a quarter
 * of the clients leaving before their answer, slow readers and writers; and a worker killed every half minute. What grows shows as a
 * slope, per hour, with its 95 % interval. Every answer is checked on the way. Of the router's memory only what is left once its garbage
 * is collected tells a leak: what a process has of the kernel besides goes up to what its busiest moment needed.
 */

const DURATION_MS = isTiny ? 8000 : 15 * 60_000;
const SAMPLE_MS = isTiny ? 200 : 3000;
/** A collection stops the router for some tens of ms. */
const COLLECT_EVERY_MS = isTiny ? 300 : 15_000;
/** Enough for a slope, without those that are left out of it. */
const FEWEST_SAMPLES = 13;
/** Caches fill, code is compiled, heaps find their size: left out of the slopes. */
const WARM_UP_FRACTION = 0.2;
const KILL_EVERY_MS = isTiny ? 4000 : 30_000;
const CLIENTS = 30;

await bench(async (scope) => {
  const models = scope.folder();
  writeModels(models);
  const server = await startSponge(scope, [models, '--no-refine'], { withGarbageCollection: true });
  const [restarted, ...lasting] = childrenOf(server.pid);
  const measures: Readonly<Record<string, { readonly unit: string; readonly read: () => number }>> = {
    'memory, router': { unit: 'MiB/h', read: () => residentMib(server.pid) },
    'memory, a worker': { unit: 'MiB/h', read: () => total(lasting.map(residentMib)) / lasting.length },
    'open descriptors, router': { unit: '/h', read: () => readdirSync(`/proc/${server.pid}/fd`).length },
    'open descriptors, workers': {
      unit: '/h',
      read: () => total(childrenOf(server.pid).map((pid) => readdirSync(`/proc/${pid}/fd`).length)),
    },
    'threads, router and workers': {
      unit: '/h',
      read: () => total([server.pid, ...childrenOf(server.pid)].map(threadCount)),
    },
    'CPU groups': { unit: '/h', read: () => groupCount(server.group) },
  };
  const held: Readonly<Record<string, (memory: HeldMemory) => number>> = {
    "the router's heap, collected": ({ heapMib }) => heapMib,
    "the router's buffers, collected": ({ buffersMib }) => buffersMib,
  };
  const units = new Map<string, string>([
    ...Object.keys(held).map((what) => [what, 'MiB/h'] as const),
    ...Object.entries(measures).map(([what, { unit }]) => [what, unit] as const),
  ]);
  const samples = new Map<string, Sample[]>([...units.keys()].map((what) => [what, []]));

  const ledger = new Ledger();
  const watch = scope.use(new BusyWatch(), (busy) => busy.stop());
  const untilMs = performance.now() + DURATION_MS;
  // On a machine that is busy with others a look takes long.
  const isOver = (): boolean =>
    performance.now() >= untilMs && [...samples.values()].every(({ length }) => length >= FEWEST_SAMPLES);
  const sampling = (async (): Promise<void> => {
    while (!isOver()) {
      for (const [what, { read }] of Object.entries(measures)) {
        // A worker that is just being started anew cannot be read.
        const value = readUnlessGone(read);
        if (value !== null) samples.get(what)!.push({ atMs: performance.now(), value });
      }
      await delay(SAMPLE_MS);
    }
  })();
  const collecting = (async (): Promise<void> => {
    while (!isOver()) {
      const memory = await server.heldMemory();
      for (const [what, read] of Object.entries(held))
        samples.get(what)!.push({ atMs: performance.now(), value: read(memory) });
      await delay(COLLECT_EVERY_MS);
    }
  })();
  const killing = (async (): Promise<void> => {
    for (let pid = restarted; !isOver();) {
      process.kill(pid!, 'SIGKILL');
      await delay(KILL_EVERY_MS);
      const successor = (): number | undefined => childrenOf(server.pid).find((each) => !lasting.includes(each));
      while ((pid = successor()) === undefined) await delay(100);
    }
  })();
  const still = watchForStill(() => server.metricsUrl, ledger);
  await runLoad({
    server: {
      rest: `http://127.0.0.1:${server.restPort}`,
      grpc: `127.0.0.1:${server.grpcPort}`,
      port: server.restPort,
    },
    ledger,
    excuses: { routerAway: [], clientBusy: watch.intervals },
    seed: 1,
    from: 0,
    count: 0,
    clients: CLIENTS,
    isEnough: isOver,
    onAllSent: () => undefined,
    misbehaviours: ['cancels', 'slow-readers', 'slow-writers', 'clock-steps'],
  });
  still.stop();
  await Promise.all([sampling, collecting, killing]);
  for (const [what, unit] of units) {
    const all = samples.get(what)!;
    const settled = all.slice(Math.floor(WARM_UP_FRACTION * all.length));
    const { perHour, halfWidth } = slopeOf(settled);
    const [first, last] = [settled[0]!.value, settled.at(-1)!.value];
    report({
      what: `soak, growth of ${what}`,
      unit,
      ours: [perHour],
      baseline: null,
      budget: null,
      note: `± ${numberText(halfWidth)} (95 %), from ${numberText(first)} to ${numberText(last)}, ${ledger.sent} requests`,
    });
  }
  // Late is a matter of the machine; the rest is not.
  const wrong = ledger.findings.filter(({ kind }) => kind !== 'late');
  if (wrong.length > 0) throw new Error(wrong.map(({ kind, what }) => `${kind}: ${what}`).join('\n'));
});

function total(values: readonly number[]): number {
  return values.reduce((sum, value) => sum + value, 0);
}

function childrenOf(pid: number): number[] {
  return readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').split(' ').filter(Boolean).map(Number);
}

function threadCount(pid: number): number {
  return readdirSync(`/proc/${pid}/task`).length;
}

/** In all hierarchies. */
function groupCount(group: string): number {
  const { v1, v2 } = findCgroupPlaces();
  const places = new Set([...(v2 === null ? [] : [v2.own]), ...[...v1.values()].map(({ own }) => own)]);
  return total([...places].map((place) => groupsIn(place, group)));
}

function groupsIn(place: string, group: string): number {
  const own = readdirSync(place).filter((name) => name.startsWith(`sponge-${group}`));
  const inner = (name: string): number =>
    readdirSync(join(place, name), { withFileTypes: true }).filter((entry) => entry.isDirectory()).length;
  return own.length + total(own.map(inner));
}

function readUnlessGone(read: () => number): number | null {
  try {
    return read();
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    // A process that has ended, but is not collected yet, has no memory to show.
    if (code === 'ENOENT' || code === 'ESRCH' || error instanceof TypeError) return null;
    throw error;
  }
}
