import type { EventRecord, ModelRecord, RunHeader, RunModel } from './event-record.js';

/*
 * Reading what an event log or the live feed says. Pure, so that experiments, the dashboard and `sponge watch` share it.
 *
 * An event log is JSON Lines: the `RunHeader`, then one `ModelRecord` a line, in the order in which things happened. Where
 * the writer had to leave records out, a `LogGap` stands in their place; where a model came or went, the header stands once more.
 *
 * What older logs of version 1 do not say is filled in here, so that no reader has to know of them.
 */

export interface RecordedRun {
  readonly header: RunHeader;
  readonly records: readonly ModelRecord[];
  /** Known to be missing: the disk could not keep up. */
  readonly droppedRecords: number;
}

/** A line of an event log: so many records are missing here. */
export interface LogGap {
  readonly kind: 'gap';
  readonly droppedRecords: number;
}

/** A message of the live feed: what happened since the one before, and what time it is now. */
export interface FeedMessage {
  /** Instant of the run's clock at which it was sent; not before any of its records. */
  readonly atMs: number;
  /** Empty in a heartbeat. */
  readonly records: readonly ModelRecord[];
}

/**
 * The last line may be cut off, as it is where a process was killed: it is left out then.
 * @throws Error, one line, for what is not an event log
 */
export function parseEventLog(text: string): RecordedRun {
  const firstEnd = endOfLine(text, 0);
  const models = new ModelsOfLog();
  const header = parseRunHeader(text.slice(0, firstEnd), 'line 1');
  models.begin(header);
  const records: ModelRecord[] = [];
  let droppedRecords = 0;
  let lineNumber = 2;
  for (let start = firstEnd + 1; start < text.length; lineNumber++) {
    const end = endOfLine(text, start);
    const line = text.slice(start, end);
    const isWhole = end < text.length;
    start = end + 1;
    if (line.trim() === '') continue;
    const value = jsonOrUndefined(line);
    if (value === undefined && !isWhole) break;
    if (isGap(value)) droppedRecords += value.droppedRecords;
    else if (isHeader(value)) models.begin(parseRunHeader(line, `line ${lineNumber}`));
    else if (isModelRecord(value, models.slotCount)) records.push(models.placed(completed(value)));
    else throw new Error(`line ${lineNumber} of the event log is no event of this run: ${excerpt(line)}`);
  }
  return { header: { ...header, models: models.all }, records, droppedRecords };
}

/** All models of a log, of which a later header may give one that is gone's place to another. */
class ModelsOfLog {
  readonly all: RunModel[] = [];
  /** By the index in the records now: where the model is among all. */
  #places: number[] = [];
  /** By the same: not served any more, by the header before. */
  #areGone: boolean[] = [];

  begin({ models }: RunHeader): void {
    this.#places = models.map((model, slot) => {
      const known = this.#places[slot];
      // A pipeline that takes the place of one that is gone may have other steps, and is counted from 0.
      const isAnother = model.pipeline !== undefined && this.#areGone[slot] === true && model.isGone !== true;
      // What was granted when it began stays; what it is called is as it was last.
      if (known === undefined || isAnother || this.all[known]!.name !== model.name) return this.all.push(model) - 1;
      const { name, version, policy, limits, maxBatchSize } = model;
      this.all[known] = { ...this.all[known]!, name, version, policy, limits, maxBatchSize };
      return known;
    });
    this.#areGone = models.map(({ isGone }) => isGone === true);
  }

  get slotCount(): number {
    return this.#places.length;
  }

  placed(record: ModelRecord): ModelRecord {
    return { ...record, model: this.#places[record.model]! };
  }
}

/** Not always was told how many instances were ready. */
type OlderModel = Omit<RunModel, 'instances'> & Partial<RunModel>;

/** @param where it stands, for the message @throws Error, one line, for anything else */
export function parseRunHeader(json: string, where: string): RunHeader {
  const value = jsonOrUndefined(json) as Partial<RunHeader> | null | undefined;
  if (value?.kind !== 'run' || !Array.isArray(value.models)) {
    throw new Error(
      `${where} is not the header of an event log ({"kind":"run",…}): ${excerpt(json)}; ` +
        'event logs are written by sponge serve --event-log and sponge simulate --event-log',
    );
  }
  const version: number | undefined = value.schemaVersion;
  if (version !== 1) {
    throw new Error(`${where} is of event log version ${String(version)}, and this Sponge reads version 1`);
  }
  const models = value.models.map((model: OlderModel) => ({ ...model, instances: model.instances ?? 1 }));
  return { ...(value as RunHeader), models };
}

/** @throws Error, one line, for anything else */
export function parseFeedMessage(json: string, { models }: RunHeader): FeedMessage {
  const value = jsonOrUndefined(json) as Partial<FeedMessage> | null | undefined;
  const isMessage =
    typeof value?.atMs === 'number' &&
    Array.isArray(value.records) &&
    value.records.every((each) => isModelRecord(each, models.length));
  if (!isMessage) throw new Error(`not a message of a live feed: ${excerpt(json)}`);
  return { ...(value as FeedMessage), records: (value as FeedMessage).records.map(completed) };
}

/** As a record, so that the compiler sees to it that no kind is missing. */
const KINDS: Readonly<Record<EventRecord['kind'], true>> = {
  'request-received': true,
  'request-admitted': true,
  'request-finished': true,
  'batch-started': true,
  'batch-ended': true,
  planned: true,
  'resize-requested': true,
  resized: true,
  'resize-refused': true,
  'instances-requested': true,
  'instances-changed': true,
  'worker-lost': true,
  'worker-ready': true,
  'router-standstill': true,
  'steps-counted': true,
};

/** What every record has; the rest is as its writer made it. */
function isModelRecord(value: unknown, modelCount: number): value is ModelRecord {
  if (typeof value !== 'object' || value === null) return false;
  const { kind, atMs, model } = value as Readonly<Record<string, unknown>>;
  return (
    typeof kind === 'string' &&
    Object.hasOwn(KINDS, kind) &&
    Number.isFinite(atMs) &&
    Number.isInteger(model) &&
    (model as number) >= 0 &&
    (model as number) < modelCount
  );
}

function isHeader(value: unknown): boolean {
  return (value as Partial<RunHeader> | null | undefined)?.kind === 'run';
}

function isGap(value: unknown): value is LogGap {
  const { kind, droppedRecords } = (value ?? {}) as Partial<LogGap>;
  return kind === 'gap' && Number.isInteger(droppedRecords) && droppedRecords! > 0;
}

/** When its last byte was there was not always told; it was when the request was submitted, or a little before. */
function completed(record: ModelRecord): ModelRecord {
  if (record.kind !== 'request-received') return record;
  const { receivedAtMs = record.atMs } = record as Partial<typeof record> & { readonly atMs: number };
  return { ...record, receivedAtMs };
}

function endOfLine(text: string, start: number): number {
  const end = text.indexOf('\n', start);
  return end === -1 ? text.length : end;
}

function jsonOrUndefined(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

function excerpt(text: string): string {
  const line = text
    .trim()
    .slice(0, 60)
    .replaceAll(/\p{Cc}/gu, '�');
  return line === '' ? 'it is empty' : JSON.stringify(line);
}
