import { setImmediate as turn } from 'node:timers/promises';
import { afterEach, describe, expect, it } from 'vitest';
import { Spares, type SparedModel, type SpareKeeper, type SpareMode } from './spares.js';

const MIB = 1024 ** 2;
type Callbacks = Parameters<SparedModel['load']>[0];

/** A model whose spare is ready when the test says so. */
class FakeModel implements SparedModel {
  isWorkerReady = true;
  readonly residentBytes = 100 * MIB;
  readonly log: string[] = [];
  callbacks: Callbacks | null = null;
  keeper!: SpareKeeper;
  readonly onNotice = (line: string): void => void this.log.push(line);
  readonly onLog = this.onNotice;

  load(callbacks: Callbacks): Promise<void> {
    this.callbacks = callbacks;
    return Promise.resolve();
  }

  end(message: string): void {
    this.log.push(`ended: ${message}`);
    this.callbacks = null;
  }
}

class Bench {
  nowMs = 0;
  usedBytes = 1000 * MIB;
  readonly limitBytes = 8000 * MIB;
  readonly spares: Spares;

  constructor(mode: SpareMode) {
    this.spares = new Spares({
      mode,
      nowMs: () => this.nowMs,
      memory: { limitBytes: this.limitBytes, usedBytes: () => this.usedBytes },
    });
  }

  add(): FakeModel {
    const model = new FakeModel();
    model.keeper = this.spares.add(model);
    return model;
  }

  /** Its worker is lost now, and started again. */
  async crash(model: FakeModel): Promise<void> {
    model.keeper.observe({ kind: 'worker-lost', atMs: this.nowMs, message: 'killed', restartEstimateMs: 100 });
    model.keeper.observe({ kind: 'worker-ready', atMs: this.nowMs });
    await turn();
    await turn();
  }

  async spareOf(model: FakeModel): Promise<void> {
    await this.crash(model);
    model.callbacks!.onReady();
  }

  /** All but so much is used, and what is kept free (256 MiB). */
  leave(bytes: number): void {
    this.usedBytes = this.limitBytes - 256 * MIB - bytes;
  }
}

let bench: Bench;
afterEach(() => bench.spares.close());

describe('a spare after a crash', () => {
  it('is loaded for the model whose worker was lost, and for no other, and kept for ten minutes', async () => {
    bench = new Bench('after-crash');
    const [one, other] = [bench.add(), bench.add()];
    await bench.spareOf(one);
    expect(other.callbacks).toBeNull();
    bench.nowMs = 599_000;
    bench.spares.settle();
    expect(one.callbacks).not.toBeNull();
    bench.nowMs = 600_001;
    bench.spares.settle();
    expect(one.log).toEqual([
      'a spare process stands ready',
      'the spare process is ended: no worker was lost for 10 minutes',
      'ended: no worker was lost for 10 minutes',
    ]);
  });

  it('waits until the worker is back, which has all CPU until then', async () => {
    bench = new Bench('after-crash');
    const model = bench.add();
    model.isWorkerReady = false;
    await bench.crash(model);
    expect(model.callbacks).toBeNull();
    model.isWorkerReady = true;
    bench.spares.settle();
    expect(model.callbacks).not.toBeNull();
  });

  it('is loaded alone; the next one is of the model that lost its worker last', async () => {
    bench = new Bench('after-crash');
    const models = [bench.add(), bench.add(), bench.add()];
    for (const [index, model] of models.entries()) {
      bench.nowMs = index;
      await bench.crash(model);
    }
    expect(models.map(({ callbacks }) => callbacks !== null)).toEqual([true, false, false]);
    models[0]!.callbacks!.onReady();
    expect(models.map(({ callbacks }) => callbacks !== null)).toEqual([true, false, true]);
  });

  it('that was taken is followed by another; one that was lost is as well, after a pause', async () => {
    bench = new Bench('after-crash');
    const model = bench.add();
    await bench.spareOf(model);
    const [first] = [model.callbacks!];
    first.onTaken();
    await bench.crash(model);
    expect(model.callbacks).not.toBe(first);
    const second = model.callbacks!;
    second.onReady();
    second.onLost('killed');
    bench.spares.settle();
    expect(model.callbacks).toBe(second);
    bench.nowMs += 100;
    bench.spares.settle();
    expect(model.callbacks).not.toBe(second);
    expect(model.log).toContain('the spare process is gone: killed');
  });

  it('is not loaded where memory does not allow it, which is said once', async () => {
    bench = new Bench('after-crash');
    const model = bench.add();
    bench.leave(99 * MIB);
    await bench.crash(model);
    bench.spares.settle();
    expect(model.callbacks).toBeNull();
    expect(model.log).toEqual([
      'there is no memory for a spare process, which needs 100 MiB: a restart is a model load',
    ]);
    bench.leave(100 * MIB);
    bench.spares.settle();
    expect(model.callbacks).not.toBeNull();
  });

  it('makes room for that of a model whose worker was lost later, and is ended where memory becomes short', async () => {
    bench = new Bench('after-crash');
    const [earlier, later] = [bench.add(), bench.add()];
    await bench.spareOf(earlier);
    bench.leave(50 * MIB);
    bench.nowMs = 1;
    await bench.crash(later);
    expect(earlier.log.at(-1)).toBe('ended: another model needs its memory more');
    bench.leave(150 * MIB);
    bench.spares.settle();
    later.callbacks!.onReady();
    // The earlier one does not displace it.
    bench.leave(50 * MIB);
    bench.spares.settle();
    expect(later.callbacks).not.toBeNull();
    bench.leave(-1);
    bench.spares.settle();
    expect(later.log.at(-1)).toBe('ended: memory is short');
  });

  it('is not begun any more for a model that is being closed', async () => {
    bench = new Bench('after-crash');
    const model = bench.add();
    model.keeper.stop();
    await bench.crash(model);
    expect(model.callbacks).toBeNull();
  });
});

describe('the mode', () => {
  it('always gives every model a spare from the start', async () => {
    bench = new Bench('always');
    const models = [bench.add(), bench.add()];
    await turn();
    for (const model of models) model.callbacks!.onReady();
    bench.nowMs = 10_000_000;
    bench.spares.settle();
    expect(models.every(({ callbacks }) => callbacks !== null)).toBe(true);
  });

  it('never gives none', async () => {
    bench = new Bench('never');
    const model = bench.add();
    await bench.crash(model);
    bench.spares.settle();
    expect(model.callbacks).toBeNull();
  });
});
