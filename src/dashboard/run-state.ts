import type { ModelRecord, RunHeader, RunModel } from '../scheduler/domain/event-record.js';
import { LIVE_CAPACITIES, ModelState, type Capacities } from './model-state.js';
import { isRunPipeline } from './run-pipeline.js';

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
    this.models = header.models.map((model) => new ModelState(model, capacities));
    this.nowMs = header.startedAtMs;
    this.coveredFromMs = null;
    if (isWhole) this.#begin(header.startedAtMs);
  }

  /** @param atMs the sender's now: time passes without records too */
  apply(atMs: number, records: readonly ModelRecord[]): void {
    if (this.coveredFromMs === null) this.#begin(records[0]?.atMs ?? atMs);
    for (const record of records) {
      this.models[record.model]?.apply(record);
      if (record.atMs > this.nowMs) this.nowMs = record.atMs;
      this.recordCount += 1;
    }
    if (atMs > this.nowMs) this.nowMs = atMs;
  }

  #begin(atMs: number): void {
    this.coveredFromMs = atMs;
    for (const model of this.models) model.begin(atMs);
  }
}

/**
 * A finished run: everything is kept, because the log itself bounds it.
 * @throws Error, one line, where the header or a record lacks what it should say
 */
export function runOfLog(header: RunHeader, records: readonly ModelRecord[]): RunState {
  if (!Number.isFinite(header.startedAtMs)) throw new Error('the header does not say when the run began (startedAtMs)');
  header.models.forEach(checkModel);
  const rows = Math.max(1, records.length);
  const run = new RunState(header, { rows, steps: rows + 1, plans: rows }, true);
  try {
    run.apply(header.startedAtMs, records);
  } catch (error) {
    const { kind } = records[run.recordCount]!;
    throw new Error(
      `event ${run.recordCount + 1}, ${kind}, is not as this page knows it: ${(error as Error).message}`,
      {
        cause: error,
      },
    );
  }
  return run;
}

/** A file is anybody's; what is drawn of a model has to be there. */
function checkModel(model: Partial<RunModel> | null, index: number): void {
  const limits = model?.limits;
  const numbers = [
    model?.cpuMillicores,
    ...(model?.allocations ?? []),
    limits?.minMillicores,
    limits?.maxMillicores,
    limits?.stepMillicores,
  ];
  if (model?.pipeline !== undefined && !isRunPipeline(model.pipeline))
    throw new Error(
      `model ${index + 1} of the header is a pipeline that lacks its steps, what they wait for or their counts`,
    );
  if (typeof model?.name === 'string' && numbers.every(Number.isFinite)) return;
  throw new Error(`model ${index + 1} of the header lacks its name, its allocation or its limits`);
}
