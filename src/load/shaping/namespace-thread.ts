import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import type { FromLoadThread, LoadShare } from '../load-share.js';
import { ENDED_EARLY, type ThreadLink } from '../load-site.js';

const ENTRY = fileURLToPath(new URL('./namespace-process.js', import.meta.url));

/** A share of a load in another network namespace: those are of whole processes, so it takes one. */
export function startInNamespace(namespace: string, share: LoadShare): ThreadLink {
  const child = spawn('ip', ['netns', 'exec', namespace, process.execPath, ENTRY], {
    stdio: ['ignore', 'ignore', 'pipe', 'ipc'],
    // Typed arrays go as they are.
    serialization: 'advanced',
    // In a group of its own: Ctrl-C at the terminal is for whoever started it.
    detached: true,
  });
  let errors = '';
  child.stderr!.on('data', (chunk: Buffer) => (errors = (errors + chunk.toString()).slice(0, 1000)));
  const ended = once(child, 'close').catch(() => undefined);
  const send = (message: object): void => {
    child.send(message, () => undefined); // A failure shows as its end.
  };
  send(share);
  return {
    tell: send,
    onTold: (hear) => child.on('message', (message) => hear(message as FromLoadThread)),
    onLost: (hear) => {
      child.on('error', hear);
      child.on('close', () => hear(new Error(`${ENDED_EARLY}: ${errors.trim() || 'without a word'}`)));
    },
    end: async () => {
      child.kill('SIGKILL');
      await ended;
    },
  };
}
