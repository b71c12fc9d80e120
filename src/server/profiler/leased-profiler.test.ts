import { describe, expect, it } from 'vitest';
import type { Lease, System } from '../../scheduler/system.js';
import { WorkerLostError } from '../workers/synthetic-load.js';
import { LeasedTarget, type LeasedProfilerOptions } from './leased-profiler.js';

const MAX_MILLICORES = 2000;

/** A system that lends its worker whenever it is asked; a request comes when the test says so. */
class FakeSystem {
  queueDepth = 0;
  /** That other models leave. */
  mostMillicores = Infinity;
  readonly leases: string[] = [];
  readonly resizes: number[] = [];
  #onWanted: (() => void) | null = null;

  lease(when: 'idle' | 'free', onWanted: () => void): Lease {
    this.leases.push(when);
    this.#onWanted = onWanted;
    return {
      resize: (wantedMillicores, onApplied) => {
        const cpuMillicores = Math.min(wantedMillicores, this.mostMillicores);
        this.resizes.push(cpuMillicores);
        onApplied({ kind: 'applied', cpuMillicores, isWritten: true, tookMs: 0 });
      },
      release: () => {
        this.leases.push('released');
        this.#onWanted = null;
      },
    };
  }

  requestComes(): void {
    this.queueDepth = 1;
    this.othersLackCores();
  }

  othersLackCores(): void {
    const wanted = this.#onWanted;
    this.#onWanted = null;
    wanted?.();
  }

  status(): Pick<ReturnType<System['status']>, 'queueDepth'> {
    return { queueDepth: this.queueDepth };
  }
}

class Fixture {
  nowMs = 0;
  readonly system = new FakeSystem();
  readonly heldMs: number[] = [];
  abortCount = 0;
  isPaused = false;
  /** What happens while a run goes on. */
  duringRun = (): void => undefined;
  readonly target: LeasedTarget;
  stepCount = 0;

  constructor(options: Partial<LeasedProfilerOptions> = {}) {
    this.target = new LeasedTarget({
      system: this.system as unknown as System,
      maxMillicores: MAX_MILLICORES,
      run: () => {
        this.duringRun();
        return Promise.resolve({ latencyMs: 1 });
      },
      abort: () => (this.abortCount += 1),
      onHeld: (heldMs) => this.heldMs.push(heldMs),
      nowMs: () => this.nowMs,
      lastRequestAtMs: () => -Infinity,
      isPaused: () => this.isPaused,
      quietMs: 0,
      patienceMs: Infinity,
      mostLosses: 1,
      signal: new AbortController().signal,
      ...options,
    });
  }

  /** Steps of a run each, until as many have succeeded. */
  finish(steps = 1): Promise<void> {
    return this.target.repeat(
      () => this.stepCount === steps,
      async () => {
        await this.target.run(1, 1);
        this.stepCount += 1;
      },
    );
  }
}

describe('a profile of a model that is served', () => {
  it('borrows the idle worker for each step, and holds nobody where nobody comes', async () => {
    const fixture = new Fixture();
    await fixture.finish(2);
    expect(fixture.system.leases).toEqual(['idle', 'released', 'idle', 'released']);
    expect([fixture.heldMs, fixture.abortCount]).toEqual([[], 0]);
  });

  it('begins no step while something else is measured', async () => {
    const fixture = new Fixture();
    fixture.isPaused = true;
    const finished = fixture.finish();
    await new Promise(setImmediate);
    expect(fixture.system.leases).toEqual([]);
    fixture.isPaused = false;
    await finished;
    expect(fixture.stepCount).toBe(1);
  });

  it('ends the run, grows to all CPU and repeats the step later, when a request comes', async () => {
    const fixture = new Fixture();
    fixture.duringRun = () => {
      fixture.duringRun = () => undefined;
      fixture.nowMs = 100;
      fixture.system.requestComes();
      fixture.nowMs = 130; // The operator that was running ends.
    };
    await fixture.finish();
    expect([fixture.abortCount, fixture.system.resizes, fixture.heldMs]).toEqual([1, [MAX_MILLICORES], [30]]);
    expect(fixture.system.leases).toEqual(['idle', 'released', 'idle', 'released']);
  });

  it('ends the run for another model that lacks cores, and takes no more of them', async () => {
    const fixture = new Fixture();
    fixture.duringRun = () => {
      fixture.duringRun = () => undefined;
      fixture.system.othersLackCores();
    };
    await fixture.finish();
    expect([fixture.abortCount, fixture.system.resizes, fixture.heldMs]).toEqual([1, [], []]);
    expect(fixture.system.leases).toEqual(['idle', 'released', 'idle', 'released']);
  });

  it('repeats a step that others left too little for, after a while', async () => {
    const fixture = new Fixture();
    fixture.system.mostMillicores = 900;
    let tries = 0;
    await fixture.target.repeat(
      () => fixture.stepCount === 1,
      async () => {
        if (++tries === 2) fixture.system.mostMillicores = 2000;
        await fixture.target.resize(1000);
        fixture.stepCount += 1;
      },
    );
    expect(tries).toBe(2);
  });

  it('is made between batches where it finds no quiet, and tells how long each step held those who waited', async () => {
    const fixture = new Fixture({ patienceMs: 0 });
    fixture.system.queueDepth = 1;
    fixture.duringRun = () => (fixture.nowMs += 40);
    await fixture.finish();
    expect([fixture.system.leases, fixture.heldMs, fixture.abortCount]).toEqual([['free', 'released'], [40], 0]);
  });

  it('counts from the arrival where nobody waited before', async () => {
    const fixture = new Fixture({ patienceMs: 0 });
    fixture.duringRun = () => {
      fixture.nowMs += 40;
      fixture.system.requestComes();
      fixture.nowMs += 25;
    };
    await fixture.finish();
    expect(fixture.heldMs).toEqual([25]);
  });

  it('ends where a worker is lost as often as it may be', async () => {
    const fixture = new Fixture();
    fixture.duringRun = () => {
      throw new WorkerLostError('killed by SIGFPE');
    };
    await expect(fixture.finish()).rejects.toThrow('killed by SIGFPE');
    expect(fixture.system.leases).toEqual(['idle', 'released']);
  });
});
