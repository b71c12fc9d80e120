import { describe, expect, it } from 'vitest';
import { dueAt } from '../../../test/simulation/fixed-latency.js';
import { VirtualClock } from '../clock/virtual-clock.js';
import { FunctionQueue, type FunctionEnd, type FunctionRunner } from './function-queue.js';
import type { PartOutcome, PartWork } from './step-port.js';

/** A thread whose calls end when they are told to. */
class Thread implements FunctionRunner {
  unusable = '';
  #onEnd: ((end: FunctionEnd) => void) | null = null;
  running: number | null = null;

  get isFree(): boolean {
    return this.running === null && this.unusable === '';
  }

  run({ id }: PartWork, _nowMs: number, onEnd: (end: FunctionEnd) => void): void {
    this.running = id;
    this.#onEnd = onEnd;
  }

  end(end: FunctionEnd = { kind: 'done', outputs: new Map() }): void {
    this.running = null;
    this.#onEnd!(end);
  }
}

function bench(threads: number) {
  const clock = new VirtualClock();
  clock.advanceTo(1000);
  const runners = Array.from({ length: threads }, () => new Thread());
  const queue = new FunctionQueue({ name: 'cut', clock, runners });
  const told: (readonly [id: number, what: string])[] = [];
  const ask = (id: number, dueAtMs: number, isDeadlineDefaulted = false): void =>
    queue.submit(
      { id, request: dueAt(id, dueAtMs, { isDeadlineDefaulted }), dueAtMs, part: 0, inputs: new Map() },
      (outcome: PartOutcome) => told.push([id, outcome.kind === 'done' ? 'done' : outcome.outcome.kind]),
    );
  return { clock, runners, queue, told, ask };
}

describe('calls of a function', () => {
  it('wait by their deadlines for a thread that is free, one call at a time', () => {
    const { runners, told, ask } = bench(1);
    const [thread] = runners as [Thread];
    ask(1, 2000);
    ask(2, 1800);
    ask(3, 1500);
    expect(thread.running).toBe(1);
    thread.end();
    expect(thread.running).toBe(3);
    thread.end();
    thread.end();
    expect(told).toEqual([1, 3, 2].map((id) => [id, 'done']));
  });

  it('expire while they wait, unless they may be late', () => {
    const { clock, runners, told, ask } = bench(1);
    ask(1, 2000);
    ask(2, 1500);
    ask(3, 1500, true);
    clock.advanceTo(1600);
    expect(told).toEqual([[2, 'expired']]);
    runners[0]!.end();
    expect(runners[0]!.running).toBe(3);
  });

  it('that nobody waits for any more do not run', () => {
    const { runners, told, queue, ask } = bench(1);
    ask(1, 2000);
    ask(2, 2000);
    queue.cancel(2);
    runners[0]!.end();
    expect(runners[0]!.running).toBeNull();
    expect(told).toEqual([[1, 'done']]);
  });

  it('fail where no thread can be used, and the step says why', () => {
    const { runners, told, queue, ask } = bench(2);
    ask(1, 2000);
    ask(2, 2000);
    ask(3, 2000);
    for (const runner of runners) runner.unusable = 'it does not load';
    expect(queue.unavailable).toBe("step 'cut': it does not load");
    expect(queue.outlook()).toBeNull();
    queue.next();
    expect(told).toEqual([[3, 'failed']]);
  });

  it('take what they took of late, shared by the threads, and wait for who is due before them', () => {
    const { clock, runners, queue, ask } = bench(2);
    ask(1, 5000);
    ask(2, 5000);
    clock.advanceBy(30);
    runners[0]!.end();
    clock.advanceBy(10);
    runners[1]!.end();
    // 30 and 40 ms.
    expect(queue.outlook()).toMatchObject({ leastMs: 30, plannedMs: 40, partMs: 35 / 2, resource: 'cut' });
    expect(queue.outlook()!.startInMs(100)).toBe(0);
    ask(3, 5000);
    ask(4, 5000);
    ask(5, 2000);
    ask(6, 4000);
    clock.advanceBy(5);
    // 30 of 35 are left of each that runs; behind one, or two, that wait.
    const nowMs = clock.nowMs();
    expect(queue.outlook()!.startInMs(2000 - nowMs)).toBeCloseTo(30 + 35 / 2);
    expect(queue.outlook()!.startInMs(4000 - nowMs)).toBeCloseTo(30 + 35);
  });
});
