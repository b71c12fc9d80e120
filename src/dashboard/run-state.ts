import type { ModelRecord, RunHeader } from '../domain/event-record.js';
import { LIVE_CAPACITIES, ModelState, type Capacities } from './model-state.js';

/*
 * A run as far as it is known: what the page shows is computed from this and from nothing else. Pure; told of records in
 * order, by the live feed or from an event log.
 */

export class RunState {
  readonly header: RunHeader;
  readonly models: readonly ModelState[];
  /** The newest instant that was heard of, by the run's clock. */
  nowMs: number;
  /** From here on the records are complete: the start of a log, or what a live feed begins with. */
  coveredFromMs: number | null;
  recordCount = 0;

  /** @param isWhole whether the first record is the run's first */
  constructor(header: RunHeader, capacities: Capacities = LIVE_CAPACITIES, isWhole = false) {
    this.header = header;
    this.models = header.models.map((model) => new ModelState(model, header.startedAtMs, capacities));
    this.nowMs = header.startedAtMs;
    this.coveredFromMs = isWhole ? header.startedAtMs : null;
  }

  /** @param atMs the sender's now: time passes without records too */
  apply(atMs: number, records: readonly ModelRecord[]): void {
    this.coveredFromMs ??= records[0]?.atMs ?? atMs;
    for (const record of records) {
      this.models[record.model]?.apply(record);
      if (record.atMs > this.nowMs) this.nowMs = record.atMs;
    }
    if (atMs > this.nowMs) this.nowMs = atMs;
    this.recordCount += records.length;
  }
}

/** A finished run: everything is kept, because the log itself bounds it. */
export function runOfLog(header: RunHeader, records: readonly ModelRecord[]): RunState {
  const rows = Math.max(1, records.length);
  const run = new RunState(header, { rows, steps: rows + 1, plans: rows }, true);
  run.apply(header.startedAtMs, records);
  return run;
}
