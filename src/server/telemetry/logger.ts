import { pino, stdTimeFunctions, type Logger } from 'pino';
import { printable } from '../doors/printable.js';
import type { LogControl, LogLevel } from '../edge/log-settings.js';

/*
 * The process's logger. JSON is one object a line with `time` (ISO 8601, UTC), `level` and `msg`; text is the same line
 * for people: time, level, model, message, then the fields as name=value. Both go to stderr, because stdout belongs to
 * what a command prints.
 *
 * Levels: `error` the server cannot go on; `warn` something failed that should not (a worker, the model, a resize);
 * `info` what an operator wants to see, at most a few dozen lines a second whatever the load (`event-log.ts`); `debug`
 * everything one by one.
 *
 * Text is made from the JSON line rather than by a second logger, so the two formats cannot drift; at the volume that
 * `info` allows, parsing costs nothing worth saving.
 */

export type LogFormat = 'json' | 'text';
export type { LogLevel };

export interface LoggerOptions {
  readonly format: LogFormat;
  readonly level: LogLevel;
  /** Takes finished lines, newline included; stderr by default, written asynchronously and flushed at exit. */
  readonly write?: (line: string) => void;
}

const STDERR = 2;

/** Of each logger made here those made from it, which take its level when they are made and keep it. */
const descendants = new WeakMap<Logger, Set<WeakRef<Logger>>>();

export function createLogger(options: LoggerOptions): Logger {
  const write = options.write ?? writeToStderr();
  const children = new Set<WeakRef<Logger>>();
  const logger = pino(
    {
      level: options.level,
      onChild: (child) => {
        for (const other of children) if (other.deref() === undefined) children.delete(other);
        children.add(new WeakRef(child));
      },
      base: null,
      timestamp: stdTimeFunctions.isoTime,
      formatters: { level: (label) => ({ level: label }) },
    },
    { write: options.format === 'json' ? write : (line: string) => write(toTextLine(line)) },
  );
  descendants.set(logger, children);
  return logger;
}

/** Of a logger that was made here, and of all that were made from it. */
export function logControlOf(logger: Logger): LogControl {
  return {
    level: () => logger.level as LogLevel,
    setLevel(level) {
      logger.level = level;
      for (const child of descendants.get(logger) ?? []) {
        const alive = child.deref();
        if (alive !== undefined) alive.level = level;
      }
    },
  };
}

function writeToStderr(): (line: string) => void {
  // Synchronous writes would stop the router whenever the reader of a pipe does.
  const stderr = pino.destination({ dest: STDERR, sync: false });
  return (line) => void stderr.write(line);
}

/**
 * One JSON log line as text: `09:30:05.120Z info  ocr/1 batch completed batchId=7 latencyMs=30.2`.
 * Whatever is not a JSON object stays as it is. A line stays one line: control characters in values are escaped.
 */
export function toTextLine(jsonLine: string): string {
  let fields: unknown;
  try {
    fields = JSON.parse(jsonLine);
  } catch {
    return jsonLine;
  }
  if (typeof fields !== 'object' || fields === null) return jsonLine;
  const { time, level, msg, model, version, ...rest } = fields as Record<string, unknown>;
  const words = [clockTime(time), asWord(level).padEnd(5)];
  if (model !== undefined) words.push(version === undefined ? asWord(model) : `${asWord(model)}/${asWord(version)}`);
  if (typeof msg === 'string') words.push(printable(msg));
  for (const [name, value] of Object.entries(rest)) words.push(`${name}=${asWord(value)}`);
  return `${words.join(' ')}\n`;
}

/** `2026-01-31T09:30:05.120Z` → `09:30:05.120Z`. */
function clockTime(time: unknown): string {
  return typeof time === 'string' ? time.slice(time.indexOf('T') + 1) : '';
}

/** Quoted only where it has to be. */
function asWord(value: unknown): string {
  const isPlain = typeof value === 'string' && /^[\w.:/+-]+$/.test(value);
  return isPlain ? value : printable(JSON.stringify(value));
}
