import { execFileSync } from 'node:child_process';
import os from 'node:os';

/** What the numbers depend on and nobody remembers later. */
export interface Machine {
  readonly cpu: string;
  readonly cores: number;
  readonly memoryGib: number;
  readonly kernel: string;
  readonly node: string;
  /** 1, 5 and 15 minutes, before the benches ran; well below the cores on a quiet machine. */
  readonly loadAverage: readonly number[];
  readonly date: string;
  readonly commit: string;
}

export function describeMachine(): Machine {
  return {
    cpu: os.cpus()[0]?.model ?? 'unknown',
    cores: os.availableParallelism(),
    memoryGib: Math.round(os.totalmem() / 2 ** 30),
    kernel: os.release(),
    node: process.version,
    loadAverage: os.loadavg().map((load) => Math.round(load * 100) / 100),
    date: new Date().toISOString(),
    commit: commitText(),
  };
}

export function machineLines(machine: Machine): string {
  const { cpu, cores, memoryGib, kernel, node, loadAverage, date, commit } = machine;
  const isBusy = loadAverage[0]! > 0.5;
  return [
    `${date}, commit ${commit}`,
    `${cpu}, ${cores} cores, ${memoryGib} GiB, Linux ${kernel}, Node ${node}`,
    `load average ${loadAverage.join(' ')}${isBusy ? ' — other programs are running: the numbers are worse than the machine' : ''}`,
  ].join('\n');
}

function commitText(): string {
  try {
    const git = (...args: string[]): string =>
      execFileSync('git', args, {
        cwd: import.meta.dirname,
        encoding: 'utf8',
        stdio: ['ignore', 'pipe', 'ignore'],
      }).trim();
    return git('rev-parse', '--short', 'HEAD') + (git('status', '--porcelain') === '' ? '' : ' with changes');
  } catch {
    return 'unknown';
  }
}
