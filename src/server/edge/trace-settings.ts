import { OipFailure } from '../../protocol/service.js';

/*
 * Triton's trace settings: readable, and off. What Triton would trace is told elsewhere: of each request in its answer's parameters, of
 * all in the feed of events and the event log.
 */

/** In Triton's words; what would be in force if it were on are its defaults. */
export const TRACE_SETTINGS: ReadonlyMap<string, readonly string[]> = new Map([
  ['trace_level', ['OFF']],
  ['trace_rate', ['1000']],
  ['trace_count', ['-1']],
  ['log_frequency', ['0']],
  ['trace_file', ['']],
  ['trace_mode', ['triton']],
]);

/**
 * @param changes by name; empty where a setting is cleared, which leaves it as it is
 * @throws OipFailure `invalid` for a setting that there is not, `not_allowed` for one that is not in force already
 */
export function checkTraceChanges(changes: ReadonlyMap<string, readonly string[]>): void {
  for (const [name, values] of changes) {
    const current = TRACE_SETTINGS.get(name);
    if (current === undefined) throw new OipFailure('invalid', `there is no trace setting '${name.slice(0, 64)}'`);
    if (values.length === 0 || values.join() === current.join()) continue;
    throw new OipFailure(
      'not_allowed',
      `${name} cannot be changed, traces are off: a request's times are in its answer's parameters, all events in --event-log`,
    );
  }
}
