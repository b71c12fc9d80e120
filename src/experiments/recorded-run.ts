import { closeSync, openSync, writeSync } from 'node:fs';
import { recordOf, type RunHeader } from '../domain/event-record.js';
import { policyFor } from './policies.js';
import { runPolicy, worldOf } from './run-seed.js';
import { setUp } from './scenarios/setup.js';
import type { ScenarioFile } from './simulate.js';

/*
 * The event log of a simulated run, as `sponge serve --event-log` writes it of a live one. The run is made again for it: it
 * repeats bit for bit, and the threads that judge policies need not carry millions of events across.
 */

/** Enough that a write costs nothing beside what it writes. */
const WRITE_CHARS = 1024 * 1024;

export interface RunToRecord {
  readonly file: ScenarioFile;
  readonly policy: string;
  readonly seed: number;
}

/** @returns the fingerprint of the events, which is that of the run that was judged */
export function writeEventLog(path: string, run: RunToRecord): string {
  const descriptor = openSync(path, 'w');
  try {
    let waiting = '';
    const eventHash = recordRun(run, (line) => {
      waiting += `${line}\n`;
      if (waiting.length < WRITE_CHARS) return;
      writeSync(descriptor, waiting);
      waiting = '';
    });
    writeSync(descriptor, waiting);
    return eventHash;
  } finally {
    closeSync(descriptor);
  }
}

/** @param write each line, the header first   @returns as above */
function recordRun({ file, policy, seed }: RunToRecord, write: (line: string) => void): string {
  const setup = setUp(file.scenario, file.name, file.folder);
  const { environment, machine } = setup;
  const simulated = policyFor(policy, setup, seed);
  const limits = simulated.horizontal?.limits ?? environment.cpu.limits;
  const header: Omit<RunHeader, 'startedAtMs'> = {
    kind: 'run',
    schemaVersion: 1,
    source: 'simulated',
    title: `${file.name}, ${policy}, seed ${seed}`,
    startedAt: null,
    models: [
      {
        name: machine.name,
        version: '1',
        policy,
        limits,
        cpuMillicores: limits.maxMillicores,
        instances: 1,
        maxBatchSize: environment.cpu.maxBatchSize,
      },
    ],
  };
  let hasBegun = false;
  const report = runPolicy(setup, worldOf(setup, seed), simulated, undefined, (event) => {
    const record = recordOf(event);
    if (!hasBegun) write(JSON.stringify({ ...header, startedAtMs: record.atMs } satisfies RunHeader));
    hasBegun = true;
    write(JSON.stringify({ model: 0, ...record }));
  });
  return report.eventHash;
}
