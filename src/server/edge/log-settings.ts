import { invalid, OipFailure } from '../../protocol/service.js';

/*
 * Triton's log settings over our log level. Triton has a switch for each kind of message; a level includes the kinds above it, so what
 * cannot be said in levels is refused rather than half done.
 */

export const LOG_LEVELS = ['silent', 'error', 'warn', 'info', 'debug'] as const;
export type LogLevel = (typeof LOG_LEVELS)[number];

/** Of the server's log. */
export interface LogControl {
  level(): LogLevel;
  setLevel(level: LogLevel): void;
}

/** Where there is no log: keeps its level, at which nobody logs. */
export function controlOfNoLog(): LogControl {
  let current: LogLevel = 'info';
  return { level: () => current, setLevel: (level) => (current = level) };
}

export interface LogSettings {
  readonly log_file: string;
  readonly log_info: boolean;
  readonly log_warning: boolean;
  readonly log_error: boolean;
  /** 0, or 1 for everything one by one. */
  readonly log_verbose_level: number;
  readonly log_format: string;
}

/** The level that has to be reached for a kind of message. */
const LEVEL_OF_SWITCH = { log_error: 'error', log_warning: 'warn', log_info: 'info' } as const;

export function logSettings(control: LogControl): LogSettings {
  const current = LOG_LEVELS.indexOf(control.level());
  const includes = (kind: LogLevel): boolean => current >= LOG_LEVELS.indexOf(kind);
  return {
    // The console's, which is where it goes.
    log_file: '',
    log_info: includes('info'),
    log_warning: includes('warn'),
    log_error: includes('error'),
    log_verbose_level: includes('debug') ? 1 : 0,
    log_format: 'ISO8601',
  };
}

/**
 * @param changes as sent, by Triton's names
 * @throws OipFailure `invalid` for what is no such setting or no value of it, and for what no level says; nothing is changed then
 */
export function changeLogSettings(control: LogControl, changes: Readonly<Record<string, unknown>>): void {
  const current = logSettings(control);
  for (const [name, value] of Object.entries(changes)) checkChange(current, name, value);
  const wanted = { ...current, ...(changes as Partial<LogSettings>) };
  const level = levelOf(wanted);
  for (const [name, kind] of Object.entries(LEVEL_OF_SWITCH)) {
    if (changes[name] !== false || LOG_LEVELS.indexOf(level) < LOG_LEVELS.indexOf(kind)) continue;
    throw invalid(`${name} cannot be off at level ${level}, which includes it: switch off the lower levels first`);
  }
  control.setLevel(level);
}

function levelOf({ log_verbose_level, log_info, log_warning, log_error }: LogSettings): LogLevel {
  if (log_verbose_level > 0) return 'debug';
  if (log_info) return 'info';
  if (log_warning) return 'warn';
  return log_error ? 'error' : 'silent';
}

function checkChange(current: LogSettings, name: string, value: unknown): void {
  if (!Object.hasOwn(current, name)) throw invalid(`there is no log setting '${name.slice(0, 64)}'`);
  if (name in LEVEL_OF_SWITCH) {
    if (typeof value !== 'boolean') throw invalid(`${name}: expected true or false`);
  } else if (name === 'log_verbose_level') {
    if (typeof value !== 'number' || !Number.isInteger(value) || value < 0) {
      throw invalid('log_verbose_level: expected an integer ≥ 0');
    }
  } else if (value !== current[name as 'log_file' | 'log_format']) {
    throw invalid(`${name} cannot be changed while the server runs: it is '${current[name as 'log_file']}'`);
  }
}

/** @throws OipFailure `not_allowed` where whoever reaches the server could silence it */
export function assertMaySetLogs(door: { readonly isPrivate: boolean; readonly tokens: object | null }): void {
  if (door.isPrivate || door.tokens !== null) return;
  throw new OipFailure(
    'not_allowed',
    'log settings can be changed from this machine alone (--host 127.0.0.1), or with a token (--auth-token-file)',
  );
}
