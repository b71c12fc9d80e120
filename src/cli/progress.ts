/** Something that takes long, shown on stderr: a bar that is overwritten on a terminal, a plain line now and then elsewhere. */
export interface Progress {
  /** @param fraction in [0, 1]   @param remainingMs as far as known   @param now what is being done */
  update(fraction: number, elapsedMs: number, remainingMs: number, now: string): void;
  /** A line that stays, above the bar. */
  say(line: string): void;
  /** Takes the bar away. */
  clear(): void;
}

export interface ProgressOutput {
  readonly isTTY?: boolean;
  readonly columns?: number;
  write(text: string): unknown;
}

const BAR_CHARACTERS = 16;
/** Without a terminal, lines are read in a log later: rarely enough not to fill it. */
const LINE_EVERY_MS = 10_000;
const CLEAR_LINE = '\r\u001b[2K';

/** @param title of every line: the model's name */
export function createProgress(title: string, output: ProgressOutput): Progress {
  const isTerminal = output.isTTY === true;
  let isShown = false;
  let nextLineAtMs = LINE_EVERY_MS;

  function clear(): void {
    if (isShown) output.write(CLEAR_LINE);
    isShown = false;
  }

  return {
    update(fraction, elapsedMs, remainingMs, now) {
      const percent = `${Math.floor(100 * fraction)} %`.padStart(6);
      const times = `${durationText(elapsedMs)} elapsed, ${durationText(remainingMs)} left`;
      if (!isTerminal) {
        if (elapsedMs < nextLineAtMs) return;
        nextLineAtMs = elapsedMs + LINE_EVERY_MS;
        output.write(`${title}: ${percent.trim()}, ${times}\n`);
        return;
      }
      const full = Math.round(BAR_CHARACTERS * fraction);
      const bar = '█'.repeat(full) + '░'.repeat(BAR_CHARACTERS - full);
      const line = `${title} ${bar}${percent}  ${times}  ${now}`;
      // A line that wraps could not be overwritten.
      output.write(CLEAR_LINE + line.slice(0, (output.columns ?? 80) - 1));
      isShown = true;
    },
    say(line) {
      clear();
      output.write(`${title}: ${line}\n`);
    },
    clear,
  };
}

/** 75 000 ms → "1:15". */
function durationText(durationMs: number): string {
  const seconds = Math.round(durationMs / 1000);
  return `${Math.floor(seconds / 60)}:${String(seconds % 60).padStart(2, '0')}`;
}
