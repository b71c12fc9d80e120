import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { cpus } from 'node:os';
import { dirname, join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import type { CpuCounters, ResizeResult, Scaler } from '../../../src/scheduler/controlplane/scaler.js';
import type { DetectedScaler } from '../../../src/server/scalers/detect.js';
import { createScaler } from '../../../src/server/scalers/detect.js';
import { filesToJoin } from '../../../src/server/scalers/join.js';
import type { ScalerKind } from '../../../src/server/scalers/scaler-handle.js';
import type { Burner } from './burner.js';
import { leaveStaleGroup, startBurner } from './burner.js';
import {
  SETTLE_MS,
  WINDOW_MS,
  coresRunOn,
  ends,
  greatestUseCores,
  groupDirs,
  isAlive,
  median,
  medianUseCores,
  millicoresInForce,
  pinnedThreadCount,
  threadCount,
  useMeter,
} from './measure.js';

/*
 * The contract of `Scaler` as checks that need no test runner: vitest runs them on the machine, and a plain loop runs
 * them in the cgroup v2 guest. Run them in order: they share one burner, which is the proof that nothing is restarted.
 */

export interface Check {
  readonly name: string;
  /** Throws when it fails; may return something to print. */
  run(): Promise<string | undefined>;
}

export interface SuiteOptions {
  readonly kind: Exclude<ScalerKind, 'none'>;
  /** The bundled `helper.ts`. */
  readonly helper: string;
  readonly resizeCount: number;
  /** CPU use may exceed an allocation by this fraction: timer resolution, and slices handed out before a write. */
  readonly toleranceFraction: number;
}

const BURNER_THREADS = 2;

interface Bench {
  readonly handle: DetectedScaler;
  readonly warnings: string[];
  burner: Burner;
}

export interface Suite {
  readonly checks: readonly Check[];
  /** Ends what a failed check left running; does nothing after the last check. */
  cleanUp(): Promise<void>;
}

export function scalerSuite(options: SuiteOptions): Suite {
  const groupName = `test-${randomBytes(4).toString('hex')}`;
  let open: Bench | null = null;

  function bench(): Bench {
    assert.ok(open, 'the first check failed');
    return open;
  }

  function small(): number {
    const { minMillicores, maxMillicores } = bench().handle.scaler.limits;
    return Math.min(Math.max(300, minMillicores), maxMillicores);
  }

  const lifeCycle: Check[] = [
    {
      name: 'reclaims the group of a router that was killed, and ends the worker that stayed in it',
      async run() {
        const stale = `${groupName}-stale`;
        const { leftoverPid } = await leaveStaleGroup(options.helper, options.kind, stale);
        const handle = await createScaler({ kind: options.kind, groupName: stale, onWarning: failOn });
        try {
          assert.ok(await ends(leftoverPid), 'the leftover worker is still alive');
          assert.equal(handle.scaler.readCounters()?.usedSeconds, 0, 'a fresh group has fresh counters');
        } finally {
          await handle.close();
        }
        return undefined;
      },
    },
    {
      name: 'refuses a second owner of the same group in one line that names the first, and leaves that one alone',
      async run() {
        const second = createScaler({ kind: options.kind, groupName, onWarning: failOn });
        await assert.rejects(second, (error: Error) => {
          assert.match(error.message, new RegExp(`belongs to a running server \\(process ${process.pid}\\)`));
          assert.ok(!error.message.includes('\n'));
          return true;
        });
        assert.equal((await resize(bench().handle.scaler, small())).kind, 'applied');
        return undefined;
      },
    },
    {
      name: 'one thread of a worker moves to the group of another instance, and is limited there',
      async run() {
        const { burner, handle } = bench();
        const { pid, tid } = burner.report;
        await resize(handle.scaler, small());
        const other = await createScaler({ kind: options.kind, groupName: `${groupName}-r2`, onWarning: failOn });
        try {
          await resize(other.scaler, small());
          for (const file of filesToJoin(other.join)) writeFileSync(file, String(tid));
          other.attachProcess(pid, tid);
          const uses = [await medianUseCores(other.scaler), await medianUseCores(handle.scaler)];
          for (const use of uses) {
            assert.ok(use > 0, 'each group has a thread that computes');
            assertUnder(use, small(), options);
          }
          for (const file of filesToJoin(handle.join)) writeFileSync(file, String(tid));
          handle.attachProcess(pid, tid);
          return undefined;
        } finally {
          await other.close();
        }
      },
    },
    {
      name: 'warns of a worker whose inference thread is not in the group',
      run() {
        const { handle, warnings } = bench();
        handle.attachProcess(process.pid, process.pid);
        assert.equal(warnings.length, 1);
        assert.match(warnings[0]!, /is not in .*not limited/);
        return Promise.resolve(undefined);
      },
    },
  ];

  const checks: Check[] = [
    {
      name: 'only the inference thread and the threads it starts are in the group',
      async run() {
        const warnings: string[] = [];
        const handle = await createScaler({
          kind: options.kind,
          groupName,
          onWarning: (message) => warnings.push(message),
        });
        assert.equal(handle.scaler.kind, options.kind);
        const burner = await startBurner(options.helper, handle.join, BURNER_THREADS);
        open = { handle, warnings, burner };
        const { pid, tid, mainCgroup, innerCgroup } = burner.report;
        handle.attachProcess(pid, tid);
        assert.notEqual(tid, pid);
        if (options.kind !== 'affinity') {
          assert.ok(!mainCgroup.includes(groupName), mainCgroup);
          assert.ok(innerCgroup.includes(`sponge-${groupName}`), innerCgroup);
        } else {
          await resize(handle.scaler, handle.scaler.limits.minMillicores);
          assert.deepEqual(pinnedThreadCount(pid, 1), cpus().length > 1 ? BURNER_THREADS : threadCount(pid));
        }
        assert.deepEqual(warnings, []);
        return handle.description;
      },
    },
    {
      name: `${options.resizeCount} resizes: same process, same connection, no refusal, each quota read back`,
      async run() {
        const { handle, burner } = bench();
        const { scaler } = handle;
        const tookMs: number[] = [];
        for (let index = 0; index < options.resizeCount; index++) {
          const cpuMillicores = steppedAllocation(scaler, index);
          const result = await resize(scaler, cpuMillicores);
          if (result.kind === 'refused') assert.fail(result.message);
          assert.equal(result.cpuMillicores, cpuMillicores);
          assert.equal(millicoresInForce(handle, burner), cpuMillicores);
          tookMs.push(result.tookMs);
          if (index % 50 === 0) assert.equal(await burner.ping(), burner.report.pid);
        }
        assert.ok(isAlive(burner.report.pid));
        tookMs.sort((a, b) => a - b);
        const at = (fraction: number): string => tookMs[Math.floor(fraction * (tookMs.length - 1))]!.toFixed(3);
        return `decision to read back: p50 ${at(0.5)} ms, p99 ${at(0.99)} ms, most ${at(1)} ms`;
      },
    },
    {
      name: 'CPU use stays under a small allocation and grows with a large one',
      async run() {
        const { handle, burner } = bench();
        const { scaler } = handle;
        const most = scaler.limits.maxMillicores;
        await resize(scaler, small());
        const smallUse = await medianUseCores(scaler);
        assertUnder(smallUse, small(), options);
        // Without a quota the use may stay low because others are busy: there, cores are counted.
        if (options.kind === 'affinity') assert.equal(await coresRunOn(burner, 2), small() / 1000);
        await resize(scaler, most);
        const largeUse = await greatestUseCores(scaler, smallUse * 1.2);
        assertUnder(largeUse, most, options);
        if (options.kind === 'affinity') {
          assert.equal(await coresRunOn(burner, Math.min(BURNER_THREADS, most / 1000)), most > small() ? 2 : 1);
        } else if (most > small()) {
          assert.ok(largeUse > smallUse * 1.2, `use did not grow: ${smallUse} to ${largeUse} cores`);
        }
        return `${small()} millicores: ${smallUse.toFixed(3)} cores used; ${most} millicores: ${largeUse.toFixed(3)}`;
      },
    },
    {
      name: 'what rests holds nothing, and runs the moment it is given something',
      async run() {
        const { scaler } = bench().handle;
        const sharesOfWhole: number[] = [];
        for (let rest = 0; rest < 5; rest++) {
          const rested = await resize(scaler, scaler.idleMillicores);
          assert.ok(rested.kind === 'applied' && rested.cpuMillicores === scaler.idleMillicores);
          await delay(SETTLE_MS);
          await resize(scaler, small());
          const soon = useMeter(scaler);
          await delay(SETTLE_MS);
          const soonCores = soon();
          const later = useMeter(scaler);
          await delay(SETTLE_MS);
          sharesOfWhole.push(soonCores / later());
        }
        // With the rest in a longer period nothing would run until that is over.
        assert.ok(median(sharesOfWhole) > 0.5, `right after a rest: ${sharesOfWhole.join(', ')} of what it used later`);
        return `right after a rest: ${median(sharesOfWhole).toFixed(2)} of what it used later`;
      },
    },
    {
      name: 'weighs as much as its threads would outside the group, so that a busy neighbour does not outweigh them',
      run() {
        const { handle } = bench();
        const [weight] = groupDirs(handle).flatMap((dir) => weightIn(dir) ?? []);
        if (options.kind === 'affinity') assert.equal(weight, undefined);
        else assert.equal(weight!.toFixed(2), Math.max(1, handle.scaler.limits.maxMillicores / 1000).toFixed(2));
        return Promise.resolve(undefined);
      },
    },
    {
      name: 'asking every millisecond for what is in force writes nothing, so the budget is not refilled',
      async run() {
        const { scaler } = bench().handle;
        await resize(scaler, small());
        const uses: number[] = [];
        for (let window = 0; window < 3; window++) {
          await delay(SETTLE_MS);
          const measured = useMeter(scaler);
          const untilMs = performance.now() + WINDOW_MS;
          while (performance.now() < untilMs) {
            await delay(1);
            const result = await resize(scaler, small());
            assert.ok(result.kind === 'applied' && !result.isWritten, JSON.stringify(result));
          }
          uses.push(measured());
        }
        assertUnder(median(uses), small(), options);
        return `${small()} millicores: ${median(uses).toFixed(3)} cores used`;
      },
    },
    {
      name: 'a call is answered once and not from inside it; of calls made together the newest is in force',
      async run() {
        const { handle, burner } = bench();
        const { minMillicores, maxMillicores } = handle.scaler.limits;
        const answers: { call: number; kind: ResizeResult['kind']; isInside: boolean }[] = [];
        let isInside = true;
        const asked = [maxMillicores, minMillicores, maxMillicores, minMillicores];
        for (const [call, cpuMillicores] of asked.entries()) {
          handle.scaler.resize(cpuMillicores, ({ kind }) => answers.push({ call, kind, isInside }));
        }
        isInside = false;
        await delay(SETTLE_MS);
        assert.deepEqual(
          answers,
          asked.map((_, call) => ({ call, kind: 'applied', isInside: false })),
        );
        assert.equal(millicoresInForce(handle, burner), minMillicores);
        return undefined;
      },
    },
    {
      name: 'the counters grow with use, and tell of throttling where the kernel counts it',
      async run() {
        const { scaler } = bench().handle;
        await resize(scaler, small());
        const before = scaler.readCounters()!;
        await delay(WINDOW_MS);
        const after = scaler.readCounters()!;
        assert.ok(after.usedSeconds > before.usedSeconds);
        const grown = (key: keyof CpuCounters): boolean => after[key] > before[key];
        const isCounted = options.kind !== 'affinity';
        assert.equal(grown('periods'), isCounted);
        assert.equal(grown('throttledPeriods'), isCounted);
        assert.equal(grown('throttledSeconds'), isCounted);
        return undefined;
      },
    },
    {
      name: 'a restarted worker joins the same group and is limited as the one before',
      async run() {
        const { handle, burner } = bench();
        await resize(handle.scaler, small());
        const usedSeconds = handle.scaler.readCounters()!.usedSeconds;
        await burner.stop();
        bench().burner = await startBurner(options.helper, handle.join, BURNER_THREADS);
        const { pid, tid } = bench().burner.report;
        handle.attachProcess(pid, tid);
        assertUnder(await medianUseCores(handle.scaler), small(), options);
        assert.equal(millicoresInForce(handle, bench().burner), small());
        assert.ok(handle.scaler.readCounters()!.usedSeconds > usedSeconds, 'the counters go on');
        return undefined;
      },
    },
    ...(options.kind === 'affinity' ? [] : lifeCycle),
    {
      name: 'an allocation outside the limits is a broken invariant',
      run() {
        const { scaler } = bench().handle;
        const ask = (cpuMillicores: number) => () => scaler.resize(cpuMillicores, () => failOn('it was answered'));
        assert.throws(ask(scaler.limits.maxMillicores + 1), RangeError);
        assert.throws(ask(scaler.limits.minMillicores - 1), RangeError);
        assert.throws(ask(Number.NaN), RangeError);
        return Promise.resolve(undefined);
      },
    },
    {
      name: 'closing leaves nothing behind',
      async run() {
        const { handle, burner } = bench();
        const groups = groupDirs(handle);
        for (const dir of groups) assert.ok(existsSync(dir));
        await burner.stop();
        await handle.close();
        for (const dir of groups) assert.ok(!existsSync(dir), `${dir} is left`);
        for (const dir of groups) {
          const left = readdirSync(dirname(dir)).filter((entry) => entry.includes(groupName));
          assert.deepEqual(left, []);
        }
        await handle.close();
        return undefined;
      },
    },
  ];
  return {
    checks,
    async cleanUp() {
      await open?.burner.stop();
      await open?.handle.close();
    },
  };
}

export function resize(scaler: Scaler, cpuMillicores: number): Promise<ResizeResult> {
  return new Promise((resolve) => scaler.resize(cpuMillicores, resolve));
}

/** Walks up and down through the allowed allocations in uneven strides, so that consecutive ones differ. */
function steppedAllocation({ limits }: Scaler, index: number): number {
  const stepCount = Math.floor((limits.maxMillicores - limits.minMillicores) / limits.stepMillicores) + 1;
  return limits.minMillicores + ((index * 7) % stepCount) * limits.stepMillicores;
}

function assertUnder(useCores: number, cpuMillicores: number, { toleranceFraction }: SuiteOptions): void {
  const mostCores = (cpuMillicores / 1000) * (1 + toleranceFraction);
  assert.ok(useCores <= mostCores, `${useCores} cores used at ${cpuMillicores} millicores`);
}

function failOn(message: string): never {
  assert.fail(message);
}

/** Of a group, in threads of nice 0; null where its tree has no CPU weights. */
function weightIn(dir: string): number | null {
  for (const [file, ofOneThread] of [
    ['cpu.shares', 1024],
    ['cpu.weight', 100],
  ] as const) {
    const path = join(dir, file);
    if (existsSync(path)) return Number(readFileSync(path, 'utf8')) / ofOneThread;
  }
  return null;
}
