import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import type { ResizeResult } from '../../scheduler/controlplane/scaler.js';
import type { Tensor } from '../../scheduler/domain/tensor.js';
import type { System } from '../../scheduler/system.js';
import { BackgroundAudit } from './background-audit.js';
import type { AuditResult } from './batch-audit.js';

const X: Tensor = { name: 'x', datatype: 'FP32', shape: [1, 1], data: new Uint8Array(4) };
const Y: Tensor = { ...X, name: 'y' };

/** A system that lends its worker whenever it is asked. */
class Bench {
  /** What happened, in order. */
  readonly log: string[] = [];
  readonly results: AuditResult[] = [];
  tellWanted = (): void => undefined;
  answerResize = (): void => undefined;
  /** While the model runs. */
  duringRun = (): void => undefined;
  readonly audit: BackgroundAudit;

  constructor() {
    this.audit = new BackgroundAudit({
      system: { lease: (_, onWanted) => this.#lend(onWanted) } as Partial<System> as System,
      nowMs: () => 0,
      cpuMillicores: 1000,
      run: (batch) => {
        this.log.push(`run ${batch.length}`);
        this.duringRun();
        return Promise.resolve(batch.map(() => [Y]));
      },
      abort: () => this.log.push('abort'),
      onDifference: (line) => this.log.push(line),
      onResult: (result) => this.results.push(result),
      onLog: (line) => this.log.push(line),
    });
  }

  #lend(onWanted: () => void): ReturnType<System['lease']> {
    this.log.push('lent');
    this.tellWanted = onWanted;
    return {
      resize: (cpuMillicores, onApplied) => {
        const result: ResizeResult = { kind: 'applied', cpuMillicores, isWritten: true, tookMs: 0 };
        this.answerResize = () => onApplied(result);
      },
      release: () => {
        if (this.log.at(-1) !== 'released') this.log.push('released');
      },
    };
  }

  /** To where its worker is asked for, and the resize is answered. */
  async begin(beforeAnswer: () => void = () => undefined): Promise<void> {
    this.audit.offer({ inputs: [X], outputs: [Y] });
    await vi.advanceTimersByTimeAsync(60);
    beforeAnswer();
    this.answerResize();
    await vi.advanceTimersByTimeAsync(10);
  }
}

describe('an audit in the background', () => {
  beforeEach(() => vi.useFakeTimers());
  afterEach(() => vi.useRealTimers());

  it('runs the member alone and beside a copy of itself, and gives the worker back', async () => {
    const bench = new Bench();
    await bench.begin();
    expect(bench.log).toEqual(['lent', 'run 1', 'run 2', 'released']);
    expect(bench.results).toEqual(['same']);
    bench.audit.stop();
  });

  it('begins nothing once the worker is wanted, and tries again later', async () => {
    const whileResized = new Bench();
    await whileResized.begin(() => whileResized.tellWanted());
    expect(whileResized.log).toEqual(['lent', 'abort', 'released']);
    await vi.advanceTimersByTimeAsync(60);
    expect(whileResized.log.at(-1)).toBe('lent');
    whileResized.audit.stop();

    const whileRun = new Bench();
    whileRun.duringRun = () => whileRun.tellWanted();
    await whileRun.begin();
    expect(whileRun.log).toEqual(['lent', 'run 1', 'abort', 'released']);
    expect(whileRun.results).toEqual([]);
    whileRun.audit.stop();
  });
});
