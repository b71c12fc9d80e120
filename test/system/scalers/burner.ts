import type { ChildProcess } from 'node:child_process';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import type { JoinInstruction } from '../../../src/server/scalers/join.js';
import type { BurnerReport } from './helper.js';

/** A running stand-in for a worker; `threadCount` of its threads burn CPU, its main thread answers. */
export interface Burner {
  readonly report: BurnerReport;
  /** Round trip through the pipe that has been open since it started. @returns the answering process id */
  ping(): Promise<number>;
  /** Safe to call twice. */
  stop(): Promise<void>;
}

export async function startBurner(helper: string, join: JoinInstruction, threadCount: number): Promise<Burner> {
  const args = [helper, 'burn', JSON.stringify(join), String(threadCount)];
  const child = spawn(process.execPath, args, { stdio: ['pipe', 'pipe', 'inherit'] });
  const lines = lineReader(child);
  const report = JSON.parse(await lines()) as BurnerReport;
  return {
    report,
    async ping() {
      child.stdin.write('ping\n');
      const answer = await lines();
      return Number(answer.split(' ')[1]);
    },
    async stop() {
      if (child.exitCode !== null || child.signalCode !== null) return;
      const exited = once(child, 'exit');
      child.stdin.end();
      child.kill('SIGKILL');
      await exited;
    },
  };
}

/** Starts the helper as a router that leaves a burner behind, and kills it as soon as that burner has joined. */
export async function leaveStaleGroup(
  helper: string,
  kind: string,
  groupName: string,
): Promise<{ leftoverPid: number }> {
  const router = spawn(process.execPath, [helper, 'own', kind, groupName], { stdio: ['ignore', 'pipe', 'inherit'] });
  const leftover = JSON.parse(await lineReader(router)()) as BurnerReport;
  const exited = once(router, 'exit');
  router.kill('SIGKILL');
  await exited;
  return { leftoverPid: leftover.pid };
}

function lineReader(child: ChildProcess): () => Promise<string> {
  const lines: AsyncIterator<string, undefined> = createInterface(child.stdout!)[Symbol.asyncIterator]();
  return async () => {
    const { value } = await lines.next();
    if (value === undefined) throw new Error('the helper process ended without an answer; its error is above');
    return value;
  };
}
