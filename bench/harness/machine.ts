import os from 'node:os';
import {
  commitText,
  describeMachine as describeHardware,
  type Machine as Hardware,
} from '../../src/reports/run-origin.js';

/** What the numbers depend on and nobody remembers later. */
export interface Machine extends Hardware {
  /** 1, 5 and 15 minutes, before the benches ran; well below the cores on a quiet machine. */
  readonly loadAverage: readonly number[];
  readonly date: string;
  readonly commit: string;
}

export function describeMachine(): Machine {
  return {
    ...describeHardware(),
    loadAverage: os.loadavg().map((load) => Math.round(load * 100) / 100),
    date: new Date().toISOString(),
    commit: commitText() ?? 'unknown',
  };
}

export function machineLines(machine: Machine): string {
  const { cpu, cores, memoryGib, kernel, node, loadAverage, date, commit } = machine;
  const isBusy = loadAverage[0]! > 0.5;
  return [
    `${date}, commit ${commit}`,
    `${cpu}, ${cores} cores, ${memoryGib} GiB, ${kernel}, Node ${node}`,
    `load average ${loadAverage.join(' ')}${isBusy ? ' — other programs are running: the numbers are worse than the machine' : ''}`,
  ].join('\n');
}
