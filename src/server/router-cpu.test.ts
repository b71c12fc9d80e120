import { describe, expect, it } from 'vitest';
import type { ThreadUsage } from './scalers/inference-threads.js';
import { RouterCpu } from './router-cpu.js';

/** Threads of processes as the kernel tells of them: nothing any more of one that is gone. */
function setUp() {
  const used = new Map<number, number>();
  const createUsage = (): ThreadUsage => {
    let [pid, seconds] = [0, 0];
    return {
      attach: (attached) => (pid = attached),
      usedSeconds: () => (seconds = used.get(pid) ?? seconds),
    };
  };
  const cpu = new RouterCpu(createUsage);
  let pids = [1, 0];
  cpu.add(() => pids);
  const ownSeconds = (): number => {
    const { user, system } = process.cpuUsage();
    return (user + system) / 1e6;
  };
  return {
    used,
    cpu,
    setPids: (now: readonly number[]) => (pids = [...now]),
    /** This process uses a little between two looks. */
    workerSeconds: () => Math.round(cpu.usedSeconds() - ownSeconds()),
  };
}

describe('CPU outside the groups', () => {
  it('is that of every worker there is', () => {
    const { used, setPids, workerSeconds } = setUp();
    used.set(1, 10);
    expect(workerSeconds()).toBe(10);
    used.set(2, 5);
    setPids([1, 2]);
    expect(workerSeconds()).toBe(15);
  });

  it('has that of a worker which came and went while nobody looked', () => {
    const { used, cpu, workerSeconds } = setUp();
    used.set(1, 10).set(2, 7);
    cpu.settle(2);
    used.delete(2);
    expect(workerSeconds()).toBe(17);
    expect(workerSeconds()).toBe(17);
  });

  it('counts a worker once that was seen before it was ended, and keeps what was seen of one that died', () => {
    const { used, cpu, setPids, workerSeconds } = setUp();
    used.set(1, 10).set(2, 5);
    setPids([1, 2]);
    expect(workerSeconds()).toBe(15);
    used.set(2, 6);
    setPids([1, 0]);
    cpu.settle(2);
    used.delete(2);
    expect(workerSeconds()).toBe(16);
    setPids([3, 0]);
    used.delete(1);
    used.set(3, 1);
    expect(workerSeconds()).toBe(17);
  });
});
