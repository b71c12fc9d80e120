import { randomUUID } from 'node:crypto';
import type { Clock, Timer } from '../../scheduler/clock/clock.js';
import type { PodDemandReport } from '../../scheduler/domain/demand-report.js';
import type { ModelOutlook, ModelReport, PodReport } from '../../scheduler/domain/pod-report.js';
import {
  LEAST_REPORT_INTERVAL_MS,
  REPORT_HEARTBEAT_MS,
  type ReportReader,
  type ReportSource,
} from '../../protocol/reports.js';
import type { ModelListings } from '../models/model-listings.js';

/*
 * The reports of a server, for those who choose between several. Made when somebody is due one, and only then: nothing is kept up to date
 * for them, and an arrival costs a look at whether anybody numbers its requests. While nothing is held, nothing is made but a heartbeat.
 */

const MOST_READERS = 16;
/** Of numbers that wait to be reported: at 50 ms it is 80,000 requests a second. */
const MOST_ARRIVED = 4096;
/** Readers that are due at about the same time are told the same. */
const SAME_WITHIN_MS = 5;

export interface PodReportsOptions {
  readonly clock: Clock;
  readonly listings: ModelListings;
}

export class PodReports implements ReportSource {
  readonly #clock: Clock;
  readonly #process = randomUUID();
  readonly #listings: ModelListings;
  readonly #readers = new Set<Reader>();
  readonly #byPicker = new Map<string, Reader>();
  #grpcPort = 0;
  #isDraining = false;
  #models: { readonly atMs: number; readonly reports: readonly ModelReport[] } = { atMs: -Infinity, reports: [] };

  constructor({ clock, listings }: PodReportsOptions) {
    this.#clock = clock;
    this.#listings = listings;
  }

  /** Where gRPC is spoken, once that is known. */
  setGrpcPort(port: number): void {
    this.#grpcPort = port;
  }

  now(): string {
    return JSON.stringify(this.#report([], false));
  }

  demand(): string {
    const { registered } = this.#listings;
    const report: PodDemandReport = {
      schemaVersion: 1,
      process: this.#process,
      isDraining: this.#isDraining,
      resizesItself: registered.some(({ served }) => served.scaling.pod?.isResizedHere === true),
      models: registered.flatMap(({ served }) => {
        const { name, version } = served.source;
        const demand = served.system.demand(served.likelyClass);
        return demand === null ? [] : [{ name, version, ...demand }];
      }),
    };
    return JSON.stringify(report);
  }

  follow(reader: ReportReader): (() => void) | null {
    if (this.#readers.size >= MOST_READERS) return null;
    const own = new Reader(this.#clock, reader, {
      standing: () => this.#standing(),
      report: (arrived, isCut) => JSON.stringify(this.#report(arrived, isCut)),
    });
    this.#readers.add(own);
    const { picker } = reader;
    if (picker !== null) this.#byPicker.set(picker, own);
    own.begin();
    return () => {
      own.stop();
      this.#readers.delete(own);
      if (picker !== null && this.#byPicker.get(picker) === own) this.#byPicker.delete(picker);
    };
  }

  /** A request came that some picker sent here, and counts in what is reported from now on. @param pick as its header says */
  arrived(pick: string): void {
    if (this.#byPicker.size === 0) return;
    const dot = pick.indexOf('.');
    const reader = this.#byPicker.get(pick.slice(0, dot));
    const number = pick.slice(dot + 1);
    if (reader !== undefined && /^\d{1,15}$/.test(number)) reader.arrived(Number(number));
  }

  /** A batch has begun, which nothing goes before any more: that is told soon. It may be called from within what began it. */
  began(): void {
    for (const reader of this.#readers) reader.tellSoon();
  }

  /** Tells everybody, at once, that no more requests are taken. */
  drain(): void {
    this.#isDraining = true;
    for (const reader of this.#readers) reader.tell();
  }

  close(): void {
    for (const reader of this.#readers) reader.end();
    this.#readers.clear();
    this.#byPicker.clear();
  }

  /** Null while something is held: then every report is news. */
  #standing(): string | null {
    const { served, pipelines } = this.#listings;
    if (served.some(({ system }) => system.status().heldRequests > 0)) return null;
    if (pipelines.some(({ system }) => system.heldRequests > 0)) return null;
    const names = [...served, ...pipelines].map(({ source, state }) => `${source.name}/${source.version} ${state}`);
    return `${this.#isDraining} ${names.join(', ')}`;
  }

  #report(arrived: readonly number[], isArrivedCut: boolean): PodReport {
    const nowMs = this.#clock.nowMs();
    if (nowMs - this.#models.atMs > SAME_WITHIN_MS || arrived.length > 0) {
      const reports = [...this.#ofModels(), ...this.#ofPipelines()].flatMap(reportOf);
      this.#models = { atMs: nowMs, reports };
    }
    return {
      schemaVersion: 1,
      isDraining: this.#isDraining,
      grpcPort: this.#grpcPort,
      models: this.#models.reports,
      arrived,
      isArrivedCut,
    };
  }

  #ofModels(): readonly Told[] {
    return this.#listings.registered.map((registered) => {
      const { served, requestBytes } = registered;
      const isLatest = this.#listings.latest(served.source.name) === registered;
      const { heldRequests } = served.system.status();
      return { of: served, isLatest, heldRequests, requestBytes, outlook: served.system.outlook(served.likelyClass) };
    });
  }

  /** To those who choose a pipeline is a model: they send it whole requests. */
  #ofPipelines(): readonly Told[] {
    return this.#listings.pipelines.map((pipeline) => {
      const isLatest = this.#listings.pipeline(pipeline.source.name) === pipeline;
      const { heldRequests } = pipeline.system;
      return { of: pipeline, isLatest, heldRequests, requestBytes: pipeline.requestBytes, outlook: pipeline.outlook() };
    });
  }
}

/** Of a model or of a pipeline. */
interface Told extends Pick<ModelReport, 'isLatest' | 'heldRequests' | 'requestBytes'> {
  readonly of: {
    readonly source: Pick<ModelReport, 'name' | 'version'>;
    readonly state: string;
    readonly defaultSloMs: number;
  };
  /** Null where nothing can be said of it. */
  readonly outlook: ModelOutlook | null;
}

function reportOf({ of, isLatest, heldRequests, requestBytes, outlook }: Told): readonly ModelReport[] {
  if (outlook === null) return [];
  const { source, state, defaultSloMs } = of;
  const { name, version } = source;
  const isReady = state === 'READY';
  return [rounded({ name, version, isLatest, isReady, heldRequests, defaultSloMs, requestBytes, ...outlook })];
}

interface Reported {
  /** What is told while nothing is held; null while something is. */
  standing(): string | null;
  report(arrived: readonly number[], isCut: boolean): string;
}

/** One who reads: when it is told next, and which of its requests have come since. */
class Reader {
  readonly #clock: Clock;
  readonly #reader: ReportReader;
  readonly #reported: Reported;
  #arrived: number[] = [];
  #isArrivedCut = false;
  #told: string | null = null;
  #toldAtMs = -Infinity;
  #timer: Timer | null = null;
  #dueAtMs = Infinity;

  constructor(clock: Clock, reader: ReportReader, reported: Reported) {
    this.#clock = clock;
    this.#reader = reader;
    this.#reported = reported;
  }

  begin(): void {
    // Not from within the call that it came with.
    this.#next(this.#clock.nowMs());
  }

  arrived(number: number): void {
    if (this.#arrived.length < MOST_ARRIVED) this.#arrived.push(number);
    else this.#isArrivedCut = true;
  }

  tell(): void {
    this.#told = this.#reported.standing();
    this.#toldAtMs = this.#clock.nowMs();
    const json = this.#reported.report(this.#arrived, this.#isArrivedCut);
    this.#arrived = [];
    this.#isArrivedCut = false;
    this.#reader.take(json);
  }

  /** Not now, from within whatever happens, and no more often than one may ask for reports. */
  tellSoon(): void {
    const atMs = Math.max(this.#clock.nowMs(), this.#toldAtMs + LEAST_REPORT_INTERVAL_MS);
    if (this.#timer === null || atMs >= this.#dueAtMs) return;
    this.#timer.cancel();
    this.#next(atMs);
  }

  end(): void {
    this.stop();
    this.#reader.end();
  }

  stop(): void {
    this.#timer?.cancel();
    this.#timer = null;
  }

  #next(atMs: number): void {
    this.#dueAtMs = atMs;
    this.#timer = this.#clock.schedule(atMs, () => {
      if (this.#isDue() && this.#reader.isReady()) this.tell();
      this.#next(this.#clock.nowMs() + this.#reader.intervalMs);
    });
  }

  #isDue(): boolean {
    if (this.#arrived.length > 0 || this.#clock.nowMs() - this.#toldAtMs >= REPORT_HEARTBEAT_MS) return true;
    const standing = this.#reported.standing();
    return standing === null || standing !== this.#told;
  }
}

/** To microseconds: nobody needs more, and it is half of the bytes. */
function rounded(report: ModelReport): ModelReport {
  return {
    ...report,
    leastMs: toUs(report.leastMs),
    aloneMs: toUs(report.aloneMs),
    requestMs: toUs(report.requestMs),
    instanceCount: toUs(report.instanceCount),
    spareCoreSeconds: toUs(report.spareCoreSeconds),
    requestBytes: Math.round(report.requestBytes),
    marks: report.marks.map(({ dueInMs, startInMs, doneInMs, roomMs }) => ({
      dueInMs: toUs(dueInMs),
      startInMs: toUs(startInMs),
      doneInMs: toUs(doneInMs),
      roomMs: roomMs === null || roomMs === Infinity ? null : toUs(roomMs),
    })),
  };
}

function toUs(value: number): number {
  return Math.round(value * 1000) / 1000;
}
