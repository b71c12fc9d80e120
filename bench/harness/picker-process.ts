import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';

const BIN = join(import.meta.dirname, '../../bin/sponge.js');

export interface PickerProcess {
  /** For Envoy. */
  readonly port: number;
  readonly metricsUrl: string;
  readonly podsUrl: string;
  readonly pid: number;
  kill(signal: NodeJS.Signals): Promise<void>;
}

/** `sponge route` as a user starts it, on free ports unless one is given. */
export async function startPicker(podPorts: readonly number[], flags: readonly string[] = []): Promise<PickerProcess> {
  const pods = podPorts.flatMap((port) => ['--pod', `127.0.0.1:${port}`]);
  const ports = flags.includes('--port') ? [] : ['--port', '0'];
  const args = [BIN, 'route', ...pods, ...ports, '--metrics-port', '0', '--log-level', 'warn', ...flags];
  const child = spawn(process.execPath, args, { stdio: ['ignore', 'ignore', 'inherit', 'ipc'] });
  const { port, metricsPort } = await ready(child);
  return {
    port,
    metricsUrl: `http://127.0.0.1:${metricsPort}/metrics`,
    podsUrl: `http://127.0.0.1:${metricsPort}/pods`,
    pid: child.pid!,
    kill: async (signal) => {
      if (child.exitCode !== null || child.signalCode !== null) return;
      const ended = once(child, 'exit');
      child.kill(signal);
      await ended;
    },
  };
}

async function ready(child: ChildProcess): Promise<{ readonly port: number; readonly metricsPort: number }> {
  const ended = once(child, 'exit').then(() => {
    throw new Error('sponge route ended before it was ready');
  });
  ended.catch(() => undefined);
  const [message] = (await Promise.race([once(child, 'message'), ended])) as [{ port: number; metricsPort: number }];
  return message;
}
