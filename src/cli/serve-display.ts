import { Option, type Command } from 'commander';
import type { Logger } from 'pino';
import type { Server } from '../server/server.js';
import { createLogger, type LogFormat, type LogLevel } from '../server/telemetry/logger.js';
import type { WatchDisplay } from './watch-display.js';

/* What `sponge serve` logs and draws, which may be to the same terminal. */

/** As commander parses them. */
export interface LogFlags {
  readonly logLevel: LogLevel;
  readonly logFormat: LogFormat;
  readonly eventLog?: string;
  readonly watch?: boolean;
}

export function addServeLogFlags(command: Command): Command {
  return command
    .optionsGroup('Logs:')
    .addOption(
      new Option('--log-level <level>', 'to stderr')
        .choices(['error', 'warn', 'info', 'debug', 'silent'])
        .default('info'),
    )
    .addOption(new Option('--log-format <format>', 'of log lines').choices(['text', 'json']).default('text'))
    .option('--event-log <file>', 'write every event of the run, one JSON object a line, once all models are up')
    .option('--watch', 'show allocation, queue and violations live in this terminal, and log only warnings to it');
}

/** Lines on the terminal that is drawn on go above what is drawn. */
export function serveLogger({ logFormat: format, logLevel }: LogFlags, display: WatchDisplay | null): Logger {
  if (display?.isInPlace !== true || !process.stderr.isTTY) return createLogger({ format, level: logLevel });
  const level = logLevel === 'info' ? 'warn' : logLevel;
  return createLogger({ format, level, write: (line) => display.aside(() => process.stderr.write(line)) });
}

/** The server's own events, as a subscriber of its feed would see them. */
export function show(server: Server, display: WatchDisplay): void {
  server.follow({
    onRun: (header) => {
      display.onRun(header);
      display.onMessage({ atMs: performance.now(), records: [] });
    },
    onChunk: (chunk) => display.onMessage(chunk),
  });
  display.begin();
}
