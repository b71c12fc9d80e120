import { InvalidArgumentError, type Command } from 'commander';

/** More than this one planning thread cannot keep busy. */
const MOST_IO_THREADS = 64;

export interface ThreadFlags {
  readonly ioThreads: number;
}

export function addThreadFlags(command: Command): Command {
  return command
    .optionsGroup('Threads:')
    .option(
      '--io-threads <n>',
      'threads that accept, read and write, beside the one that plans. 0: that one does it all, which is best up to four ' +
        'cores, and below 10,000 requests a second',
      ioThreadCount,
      0,
    );
}

function ioThreadCount(text: string): number {
  if (/^\d{1,2}$/.test(text) && Number(text) <= MOST_IO_THREADS) return Number(text);
  throw new InvalidArgumentError(`expected a whole number, 0 to ${MOST_IO_THREADS}.`);
}
