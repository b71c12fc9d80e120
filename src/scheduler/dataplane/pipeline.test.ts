import { describe, expect, it } from 'vitest';
import { dueAt, modelsOf, TEN_MS_EACH, tenMsEach } from '../../../test/simulation/fixed-latency.js';
import { VirtualClock } from '../clock/virtual-clock.js';
import type { Event } from '../domain/event.js';
import type { Outcome } from '../domain/outcome.js';
import type { FeasiblePlan, InfeasiblePlan } from '../domain/plan.js';
import type { InferRequest } from '../domain/request.js';
import { SimulatedWorker } from '../../simulator/sim/simulated-worker.js';
import { Pipeline } from './pipeline.js';
import { edfPolicy } from './policy.js';
import type { BatchResult, BatchRun } from './worker-pool.js';

/** Refuses every batch that has the poisonous request in it. */
class FussyWorker extends SimulatedWorker {
  poisonous = 0;

  override start(run: BatchRun, onDone: (result: BatchResult) => void): void {
    const isRefused = run.sequences.includes(this.poisonous);
    super.start(run, isRefused ? () => onDone({ kind: 'backend-error', message: 'bad input' }) : onDone);
  }
}

const PLAN: FeasiblePlan = {
  kind: 'feasible',
  instances: 1,
  cpuMillicores: 1000,
  batchSize: 4,
  boundBy: { kind: 'start' },
};
const OVERLOAD: InfeasiblePlan = { ...PLAN, kind: 'infeasible', reason: 'deadlines' };

interface Answer {
  readonly sequence: number;
  readonly atMs: number;
  readonly outcome: Outcome;
}

/**
 * The data plane alone at a fixed core, batches of up to four: n requests take 10·n ms. `paces` multiplies the time of
 * the first batches. Staging takes no time, a restart 100 ms, the news of a crash 1 ms.
 */
class Bench {
  readonly clock = new VirtualClock();
  readonly events: Event[] = [];
  readonly answers: Answer[] = [];
  readonly worker: FussyWorker;
  readonly pipeline: Pipeline;
  /** Called with each outcome. */
  onAnswer: (answer: Answer) => void = () => undefined;
  /** Called with each event, as the control plane is. */
  onEvent: (event: Event) => void = () => undefined;

  constructor(paces: number[] = []) {
    this.worker = new FussyWorker({
      clock: this.clock,
      threadCounts: [1],
      maxBatchSize: 4,
      cpuMillicores: 1000,
      latencyMs: tenMsEach,
      noise: () => paces.shift() ?? 1,
      stagingMs: 0,
      restartMs: 100,
    });
    this.pipeline = new Pipeline({
      clock: this.clock,
      workers: this.worker,
      models: modelsOf(TEN_MS_EACH),
      policy: edfPolicy,
      config: {
        queueLimits: { maxRequests: 100, maxBytes: 1_000_000 },
        maxMillicores: 1000,
        allocations: [1000],
        areInstancesApart: false,
        restingMillicores: 0,
        maxBatchBytes: 1_000_000,
        isAllocationFixed: false,
      },
      initialPlan: PLAN,
      emit: (event) => {
        this.events.push(event);
        this.onEvent(event);
      },
    });
  }

  /** Submits at an instant. */
  send(atMs: number, sequence: number, dueAtMs: number, fields: Partial<InferRequest> = {}): void {
    this.clock.scheduleExact(atMs, () =>
      this.pipeline.submit(dueAt(sequence, dueAtMs, { receivedAtMs: atMs, ...fields }), (outcome) => {
        const answer = { sequence, atMs: this.clock.nowMs(), outcome };
        this.answers.push(answer);
        this.onAnswer(answer);
      }),
    );
  }

  at(atMs: number, act: () => void): void {
    this.clock.scheduleExact(atMs, act);
  }

  /** Fills with what the worker is sent from now on. */
  stagedSequences(): number[] {
    const sequences: number[] = [];
    const stage = this.worker.stage.bind(this.worker);
    this.worker.stage = (request, onStaged): void => {
      sequences.push(request.sequence);
      stage(request, onStaged);
    };
    return sequences;
  }

  /** Runs to the end. */
  run(): this {
    this.clock.runUntilIdle(10_000);
    return this;
  }

  /** Batches that were started: instant, members. */
  get batches(): (readonly [number, readonly number[]])[] {
    return this.events.flatMap((event) =>
      event.kind === 'batch-started' ? [[event.atMs, event.sequences] as const] : [],
    );
  }

  /** `atMs sequence kind`, with the reason where there is one. */
  get told(): string[] {
    return this.answers.map(({ sequence, atMs, outcome }) => {
      const what = outcome.kind === 'completed' ? (outcome.isLate ? 'late' : 'on time') : outcome.reason;
      return `${atMs} ${sequence} ${what}`;
    });
  }
}

describe('the data plane', () => {
  it('dispatches a tighter request first although it was sent later', () => {
    const bench = new Bench();
    bench.send(0, 1, 500);
    bench.send(1, 2, 400);
    bench.at(2, () => bench.pipeline.setPlan({ ...PLAN, batchSize: 1 }, [false]));
    bench.send(3, 3, 100);
    bench.run();
    expect(bench.batches).toEqual([[0, [1]], [10, [3]], [20, [2]]]); // prettier-ignore
    expect(bench.told).toEqual(['10 1 on time', '20 3 on time', '30 2 on time']);
  });

  it('tells the members of a batch that does not end, half a second after each one’s deadline, and lets it go on', () => {
    const bench = new Bench([1, 300]);
    bench.send(0, 1, 500);
    bench.send(1, 2, 400);
    bench.send(2, 3, 600);
    bench.send(3, 4, 100, { isDeadlineDefaulted: true });
    bench.send(4, 5, 20_000);
    bench.at(5, () => bench.pipeline.setPlan({ ...PLAN, batchSize: 3 }, [false]));
    bench.send(6, 6, 9000);
    bench.clock.runUntilIdle(20_000);
    // 4, 2 and 3 take 9000 ms instead of 30; 4 stated no deadline and is served late, 6 is too late to be begun.
    expect(bench.batches).toEqual([[0, [1]], [10, [4, 2, 3]], [9010, [5]]]); // prettier-ignore
    expect(bench.told).toEqual(['10 1 on time', '900 2 expired', '1100 3 expired', '9000 6 expired', '9010 4 late', '9020 5 on time']); // prettier-ignore
    const overdue = bench.answers.find(({ sequence }) => sequence === 2)!.outcome;
    expect(overdue).toEqual({ kind: 'expired', reason: 'expired', lateByMs: 500, wasRunning: true });
    expect(bench.events.filter(({ kind }) => kind === 'batch-ended')).toHaveLength(3);
  });

  it('calls a request expired, not shed, whose deadline has passed when room is to be made', () => {
    const bench = new Bench([3]);
    bench.send(0, 1, 500);
    bench.send(1, 2, 20);
    // Before its timer, which was scheduled later.
    bench.clock.scheduleExact(20, () => bench.pipeline.shed([2]));
    bench.run();
    expect(bench.told).toEqual(['20 2 expired', '30 1 on time']);
  });

  it('puts a request that must run alone into no batch, and its followers into one', () => {
    const bench = new Bench();
    bench.send(0, 1, 500);
    for (const sequence of [2, 3, 4, 5, 6]) {
      bench.send(1, sequence, 500 + sequence, { mustRunAlone: sequence === 4 });
    }
    bench.run();
    // Five wait when 1 ends, at most four a batch: 2, 3, 5, 6 together.
    expect(bench.batches.find(([, members]) => members.includes(4))).toEqual([expect.any(Number), [4]]);
    expect(bench.batches.map(([, members]) => members.length).sort()).toEqual([1, 1, 4]);
    expect(bench.told.every((line) => line.endsWith('on time'))).toBe(true);
  });

  it('removes one of a batch at once and never disturbs its mates', () => {
    const bench = new Bench();
    for (const sequence of [1, 2, 3, 4]) bench.send(sequence === 1 ? 0 : 1, sequence, 500);
    bench.at(15, () => bench.pipeline.cancel(3));
    bench.run();
    expect(bench.batches).toEqual([[0, [1]], [10, [2, 3, 4]]]); // prettier-ignore
    expect(bench.told).toEqual(['10 1 on time', '15 3 cancelled', '40 2 on time', '40 4 on time']);
  });

  it('does not start a batch whose members all left', () => {
    const bench = new Bench();
    bench.send(0, 1, 500);
    bench.send(1, 2, 500);
    bench.at(5, () => bench.pipeline.cancel(2));
    bench.run();
    expect(bench.batches).toEqual([[0, [1]]]);
    expect(bench.pipeline.isIdle).toBe(true);
  });

  it('calls it expired when the client leaves at its deadline or later', () => {
    const bench = new Bench([2]);
    bench.send(0, 1, 15);
    bench.at(15, () => bench.pipeline.cancel(1));
    expect(bench.run().told).toEqual(['15 1 expired']);
  });

  it('tells a queued request of its expiry at its deadline, while the model runs', () => {
    const bench = new Bench([10]);
    bench.send(0, 1, 500);
    bench.send(1, 2, 50);
    expect(bench.run().told).toEqual(['50 2 expired', '100 1 on time']);
  });

  it('answers what was running at its deadline, flagged late', () => {
    const bench = new Bench([2]);
    bench.send(0, 1, 15);
    bench.run();
    expect(bench.told).toEqual(['20 1 late']);
    // Due at 15, planned to end at 10: 5 ms of slack; it took 20.
    expect(bench.answers[0]!.outcome).toMatchObject({ service: { slackAtDispatchMs: 5, latencyMs: 20, batchSize: 1 } });
  });

  it('serves what may be late after all that can be on time: best effort and defaulted deadlines', () => {
    const bench = new Bench([10]);
    bench.send(0, 1, 500);
    bench.send(1, 2, 50, { isDeadlineDefaulted: true });
    bench.send(2, 3, 60, { isBestEffort: true });
    bench.send(3, 4, 400);
    bench.run();
    expect(bench.batches).toEqual([[0, [1]], [100, [4]], [110, [2, 3]]]); // prettier-ignore
    expect(bench.told).toEqual(['100 1 on time', '110 4 on time', '130 2 late', '130 3 late']);
  });

  it('waits with dispatching for a growth that is about to come', () => {
    const bench = new Bench();
    bench.at(0, () => bench.pipeline.setPlan(PLAN, [true]));
    bench.send(0, 1, 500);
    bench.send(1, 2, 500);
    bench.at(5, () => bench.pipeline.setAllocation(0, 1000, false));
    expect(bench.run().batches).toEqual([[5, [1, 2]]]);
  });

  it('dispatches nothing while the worker is lent', () => {
    const bench = new Bench();
    bench.pipeline.setLeased(true);
    bench.send(0, 1, 500);
    bench.at(30, () => bench.pipeline.setLeased(false));
    expect(bench.run().batches).toEqual([[30, [1]]]);
  });

  it('lets the worker forget whoever leaves, queued or running, and nobody else', () => {
    const bench = new Bench([10]);
    const forgotten: number[] = [];
    const unstage = bench.worker.unstage.bind(bench.worker);
    bench.worker.unstage = (sequence): void => {
      forgotten.push(sequence);
      unstage(sequence);
    };
    for (const sequence of [1, 2, 3, 4]) bench.send(sequence - 1, sequence, sequence === 3 ? 50 : 500);
    bench.at(20, () => bench.pipeline.cancel(2));
    bench.at(60, () => bench.pipeline.cancel(1));
    expect(bench.run().told).toEqual(['20 2 cancelled', '50 3 expired', '60 1 cancelled', '110 4 on time']);
    expect(forgotten).toEqual([2, 3, 1]);
  });

  it('lets the worker forget members of a batch only once it has the batch, whoever cancels them when it is told of', () => {
    const bench = new Bench();
    const told: string[] = [];
    const [start, unstage] = [bench.worker.start.bind(bench.worker), bench.worker.unstage.bind(bench.worker)];
    bench.worker.start = (run, onDone): void => {
      told.push(`start ${run.sequences.join()}`);
      start(run, onDone);
    };
    bench.worker.unstage = (sequence): void => {
      told.push(`forget ${sequence}`);
      unstage(sequence);
    };
    bench.onEvent = ({ kind }): void => {
      if (kind === 'batch-started') bench.pipeline.cancel(2);
    };
    bench.send(0, 1, 500);
    bench.send(1, 2, 500);
    bench.send(1, 3, 500);
    expect(bench.run().told).toEqual(['10 1 on time', '10 2 cancelled', '30 3 on time']);
    expect(told).toEqual(['start 1', 'start 2,3', 'forget 2']);
  });

  it('keeps to its limits while it holds, and lets in again afterwards', () => {
    const bench = new Bench();
    bench.send(0, 1, 500, { byteCount: 600_000 });
    bench.send(1, 2, 500, { byteCount: 600_000 });
    bench.send(20, 3, 500, { byteCount: 600_000 });
    expect(bench.run().told).toEqual(['1 2 queue_full', '10 1 on time', '30 3 on time']);
  });
});

describe('overload', () => {
  it('sheds the fewest so that the others are met, with a time to come back', () => {
    const bench = new Bench();
    bench.send(0, 1, 500);
    for (const sequence of [2, 3, 4]) bench.send(1, sequence, 25);
    bench.at(5, () => bench.pipeline.setPlan(OVERLOAD, [false]));
    bench.run();
    // Free at 10; one alone ends at 20, two together at 30 > 25.
    expect(bench.told).toEqual(['5 3 queue_overload', '5 4 queue_overload', '10 1 on time', '20 2 on time']);
    // When the first is refused, 5 ms of the running batch and three of four places of l(4) = 40: 5 + 3/4 · 40 = 35.
    expect(bench.answers[0]!.outcome).toMatchObject({ retryAfterMs: 35, earliestFinishMs: 45, remainingBudgetMs: 20 });
  });

  it('sheds nothing that may be late: it is set aside', () => {
    const bench = new Bench();
    bench.send(0, 1, 500);
    bench.send(1, 2, 25);
    bench.send(1, 3, 25, { isDeadlineDefaulted: true });
    bench.at(5, () => bench.pipeline.setPlan(OVERLOAD, [false]));
    expect(bench.run().told).toEqual(['10 1 on time', '20 2 on time', '30 3 late']);
  });

  it('lets what the plan gave up wait for luck where the typical latency would do, and refuses it otherwise', () => {
    const bench = new Bench([1, 0.5]);
    bench.send(0, 1, 500);
    bench.send(1, 2, 20);
    bench.send(1, 3, 19);
    bench.at(5, () => bench.pipeline.giveUp([2, 3]));
    // The running batch ends at 10; alone until 20 at the earliest.
    expect(bench.run().told).toEqual(['5 3 queue_overload', '10 1 on time', '15 2 on time']);
  });

  it('serves what may be late although the plan gave it up', () => {
    const bench = new Bench();
    bench.send(0, 1, 500);
    bench.send(1, 2, 15, { isDeadlineDefaulted: true });
    bench.at(5, () => bench.pipeline.giveUp([2]));
    expect(bench.run().told).toEqual(['10 1 on time', '20 2 late']);
  });

  it('sends the worker no inputs of a request that its own arrival made too much', () => {
    const bench = new Bench();
    const staged = bench.stagedSequences();
    bench.onEvent = ({ kind }) => {
      if (kind === 'request-admitted') bench.pipeline.setPlan(OVERLOAD, [false]);
    };
    bench.send(0, 1, 20);
    bench.send(1, 2, 15); // would end at 20
    expect(bench.run().told).toEqual(['1 2 queue_overload', '10 1 on time']);
    expect(staged).toEqual([1]);
  });

  it('survives a client that cancels others when it is told of an outcome', () => {
    const bench = new Bench();
    bench.onAnswer = ({ sequence }) => bench.pipeline.cancel(sequence === 3 ? 4 : 3);
    bench.send(0, 1, 500);
    for (const sequence of [2, 3, 4]) bench.send(1, sequence, 25);
    bench.at(5, () => bench.pipeline.setPlan(OVERLOAD, [false]));
    expect(bench.run().told).toEqual(['5 3 queue_overload', '5 4 cancelled', '10 1 on time', '20 2 on time']);
  });
});

describe('a worker that fails', () => {
  it('is staged again after a crash: the broken batch once more, each alone; what cannot outlast the restart fails', () => {
    const bench = new Bench();
    bench.send(0, 1, 500);
    bench.send(1, 2, 500);
    bench.send(1, 3, 500);
    bench.send(12, 4, 100);
    bench.send(12, 5, 480);
    bench.at(15, () => bench.worker.kill('killed'));
    bench.send(50, 6, 126);
    bench.send(50, 7, 125);
    bench.send(51, 8, 125);
    bench.run();
    // The news is out at 16: ready again at about 116, so 116 + 10 = 126 is the earliest finish. Ready at 115 in fact.
    // Request 7 may see whether that is so, behind the others; the next that may is 250 ms later.
    expect(bench.told.slice(0, 3)).toEqual(['10 1 on time', '16 4 model_unavailable', '51 8 model_unavailable']);
    expect(bench.answers[1]!.outcome).toMatchObject({ kind: 'failed', retryAfterMs: 100 });
    expect(bench.batches).toEqual([[0, [1]], [10, [2, 3]], [115, [6]], [125, [5]], [135, [2]], [145, [3]]]); // prettier-ignore
    expect(bench.told.slice(3)).toEqual(['125 7 expired', '125 6 on time', '135 5 on time', '145 2 on time', '155 3 on time']); // prettier-ignore
  });

  it('serves one that it did not expect to outlast the restart, where the worker is back sooner', () => {
    const bench = new Bench();
    bench.at(15, () => bench.worker.kill('killed'));
    bench.send(50, 1, 125);
    // Expected back at 116, and 116 + 10 > 125; back at 115.
    expect(bench.run().told).toEqual(['125 1 on time']);
  });

  it('and not the load is the reason of what is given up while it is away', () => {
    const bench = new Bench();
    bench.at(15, () => bench.worker.kill('killed'));
    bench.send(90, 1, 128);
    bench.send(90, 2, 128);
    // Either would be met from 116 on, as expected, but not both of them: not even from now on.
    bench.at(112, () => bench.pipeline.setPlan(OVERLOAD, [false]));
    bench.run();
    expect(bench.told).toEqual(['112 2 model_unavailable', '125 1 on time']);
    expect(bench.answers[0]!.outcome).toMatchObject({ message: 'the model is restarting: killed', retryAfterMs: 4 });
  });

  it('fails a request whose batch broke twice, and only it', () => {
    const bench = new Bench();
    for (const sequence of [1, 2, 3]) bench.send(sequence === 1 ? 0 : 1, sequence, 400);
    bench.at(15, () => bench.worker.kill('first'));
    bench.at(120, () => bench.worker.kill('second'));
    bench.run();
    // Back at 115, alone from then on; the second crash hits request 2, back at 220.
    expect(bench.batches).toEqual([[0, [1]], [10, [2, 3]], [115, [2]], [220, [3]]]); // prettier-ignore
    expect(bench.told).toEqual(['10 1 on time', '121 2 backend', '230 3 on time']);
  });

  it('lets a poisonous request fail only itself', () => {
    const bench = new Bench();
    bench.worker.poisonous = 3;
    for (const sequence of [1, 2, 3, 4]) bench.send(sequence === 1 ? 0 : 1, sequence, 400);
    bench.run();
    expect(bench.batches.map(([, members]) => members)).toEqual([[1], [2, 3, 4], [2], [3], [4]]);
    // The broken batch takes 10 … 40, then 10 ms each.
    expect(bench.told).toEqual(['10 1 on time', '50 2 on time', '60 3 backend', '70 4 on time']);
  });

  it('fails a poisonous request that was alone at once', () => {
    const bench = new Bench();
    bench.worker.poisonous = 1;
    bench.send(0, 1, 400);
    expect(bench.run().told).toEqual(['10 1 backend']);
  });

  it('is sent each request once after a restart, even one that came with the news', () => {
    const bench = new Bench();
    bench.at(0, () => bench.worker.kill('killed'));
    bench.send(50, 1, 500);
    bench.onEvent = ({ kind }) => {
      // What the control plane does on this news can end requests, and their clients may send others at once.
      if (kind === 'worker-ready') bench.pipeline.submit(dueAt(2, 500), () => undefined);
    };
    const staged = bench.stagedSequences();
    bench.run();
    expect(staged.sort()).toEqual([1, 2]);
    expect(bench.pipeline.heldRequests).toBe(0);
  });
});

describe('the end', () => {
  it('drains: refuses the new, serves the held, then says so', () => {
    const bench = new Bench();
    const drained: number[] = [];
    bench.send(0, 1, 500);
    bench.at(1, () => bench.pipeline.drain(() => drained.push(bench.clock.nowMs())));
    bench.send(2, 2, 500);
    expect(bench.run().told).toEqual(['2 2 draining', '10 1 on time']);
    expect(drained).toEqual([10]);
  });

  it('is at once where nothing is held', () => {
    const drained: string[] = [];
    new Bench().pipeline.drain(() => drained.push('drained'));
    expect(drained).toEqual(['drained']);
  });

  it('abandons what is held, a running batch too, whose result then changes nothing', () => {
    const bench = new Bench();
    bench.onAnswer = () => bench.pipeline.cancel(2);
    for (const sequence of [1, 2, 3]) bench.send(sequence - 1, sequence, 500);
    bench.at(5, () => bench.pipeline.abandon());
    bench.send(6, 4, 500);
    bench.run();
    expect(bench.told).toEqual(['5 1 draining', '5 2 cancelled', '5 3 draining', '6 4 draining']);
    expect(bench.pipeline.heldRequests).toBe(0);
    expect(bench.events.at(-1)).toMatchObject({ kind: 'batch-ended', atMs: 10, result: 'completed' });
  });

  it('leaves no timer behind: for deadlines', () => {
    const bench = new Bench([1000]);
    bench.send(0, 1, 600);
    bench.send(1, 2, 600);
    bench.clock.advanceTo(5);
    bench.pipeline.abandon();
    // Only the worker's own end of the batch, at 10 000.
    expect(bench.clock.pendingCount).toBe(1);
    expect(bench.run().events.some((event) => event.kind === 'worker-lost')).toBe(false);
  });
});
