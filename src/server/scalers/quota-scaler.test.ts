import { describe, expect, it } from 'vitest';
import type { ResizeResult } from '../../scheduler/controlplane/scaler.js';
import type { HealedGroup, Quota, QuotaFiles } from './quota-scaler.js';
import { createQuotaScaler } from './quota-scaler.js';

const LIMITS = { minMillicores: 100, maxMillicores: 1750, stepMillicores: 100 };
const PERIOD_US = 10_000;

/** A group's files in memory, with the writes they have seen. */
function memoryFiles(inForce: Quota, onWrite: (quota: Quota) => Quota = (quota) => quota) {
  const writes: Quota[] = [];
  const files: QuotaFiles = {
    read: () => inForce,
    write(quota) {
      writes.push(quota);
      inForce = onWrite(quota);
    },
    readCounters: () => ({ usedSeconds: 0, periods: 0, throttledPeriods: 0, throttledSeconds: 0 }),
  };
  return { writes, files, interfere: (quota: Quota) => (inForce = quota) };
}

/** A group that nobody touches, or that cannot be made again. */
const untouched: HealedGroup = {
  keepMembers: () => undefined,
  makeAgain: failWith('ENOENT'),
};

function scalerOn(files: QuotaFiles, group = untouched) {
  const scaler = createQuotaScaler('cgroup-v2', LIMITS, PERIOD_US, files, group);
  return (cpuMillicores: number): Promise<ResizeResult> =>
    new Promise((resolve) => scaler.resize(cpuMillicores, resolve));
}

function failWith(code: string): () => never {
  return () => {
    throw Object.assign(new Error(`${code}: write`), { code });
  };
}

describe('a quota scaler', () => {
  it('writes the quota of its period and tells what it read back', async () => {
    const { files, writes } = memoryFiles({ quotaUs: 17_500, periodUs: PERIOD_US });
    expect(await scalerOn(files)(300)).toMatchObject({ kind: 'applied', cpuMillicores: 300, isWritten: true });
    expect(writes).toEqual([{ quotaUs: 3000, periodUs: 10_000 }]); // 0.3 cores × 10 000 µs
  });

  it('writes nothing when the value is in force', async () => {
    const { files, writes } = memoryFiles({ quotaUs: 3000, periodUs: PERIOD_US });
    expect(await scalerOn(files)(300)).toMatchObject({ kind: 'applied', cpuMillicores: 300, isWritten: false });
    expect(writes).toEqual([]);
  });

  it('compares with what is in force, not with what it wrote last', async () => {
    const { files, writes, interfere } = memoryFiles({ quotaUs: 3000, periodUs: PERIOD_US });
    const resize = scalerOn(files);
    await resize(500);
    interfere({ quotaUs: 3000, periodUs: 100_000 });
    await resize(500);
    expect(writes).toHaveLength(2);
  });

  it('tells what is in force where the kernel took another value', async () => {
    const { files } = memoryFiles({ quotaUs: 3000, periodUs: PERIOD_US }, () => ({
      quotaUs: 4000,
      periodUs: PERIOD_US,
    }));
    // 4000 µs of 10 000 µs.
    expect(await scalerOn(files)(500)).toMatchObject({ kind: 'applied', cpuMillicores: 400 });
  });

  it('answers after the call, before any other event', async () => {
    const order: string[] = [];
    const scaler = createQuotaScaler(
      'cgroup-v1',
      LIMITS,
      PERIOD_US,
      memoryFiles({ quotaUs: null, periodUs: 1 }).files,
      untouched,
    );
    const nextEvent = new Promise<void>((resolve) => {
      setImmediate(() => {
        order.push('event');
        resolve();
      });
    });
    scaler.resize(300, () => order.push('answer'));
    order.push('returned');
    await nextEvent;
    expect(order).toEqual(['returned', 'answer', 'event']);
  });

  it.each([
    ['EINVAL', /an enclosing cgroup allows less/],
    ['ENOENT', /the cgroup is gone/],
    ['EACCES', /cannot set 500 millicores: EACCES/],
  ])('turns %s into a refusal of one line', async (code, message) => {
    const { files } = memoryFiles({ quotaUs: 3000, periodUs: PERIOD_US }, failWith(code));
    const result = await scalerOn(files)(500);
    expect(result.kind === 'refused' && result.message).toMatch(message);
  });

  it('has no counters once the group is gone for good', () => {
    const { files } = memoryFiles({ quotaUs: 3000, periodUs: PERIOD_US });
    const gone = { ...files, readCounters: failWith('ENOENT') };
    const scaler = createQuotaScaler('cgroup-v1', LIMITS, PERIOD_US, gone, untouched);
    expect(scaler.readCounters()).toBeNull();
  });

  describe('whose group others remove', () => {
    it('makes it again and takes the quota there, in the same resize', async () => {
      const { files, group, writes } = removableGroup();
      const resize = scalerOn(files, group);
      await resize(300);
      group.remove();
      expect(await resize(500)).toMatchObject({ kind: 'applied', cpuMillicores: 500, isWritten: true });
      expect(writes.at(-1)).toEqual({ quotaUs: 5000, periodUs: PERIOD_US });
      expect(group.timesMade).toBe(2);
    });

    it('finds it gone when its counters are read: they go on from where they were, and its quota is as it was', async () => {
      const { files, group, writes } = removableGroup();
      const scaler = createQuotaScaler('cgroup-v2', LIMITS, PERIOD_US, files, group);
      await new Promise((resolve) => scaler.resize(300, resolve));
      group.use(7);
      expect(scaler.readCounters()).toMatchObject({ usedSeconds: 7, periods: 700 });
      group.remove();
      expect(scaler.readCounters()).toMatchObject({ usedSeconds: 7, periods: 700 });
      expect(writes.at(-1)).toEqual({ quotaUs: 3000, periodUs: PERIOD_US });
      group.use(2);
      expect(scaler.readCounters()).toMatchObject({ usedSeconds: 9, periods: 900 }); // 7 + 2
      group.remove();
      group.use(4); // of nobody: the group is gone
      expect(scaler.readCounters()).toMatchObject({ usedSeconds: 9, periods: 900 });
    });
  });
});

/** In memory, made once; its counters begin anew with it. */
function removableGroup() {
  let isThere = true;
  let timesMade = 1;
  let usedSeconds = 0;
  const memory = memoryFiles({ quotaUs: 17_500, periodUs: PERIOD_US });
  const present = <Args extends unknown[], Result>(act: (...args: Args) => Result) => {
    return (...args: Args): Result => (isThere ? act(...args) : failWith('ENOENT')());
  };
  const group = {
    keepMembers: () => undefined,
    makeAgain() {
      isThere = true;
      timesMade++;
      usedSeconds = 0;
      memory.interfere({ quotaUs: 17_500, periodUs: PERIOD_US });
    },
    remove: () => void (isThere = false),
    use: (seconds: number) => void (usedSeconds += isThere ? seconds : 0),
    get timesMade() {
      return timesMade;
    },
  };
  const files: QuotaFiles = {
    read: present(() => memory.files.read()),
    write: present((quota: Quota & { readonly quotaUs: number }) => memory.files.write(quota)),
    readCounters: present(() => ({
      usedSeconds,
      periods: usedSeconds * 100,
      throttledPeriods: 0,
      throttledSeconds: 0,
    })),
  };
  return { files, group, writes: memory.writes };
}
