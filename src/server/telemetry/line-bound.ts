import type { Logger } from 'pino';
import type { Clock, Timer } from '../../scheduler/clock/clock.js';

const SECOND_MS = 1000;

/**
 * One kind of log line, bounded: so many a second in full, the rest counted by key and logged as one line at the end of
 * that second. A second begins with its first line. With `debug` enabled nothing is held back.
 *
 * What is held back costs one addition: fields are computed only for lines that are written.
 */
export class LineBound {
  private readonly logger: Logger;
  private readonly clock: Clock;
  private readonly level: 'info' | 'warn';
  private readonly topic: string;
  private readonly linesPerSecond: number;
  private secondStartMs = -Infinity;
  private lineCount = 0;
  private readonly heldBack = new Map<string, number>();
  private summaryTimer: Timer | null = null;

  /** @param topic what the lines are about, plural: begins the summary */
  constructor(logger: Logger, clock: Clock, level: 'info' | 'warn', topic: string, linesPerSecond: number) {
    this.logger = logger;
    this.clock = clock;
    this.level = level;
    this.topic = topic;
    this.linesPerSecond = linesPerSecond;
  }

  /** @param key what the summary counts it under, one of few */
  log(atMs: number, key: string, message: string, fields: () => object): void {
    if (!this.logger.isLevelEnabled(this.level)) return;
    if (atMs >= this.secondStartMs + SECOND_MS) {
      this.flush();
      this.secondStartMs = atMs;
      this.lineCount = 0;
    }
    if (this.lineCount < this.linesPerSecond || this.logger.isLevelEnabled('debug')) {
      this.lineCount += 1;
      this.logger[this.level](fields(), message);
      return;
    }
    this.heldBack.set(key, (this.heldBack.get(key) ?? 0) + 1);
    this.summaryTimer ??= this.clock.schedule(this.secondStartMs + SECOND_MS, () => this.flush());
  }

  /** Logs the summary of what was held back, if anything was. */
  flush(): void {
    this.summaryTimer?.cancel();
    this.summaryTimer = null;
    if (this.heldBack.size === 0) return;
    let count = 0;
    for (const held of this.heldBack.values()) count += held;
    this.logger[this.level](
      { count, ...Object.fromEntries(this.heldBack) },
      `${this.topic}: more than logged one by one`,
    );
    this.heldBack.clear();
  }
}
