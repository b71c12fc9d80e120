import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { promisify } from 'node:util';
import type { LoadSummary } from '../../src/load/load-summary.js';
import type { SpongeServer } from './sponge-server.js';

const BIN = join(import.meta.dirname, '../../bin/sponge.js');

/** `sponge load` against a server, as a process of its own. @param flags the scenario first */
export async function scenarioLoad({ restPort }: SpongeServer, flags: readonly string[]): Promise<LoadSummary> {
  const url = `http://127.0.0.1:${restPort}`;
  const { stdout } = await promisify(execFile)(process.execPath, [BIN, 'load', ...flags, '--url', url, '--json']);
  return JSON.parse(stdout) as LoadSummary;
}

/** Of what was sent, what was not answered in time, %. */
export function missedPercent({ violationRate }: LoadSummary): number {
  return 100 * violationRate;
}
