import { describe, expect, it } from 'vitest';
import { dueAt } from '../../../test/simulation/fixed-latency.js';
import { benchParts, type BenchModel } from '../../../test/simulation/node-bench.js';
import { VirtualClock } from '../clock/virtual-clock.js';
import type { Event } from '../domain/event.js';
import { outcomeName, type Outcome } from '../domain/outcome.js';
import { shapeClass, type InferRequest } from '../domain/request.js';
import type { Lease, Tensor } from '../domain/tensor.js';
import { createNode } from '../node.js';
import { Prng } from '../random/prng.js';
import type { SimulatedWorker } from '../../simulator/sim/simulated-worker.js';
import type { System } from '../system.js';
import type { PipelineDescription } from './description.js';
import { graphOf } from './graph.js';
import { ModelStep, type StepModel } from './model-step.js';
import { PipelineSystem } from './pipeline-system.js';
import type { PartOutcome, PartWork, StepPort } from './step-port.js';

/*
 * detect (a model) → cut (a function) → read (a model, once for each part) → collect (a function), on a node of two cores whose models run on
 * simulated workers.
 */

const DETECT: BenchModel = { name: 'detect', instances: 2, msEach: 40, maxBatchSize: 1 };
const READ: BenchModel = { name: 'read', instances: 2, msEach: 10, maxBatchSize: 4 };
const CLASS = shapeClass('x', 1);

const tensor = (name: string, value: number): Tensor => ({
  ...{ name, datatype: 'UINT8', shape: [1, 1] },
  data: Uint8Array.of(value),
});

const PAGE: PipelineDescription = {
  inputs: ['page'],
  outputs: ['texts'],
  steps: [
    { name: 'detect', takes: ['page'], gives: ['map'], isModel: true },
    { name: 'cut', takes: ['page', 'map'], gives: ['crops'], isList: true },
    { name: 'read', takes: ['crops'], gives: ['text'], isModel: true, forEach: ['crops'] },
    { name: 'collect', takes: ['text'], gives: ['texts'] },
  ].map(({ name, takes, gives, isModel = false, isList = false, forEach = [] }) => ({
    ...{ name, forEach, when: null, onFailure: 'fail', maxParts: 32, takesLists: !isModel },
    inputs: takes.map((from) => ({ name: from, from: [from] })),
    outputs: gives.map((made) => ({ name: made, tensor: made, isList })),
  })),
};

/** What the function says it takes, and takes. */
interface FunctionPlan {
  saysMs: number;
  takesMs: () => number;
  /** Null: it fails. */
  run: (inputs: PartWork['inputs']) => ReadonlyMap<string, Tensor | readonly Tensor[]> | null;
}

class FunctionPort implements StepPort {
  readonly unavailable = '';
  readonly #clock: VirtualClock;
  readonly #plan: FunctionPlan;
  readonly #onAsked: (work: PartWork) => void;
  #freeAtMs = 0;

  constructor(clock: VirtualClock, plan: FunctionPlan, onAsked: (work: PartWork) => void) {
    this.#clock = clock;
    this.#plan = plan;
    this.#onAsked = onAsked;
  }

  outlook() {
    const { saysMs } = this.#plan;
    const startInMs = (): number => Math.max(0, this.#freeAtMs - this.#clock.nowMs());
    return { leastMs: saysMs, plannedMs: saysMs, partMs: saysMs, resource: 'functions', startInMs };
  }

  submit(work: PartWork, onOutcome: (outcome: PartOutcome) => void): void {
    this.#onAsked(work);
    this.#freeAtMs = Math.max(this.#freeAtMs, this.#clock.nowMs()) + this.#plan.takesMs();
    this.#clock.schedule(this.#freeAtMs, () => {
      const outputs = this.#plan.run(work.inputs);
      if (outputs !== null) onOutcome({ kind: 'done', outputs, service: null });
      else onOutcome({ kind: 'refused', outcome: { kind: 'failed', reason: 'backend', message: 'it threw' } });
    });
  }

  cancel(): void {
    // As a thread: it runs to its end, and nobody listens.
  }
}

class Bench {
  readonly clock = new VirtualClock();
  readonly events: Event[] = [];
  readonly asked: {
    readonly step: string;
    readonly sequence: number;
    readonly dueAtMs: number;
    readonly atMs: number;
  }[] = [];
  readonly told = new Map<number, { readonly outcome: Outcome; readonly atMs: number }[]>();
  readonly pipeline: PipelineSystem;
  readonly systems: readonly System[];
  readonly workers: readonly SimulatedWorker[];
  readonly cut: FunctionPlan = {
    saysMs: 2,
    takesMs: () => 2,
    run: () =>
      new Map([['crops', Array.from({ length: this.crops() }, (_, index) => this.lend(tensor('crop', index)))]]),
  };
  readonly collect: FunctionPlan = {
    ...{ saysMs: 1, takesMs: () => 1 },
    run: (inputs) => new Map([['texts', tensor('texts', (inputs.get('text') as readonly Tensor[]).length)]]),
  };
  crops = (): number => 4;
  holds = 0;
  #part = 1_000_000;

  constructor() {
    const node = createNode({ clock: this.clock, budgetMillicores: 2000 });
    const parts = benchParts(this.clock, 2000, [DETECT, READ]);
    this.systems = parts.map(({ model }) => node.add({ ...model, onEvent: () => undefined }));
    this.workers = parts.map(({ workers }) => workers);
    const graph = graphOf(PAGE);
    const ports: Readonly<Record<string, StepPort>> = {
      detect: this.#model(0, 'map'),
      read: this.#model(1, 'text'),
      cut: new FunctionPort(this.clock, this.cut, (work) => this.#ask('cut', work)),
      collect: new FunctionPort(this.clock, this.collect, (work) => this.#ask('collect', work)),
    };
    this.pipeline = new PipelineSystem({
      clock: this.clock,
      graph,
      ports: graph.steps.map(({ name }) => ports[name]!),
      limits: { maxRequests: 50, maxBytes: 1_000_000 },
      maxBytesEach: 10_000,
      onEvent: (event) => this.events.push(event),
    });
    this.clock.advanceTo(1000);
  }

  send(sequence: number, dueAtMs: number, fields: Partial<InferRequest> = {}): void {
    const request = dueAt(sequence, dueAtMs, { receivedAtMs: this.clock.nowMs(), ...fields });
    this.told.set(sequence, []);
    this.pipeline.submit(request, [tensor('page', 1)], (outcome) =>
      this.told.get(sequence)!.push({ outcome, atMs: this.clock.nowMs() }),
    );
  }

  /** What became of it; it has exactly one outcome. */
  outcome(sequence: number): string {
    const outcomes = this.told.get(sequence)!;
    if (outcomes.length !== 1) throw new Error(`${sequence} has ${outcomes.length} outcomes`);
    return outcomeName(outcomes[0]!.outcome);
  }

  lend(made: Tensor): Tensor {
    const lease: Lease = { hold: () => void (this.holds += 1), release: () => void (this.holds -= 1) };
    return { ...made, lease };
  }

  #ask(step: string, { request, dueAtMs }: PartWork): void {
    this.asked.push({ step, sequence: request.sequence, dueAtMs, atMs: this.clock.nowMs() });
  }

  #model(index: number, output: string): StepPort {
    const model: StepModel = { system: this.systems[index]!, likelyClass: CLASS };
    return new ModelStep({
      nowMs: () => this.clock.nowMs(),
      resource: 'cores',
      model: () => model,
      requestOf: (_, work) => {
        this.#ask(['detect', 'read'][index]!, work);
        return { ...work.request, sequence: this.#part++, dueAtMs: work.dueAtMs, byteCount: 1, shapeClass: CLASS };
      },
      outputsOf: () => new Map([[output, this.lend(tensor(output, 1))]]),
    });
  }
}

describe('a pipeline that is served', () => {
  it('gives one answer, and its parts to a model at once', () => {
    const bench = new Bench();
    bench.send(1, 1400);
    bench.clock.advanceTo(2000);
    expect(bench.outcome(1)).toBe('completed_on_time');
    const outcome = bench.told.get(1)![0]!.outcome as Extract<Outcome, { kind: 'completed' }>;
    expect([...outcome.outputs[0]!.data]).toEqual([4]);
    expect(outcome.service.batchSize).toBeGreaterThan(1);
    expect(bench.asked.map(({ step }) => step)).toEqual(['detect', 'cut', 'read', 'read', 'read', 'read', 'collect']);
    expect(bench.holds).toBe(0);
  });

  it('gives each step its share of what is left, so that the last has the whole', () => {
    const bench = new Bench();
    bench.send(1, 1400);
    bench.clock.advanceTo(2000);
    const shares = bench.asked.map(({ dueAtMs, atMs }) => dueAtMs - atMs);
    // 21 on all cores, of 21 + 2 + (6 + 1) + 1 with the one part that is expected: two thirds of 400.
    expect(shares[0]).toBeCloseTo((21 / 30.5) * 400, -2);
    // Four parts, all alike, and in the end all that is left.
    expect(new Set(bench.asked.slice(2, 6).map(({ dueAtMs }) => dueAtMs)).size).toBe(1);
    expect(bench.asked.at(-1)!.dueAtMs).toBe(1400);
    expect(bench.asked.every(({ dueAtMs }) => dueAtMs <= 1400)).toBe(true);
  });

  it('refuses at the door what the whole way cannot do in time, though its first step could', () => {
    const bench = new Bench();
    bench.send(1, 1400);
    bench.clock.advanceTo(1500);
    // Detecting takes 21 ms on all cores; 21 + 2 + (6 + 3 · 5) and more do not fit into 30.
    bench.send(2, 1530);
    expect(bench.outcome(2)).toBe('rejected_infeasible');
    expect(bench.asked.filter(({ sequence }) => sequence === 2)).toEqual([]);
  });

  it('refuses at the door for what waits at a later step', () => {
    const bench = new Bench();
    bench.send(1, 1400);
    bench.clock.advanceTo(2000);
    // 200 of 5 ms each on all cores wait for reading, which is a second, and after that 400 are needed to collect.
    bench.collect.saysMs = 400;
    bench.send(2, 3000);
    for (let index = 0; index < 200; index++)
      bench.systems[1]!.submit(dueAt(5000 + index, 3150, { shapeClass: CLASS, receivedAtMs: 2000 }), () => undefined);
    bench.clock.advanceTo(2002);
    bench.send(3, 3151);
    expect(bench.outcome(3)).toBe('rejected_overload');
    expect(bench.asked.filter(({ sequence }) => sequence === 3)).toEqual([]);
    // Before all of them there is room.
    bench.send(4, 2700);
    bench.clock.advanceTo(6000);
    expect(bench.outcome(4)).toBe('completed_on_time');
  });

  it('drops a request before the step that it can no longer get through, not after', () => {
    const bench = new Bench();
    bench.cut.takesMs = () => 370;
    bench.send(1, 1400);
    bench.clock.advanceTo(3000);
    expect(bench.outcome(1)).toMatch(/expired|rejected_infeasible/);
    expect(bench.asked.map(({ step }) => step)).toEqual(['detect', 'cut']);
    expect(bench.holds).toBe(0);
  });

  it('goes on with one that nobody has promised an instant', () => {
    const bench = new Bench();
    bench.cut.takesMs = () => 1000;
    bench.send(1, 1400, { isDeadlineDefaulted: true });
    bench.clock.advanceTo(4000);
    expect(bench.outcome(1)).toBe('completed_late');
  });

  it('fails a request whose part fails, with the reason, and takes nothing more up for it', () => {
    const bench = new Bench();
    bench.cut.run = () => null;
    bench.send(1, 1400);
    bench.clock.advanceTo(2000);
    expect(bench.told.get(1)!.map(({ outcome }) => outcome)).toEqual([
      { kind: 'failed', reason: 'backend', message: "step 'cut': it threw" },
    ]);
    expect(bench.asked.map(({ step }) => step)).toEqual(['detect', 'cut']);
  });

  it('tries what it believes to be impossible once nothing has shown otherwise for a second', () => {
    const bench = new Bench();
    bench.crops = () => 32;
    bench.send(1, 3000);
    bench.clock.advanceTo(3000);
    expect(bench.outcome(1)).toBe('completed_on_time');
    // 32 · 5 = 160 ms of reading are expected, and come no more.
    bench.crops = () => 1;
    bench.send(2, 3120);
    bench.send(3, 3120);
    bench.clock.advanceTo(3200);
    expect([bench.outcome(2), bench.outcome(3)]).toEqual(['completed_on_time', 'rejected_infeasible']);
  });

  it('ends what it holds when it is stopped, and calls back when it is drained', () => {
    const bench = new Bench();
    bench.send(1, 1400);
    let isDrained = false;
    bench.pipeline.drain(() => (isDrained = true));
    bench.send(2, 1400);
    expect([isDrained, bench.outcome(2)]).toEqual([false, 'failed']);
    bench.clock.advanceTo(2000);
    expect([isDrained, bench.outcome(1)]).toEqual([true, 'completed_on_time']);
  });

  it.each(Array.from({ length: 12 }, (_, seed) => seed + 1))(
    'has one outcome a request, and asks nothing for one that has it or is lost: seed %i',
    (seed) => {
      const prng = new Prng(seed);
      const bench = new Bench();
      bench.crops = () => Math.floor(prng.uniform() * 9);
      bench.cut.takesMs = () => (prng.uniform() < 0.05 ? 300 : 1 + 2 * prng.uniform());
      const cut = bench.cut.run;
      bench.cut.run = (inputs) => (prng.uniform() < 0.05 ? null : cut(inputs));
      // Twice what it can do in bursts, half of it between them.
      let sequence = 0;
      while (bench.clock.nowMs() < 11_000) {
        const isBurst = Math.floor(bench.clock.nowMs() / 1000) % 3 === 0;
        bench.clock.advanceBy((isBurst ? 20 : 80) * 2 * prng.uniform());
        bench.send(++sequence, bench.clock.nowMs() + 60 + 500 * prng.uniform(), {
          isBestEffort: prng.uniform() < 0.05,
        });
        if (prng.uniform() < 0.05) bench.pipeline.cancel(1 + Math.floor(prng.uniform() * sequence));
        if (prng.uniform() < 0.01) bench.workers[prng.uniform() < 0.5 ? 0 : 1]!.kill('killed');
      }
      bench.clock.advanceBy(30_000);
      for (let each = 1; each <= sequence; each++) bench.outcome(each);
      expect(bench.pipeline.heldRequests).toBe(0);
      expect(bench.holds).toBe(0);
      for (const { step, sequence: of, atMs } of bench.asked) {
        const end = bench.told.get(of)![0]!;
        expect(atMs, `${step} for ${of}`).toBeLessThanOrEqual(end.atMs);
      }
      const finished = bench.events.filter(({ kind }) => kind === 'request-finished');
      expect(finished).toHaveLength(sequence);
      const names = [...bench.told.values()].map(([only]) => outcomeName(only!.outcome));
      expect(names.filter((name) => name === 'completed_on_time').length).toBeGreaterThan(0.3 * sequence);
    },
  );
});
