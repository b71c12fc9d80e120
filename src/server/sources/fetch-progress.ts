import type { FetchProgress } from './source.js';

/* How far a fetch is, as one line that replaces the one before. */

const SHOWN_EVERY_MS = 200;
/** Of which the speed is told. */
const SPEED_OVER_MS = 5000;

interface FileState {
  readonly bytes: number;
  readonly totalBytes: number | null;
}

/** @param show one line, at most some times a second */
export class FetchProgressLine implements FetchProgress {
  readonly #show: (line: string) => void;
  readonly #nowMs: () => number;
  readonly #files = new Map<string, FileState>();
  #expected: { readonly files: number; readonly bytes: number } | null = null;
  #shownAtMs = -Infinity;
  /** Bytes at moments of the last seconds. */
  #marks: { readonly atMs: number; readonly bytes: number }[] = [];

  constructor(show: (line: string) => void, nowMs: () => number) {
    this.#show = show;
    this.#nowMs = nowMs;
  }

  expect(files: number, bytes: number): void {
    this.#expected = { files, bytes };
  }

  at(title: string, bytes: number, totalBytes: number | null): void {
    this.#files.set(title, { bytes, totalBytes });
    const atMs = this.#nowMs();
    const all = [...this.#files.values()].reduce((sum, file) => sum + file.bytes, 0);
    // What was fetched at an earlier time came in no time.
    if (this.#marks.length === 0) this.#marks.push({ atMs, bytes: all });
    if (atMs - this.#shownAtMs < SHOWN_EVERY_MS && bytes !== totalBytes) return;
    this.#shownAtMs = atMs;
    this.#marks.push({ atMs, bytes: all });
    while (this.#marks.length > 2 && atMs - this.#marks[0]!.atMs > SPEED_OVER_MS) this.#marks.shift();
    this.#show(this.#line(title, all, atMs));
  }

  #line(title: string, all: number, atMs: number): string {
    const file = this.#files.get(title)!;
    const total = this.#expected?.bytes ?? (this.#files.size === 1 ? file.totalBytes : null);
    const [first] = this.#marks;
    const perSec = atMs > first!.atMs ? ((all - first!.bytes) / (atMs - first!.atMs)) * 1000 : 0;
    const parts = [
      total === null || total === 0
        ? `${inMb(all)} MB`
        : `${inMb(all)} of ${inMb(total)} MB (${Math.floor((100 * all) / total)} %)`,
    ];
    if (this.#expected !== null) parts.push(`file ${this.#files.size} of ${this.#expected.files}`);
    if (perSec > 0) {
      parts.push(`${inMb(perSec)} MB/s`);
      if (total !== null && total > all) parts.push(`${Math.ceil((total - all) / perSec)} s left`);
    }
    return `fetching ${title}: ${parts.join(', ')}`;
  }
}

function inMb(bytes: number): string {
  return (bytes / 1e6).toFixed(1);
}
