import { printable } from '../server/doors/printable.js';

/** Without a terminal, a line now and then says what takes so long. */
const SAID_EVERY_MS = 5000;

/** One line that is overwritten on a terminal; plain lines now and then elsewhere. */
export function progressLine(): { show(message: string): void; clear(): void } {
  const isTerminal = process.stderr.isTTY;
  const startedAtMs = performance.now();
  let latest = 'starting';
  const timer = setInterval(() => {
    const elapsedSec = Math.round((performance.now() - startedAtMs) / 1000);
    if (!isTerminal) process.stderr.write(`not ready after ${elapsedSec} s: ${latest}\n`);
  }, SAID_EVERY_MS).unref();
  return {
    show: (message) => {
      // The name of a model is in it.
      latest = printable(message);
      if (isTerminal) process.stderr.write(`\r\u001b[2K${latest}`);
    },
    clear: () => {
      clearInterval(timer);
      if (isTerminal) process.stderr.write('\r\u001b[2K');
    },
  };
}
