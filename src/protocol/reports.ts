/* What a server tells those who choose between several of it, as the front ends see it. */

export type StopReading = () => void;

/** Who reads the reports. */
export interface ReportReader {
  /** What it calls itself in the numbers of its requests; null: it numbers none. */
  readonly picker: string | null;
  /** Of reports, at least, while something changes. */
  readonly intervalMs: number;
  /** One report, encoded. @returns whether the reader keeps up: until `isReady` it is spared the next ones */
  take(json: string): void;
  /** Whether it has taken what came before. */
  isReady(): boolean;
  /** No more of them come: the server ends. */
  end(): void;
}

export interface ReportSource {
  /** One report, encoded. */
  now(): string | Promise<string>;
  /** What was asked of each model, for whoever decides how many servers there are; encoded. */
  demand(): string | Promise<string>;
  /** @returns ends it, any number of times; null where as many read them as may */
  follow(reader: ReportReader): StopReading | null | Promise<StopReading | null>;
}

/** A request's number among those that a picker sent, as `<picker>.<number>`. */
export const PICK_HEADER = 'x-sponge-pick';

export const LEAST_REPORT_INTERVAL_MS = 10;
export const MOST_REPORT_INTERVAL_MS = 1000;
export const USUAL_REPORT_INTERVAL_MS = 50;
/** While nothing changes there is a report all the same. */
export const REPORT_HEARTBEAT_MS = 500;
