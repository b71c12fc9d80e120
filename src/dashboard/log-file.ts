import { parseEventLog, type RecordedRun } from '../scheduler/domain/event-log.js';

/* A finished run's event log, as a file of the reader's own machine: chosen, or dropped anywhere on the page. */

/** About a million requests; what a browser can hold as one string ends at twice that. */
const MAX_BYTES = 256 * 1024 * 1024;

export interface LogListener {
  readonly onReading: (name: string) => void;
  readonly onLog: (name: string, run: RecordedRun) => void;
  readonly onProblem: (text: string) => void;
}

export function listenForLogs(input: HTMLInputElement, listener: LogListener): void {
  input.addEventListener('change', () => {
    const [file] = input.files ?? [];
    // The same file may be chosen again: it may have grown.
    if (file !== undefined) void read(file, listener).finally(() => (input.value = ''));
  });
  document.addEventListener('dragover', (event) => {
    if (event.dataTransfer?.types.includes('Files') !== true) return;
    event.preventDefault();
    document.body.classList.add('dropping');
  });
  document.addEventListener('dragleave', (event) => {
    if (event.relatedTarget === null) document.body.classList.remove('dropping');
  });
  document.addEventListener('drop', (event) => {
    document.body.classList.remove('dropping');
    const [file] = event.dataTransfer?.files ?? [];
    if (file === undefined) return;
    event.preventDefault();
    void read(file, listener);
  });
}

async function read(file: File, { onReading, onLog, onProblem }: LogListener): Promise<void> {
  if (file.size > MAX_BYTES) {
    const [megabytes, most] = [file.size, MAX_BYTES].map((bytes) => Math.ceil(bytes / 1024 / 1024));
    onProblem(`${file.name} has ${megabytes} MiB, and this page opens logs of up to ${most} MiB; cut it with head -n`);
    return;
  }
  onReading(file.name);
  try {
    onLog(file.name, parseEventLog(await file.text()));
  } catch (error) {
    onProblem(`${file.name}: ${(error as Error).message}`);
  }
}
