import { describe, expect, it } from 'vitest';
import type { ResizeResult, Scaler } from '../../scheduler/controlplane/scaler.js';
import { withFallback } from './fallback.js';
import type { ScalerHandle } from './scaler-handle.js';

const GROUP_LIMITS = { minMillicores: 100, maxMillicores: 1750, stepMillicores: 100 };
const CORE_LIMITS = { minMillicores: 1000, maxMillicores: 2000, stepMillicores: 1000 };

function fakeScaler(kind: Scaler['kind'], limits: Scaler['limits'], usedSeconds: number) {
  const asked: number[] = [];
  const scaler: Scaler = {
    kind,
    isActuating: true,
    limits,
    idleMillicores: 0,
    expectedDelayMs: kind === 'affinity' ? 10 : 1,
    resize(cpuMillicores, onApplied) {
      asked.push(cpuMillicores);
      queueMicrotask(() => onApplied({ kind: 'applied', cpuMillicores, isWritten: true, tookMs: 0 }));
    },
    readCounters: () => ({ usedSeconds, periods: 0, throttledPeriods: 0, throttledSeconds: 0 }),
  };
  return { asked, scaler };
}

function fakeMachine() {
  const first = fakeScaler('cgroup-v1', GROUP_LIMITS, 5);
  const second = fakeScaler('affinity', CORE_LIMITS, 2);
  const machine = { isThere: true, isWritable: true, areDescriptorsLeft: true, closed: [] as string[] };
  const warnings: string[] = [];
  const attached: [string, number][] = [];
  const common = (name: string) => ({
    description: name,
    attachProcess: (pid: number) => void attached.push([name, pid]),
    close: () => Promise.resolve(void machine.closed.push(name)),
  });
  const join = { kind: 'cgroup-v1', taskFiles: ['/group/tasks'] } as const;
  const group = {
    makeAgain() {
      if (!machine.isWritable) throw new Error('read-only');
      machine.isThere = true;
    },
    assertUsable() {
      if (!machine.areDescriptorsLeft) throw Object.assign(new Error('too many open files'), { code: 'EMFILE' });
      if (!machine.isThere || !machine.isWritable) throw new Error('not usable');
    },
  };
  const next: ScalerHandle = {
    scaler: second.scaler,
    join: { kind: 'affinity' },
    rejoin: () => ({ kind: 'affinity' }),
    ...common('CPU affinity'),
  };
  const handle = withFallback(
    { scaler: first.scaler, join, group, ...common('a group') },
    () => next,
    (message) => warnings.push(message),
  );
  return { handle, machine, warnings, attached, groupAsked: first.asked, coresAsked: second.asked };
}

function resize({ scaler }: ScalerHandle, cpuMillicores: number): Promise<ResizeResult> {
  return new Promise((resolve) => scaler.resize(cpuMillicores, resolve));
}

describe('a CPU group with the next adapter behind it', () => {
  it('is joined as before where it stands, and made again where it was removed: with the allocation that it had', async () => {
    const { handle, machine, warnings, groupAsked } = fakeMachine();
    await resize(handle, 300);
    expect(handle.rejoin()).toBe(handle.join);
    expect(groupAsked).toEqual([300]);
    machine.isThere = false;
    expect(handle.rejoin()).toBe(handle.join);
    expect(machine.isThere).toBe(true);
    expect(groupAsked).toEqual([300, 300]);
    expect(warnings).toEqual([]); // the group itself says what was done to it
  });

  it('gives way where it cannot hold a worker, which is said once', async () => {
    const { handle, machine, warnings, attached, coresAsked } = fakeMachine();
    await resize(handle, 1200);
    machine.isWritable = false;
    expect(handle.rejoin()).toEqual({ kind: 'affinity' });
    expect(handle.rejoin()).toEqual({ kind: 'affinity' });
    expect(warnings).toEqual(['the CPU group cannot be used any more (read-only): from now on CPU affinity']);
    expect(coresAsked).toEqual([2000]); // what was in force, in whole cores
    expect(handle.scaler).toMatchObject({ kind: 'affinity', expectedDelayMs: 10, limits: GROUP_LIMITS });
    handle.attachProcess(77, 78);
    expect(attached).toEqual([['CPU affinity', 77]]);
    machine.isWritable = true;
    expect(handle.rejoin()).toEqual({ kind: 'affinity' }); // for good
  });

  it('is kept where only the server has no descriptors left to look at it', () => {
    const { handle, machine, warnings } = fakeMachine();
    machine.areDescriptorsLeft = false;
    expect(handle.rejoin()).toBe(handle.join);
    machine.isThere = false; // made again, and then not to be looked at
    expect(handle.rejoin()).toBe(handle.join);
    machine.areDescriptorsLeft = true;
    expect(handle.rejoin()).toBe(handle.join);
    expect(warnings).toEqual([]);
  });

  it('is resized in the steps of what there is now, and by no more than that can give', async () => {
    const { handle, machine } = fakeMachine();
    machine.isWritable = false;
    handle.rejoin();
    expect(await resize(handle, 300)).toMatchObject({ kind: 'applied', cpuMillicores: 1000 });
    expect(await resize(handle, 1100)).toMatchObject({ kind: 'applied', cpuMillicores: 2000 });
    expect(await resize(handle, 0)).toMatchObject({ kind: 'applied', cpuMillicores: 0 });
  });

  it('has counters that go on through the change, and closes both', async () => {
    const { handle, machine } = fakeMachine();
    expect(handle.scaler.readCounters()?.usedSeconds).toBe(5);
    machine.isWritable = false;
    handle.rejoin();
    expect(handle.scaler.readCounters()?.usedSeconds).toBe(7); // 5 + 2
    await handle.close();
    expect(machine.closed).toEqual(['CPU affinity', 'a group']);
  });
});
