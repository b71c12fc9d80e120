import { describe, expect, it } from 'vitest';
import {
  aRequest,
  batchEnded,
  batchStarted,
  completed,
  finished,
  infeasible,
  overloaded,
} from '../../../test/fixtures/events.js';
import { VirtualClock } from '../../scheduler/clock/virtual-clock.js';
import type { Plan } from '../../scheduler/domain/plan.js';
import { EventLog } from './event-log.js';
import { createLogger, toTextLine, type LogLevel } from './logger.js';

function setUp(level: LogLevel = 'info') {
  const clock = new VirtualClock();
  const lines: Record<string, unknown>[] = [];
  const logger = createLogger({
    format: 'json',
    level,
    write: (line) => lines.push(JSON.parse(line) as Record<string, unknown>),
  });
  const log = new EventLog({ logger, clock, linesPerSecond: 3 });
  const { observe } = log.attachModel({
    model: 'ocr',
    version: '1',
    clientIdOf: (sequence) => (sequence === 42 ? 'client-42' : undefined),
  });
  return { clock, lines, log, observe, messages: () => lines.map((line) => line['msg']) };
}

describe('EventLog', () => {
  it('logs a batch when it ends, with what was predicted and planned at its start beside what it took', () => {
    const { lines, observe } = setUp();
    observe(batchStarted());
    expect(lines).toEqual([]);
    observe(batchEnded());
    expect(lines).toHaveLength(1);
    expect(lines[0]).toMatchObject({
      level: 'info',
      msg: 'batch completed',
      model: 'ocr',
      version: '1',
      batchId: 7,
      batchSize: 2,
      cpuMillicores: 1500,
      threadCount: 2,
      predictedLatencyMs: 25,
      plannedLatencyMs: 35,
      latencyMs: 30,
      computeMs: 28,
      actualToPredicted: 1.2,
    });
  });

  it('says of a refused request why, with its budget and where its network delay came from', () => {
    const { lines, observe } = setUp();
    observe(finished(20, infeasible(), aRequest({ sequence: 42 })));
    expect(lines[0]).toMatchObject({
      level: 'info',
      msg: 'request refused',
      sequence: 42,
      id: 'client-42',
      outcome: 'rejected_infeasible',
      reason: 'infeasible_at_max_cores',
      budgetMs: 80, // 100 − 20
      networkDelayMs: 20,
      networkDelaySource: 'transfer',
      bestCaseMs: 25,
      remainingBudgetMs: 5,
    });
  });

  it('logs late requests at info, failed ones and lost workers at warn', () => {
    const { lines, observe } = setUp();
    observe(finished(95.5, completed(true)));
    observe(finished(96, { kind: 'failed', reason: 'backend', message: 'bad input' }));
    observe(batchStarted());
    observe(batchEnded({ result: 'worker-lost', actualToPredicted: null }));
    observe({ kind: 'worker-lost', atMs: 97, message: 'killed by SIGKILL', restartEstimateMs: 800 });
    observe({ kind: 'worker-ready', atMs: 99 });
    expect(lines.map(({ level, msg }) => `${String(level)}: ${String(msg)}`)).toEqual([
      'info: request completed late',
      'warn: request failed',
      'warn: batch failed',
      'warn: worker lost',
      'info: worker ready',
    ]);
    expect(lines[0]).toMatchObject({ lateByMs: 15.5, queuedMs: 10 }); // 95.5 − 80
    expect(lines[1]).toMatchObject({ reason: 'backend', cause: 'bad input' });
    expect(lines[3]).toMatchObject({ cause: 'killed by SIGKILL', restartEstimateMs: 800 });
  });

  it('keeps quiet about what went well, and about resizes, unless debug is on', () => {
    for (const [level, expected] of [
      ['info', []],
      ['debug', ['request completed on time', 'request cancelled', 'resize requested', 'resized']],
    ] as const) {
      const { messages, observe } = setUp(level);
      observe(finished(50, completed()));
      observe(finished(50, { kind: 'cancelled', reason: 'cancelled' }));
      observe({ kind: 'resize-requested', atMs: 51, resizeId: 1, fromMillicores: 1000, toMillicores: 2000 });
      observe({ kind: 'resized', atMs: 52, resizeId: 1, cpuMillicores: 2000, isWritten: true, tookMs: 0.4 });
      expect(messages()).toEqual(expected);
    }
  });

  it('logs a plan only when it is another one', () => {
    const { lines, observe } = setUp();
    const plan: Plan = { kind: 'feasible', instances: 1, cpuMillicores: 1000, batchSize: 2, boundBy: { kind: 'idle' } };
    const infeasiblePlan: Plan = {
      kind: 'infeasible',
      instances: 1,
      cpuMillicores: 1000,
      batchSize: 2,
      reason: 'deadlines',
    };
    const other: Plan = { ...plan, boundBy: { kind: 'deadline', sequence: 3, inMs: 84 } };
    for (const next of [plan, plan, other, infeasiblePlan, plan]) {
      observe({ kind: 'planned', atMs: 1, plan: next, trigger: 'arrival' });
    }
    expect(lines.map(({ msg, cause }) => `${String(msg)}: ${String(cause)}`)).toEqual([
      'plan: idle',
      'plan infeasible: deadlines',
      'plan: idle',
    ]);
  });

  it('under overload logs three refusals a second and one summary of the rest', () => {
    const { clock, lines, observe } = setUp();
    for (let index = 0; index < 1000; index += 1) {
      observe(finished(clock.nowMs(), index % 4 === 0 ? infeasible() : overloaded()));
      clock.advanceBy(0.5);
    }
    expect(lines).toHaveLength(3); // 1000 refusals in half a second
    clock.advanceTo(1000);
    expect(lines).toHaveLength(4);
    // 1000 − 3: of the first three one was infeasible (250 − 1 = 249 left), two overloaded (750 − 2 = 748 left).
    expect(lines[3]).toMatchObject({
      level: 'info',
      msg: 'requests refused: more than logged one by one',
      count: 997,
      infeasible_at_max_cores: 249,
      queue_overload: 748,
    });
    observe(finished(clock.nowMs(), overloaded()));
    expect(lines[4]).toMatchObject({ msg: 'request refused' });
    expect(clock.pendingCount).toBe(0);
  });

  it('bounds each kind apart, so that refusals do not hide a failure', () => {
    const { messages, observe } = setUp();
    for (let index = 0; index < 10; index += 1) observe(finished(1, overloaded()));
    observe(finished(1, { kind: 'failed', reason: 'backend', message: 'bad input' }));
    expect(messages()).toEqual(['request refused', 'request refused', 'request refused', 'request failed']);
  });

  it('logs what it held back when it is closed, and leaves no timer', () => {
    const { clock, lines, log, observe } = setUp();
    for (let index = 0; index < 5; index += 1) observe(finished(1, overloaded()));
    log.close();
    expect(lines.at(-1)).toMatchObject({ count: 2, queue_overload: 2 });
    expect(clock.pendingCount).toBe(0);
  });

  it('holds nothing back with debug on', () => {
    const { lines, observe } = setUp('debug');
    for (let index = 0; index < 50; index += 1) observe(finished(1, overloaded()));
    expect(lines).toHaveLength(50);
  });

  it('holds back no lines, and so counts none, where the level hides them anyway', () => {
    const { clock, lines, observe } = setUp('warn');
    for (let index = 0; index < 50; index += 1) observe(finished(1, overloaded()));
    expect(clock.pendingCount).toBe(0);
    expect(lines).toEqual([]);
  });
});

describe('the text format', () => {
  it('puts time, level, model and message first, then the fields', () => {
    const json = JSON.stringify({
      level: 'info',
      time: '2026-01-31T09:30:05.120Z',
      model: 'ocr',
      version: '1',
      batchId: 7,
      latencyMs: 30.2,
      cause: 'exit code 1',
      msg: 'batch completed',
    });
    expect(toTextLine(`${json}\n`)).toBe(
      '09:30:05.120Z info  ocr/1 batch completed batchId=7 latencyMs=30.2 cause="exit code 1"\n',
    );
  });

  it('stays one line whatever a message holds', () => {
    const json = JSON.stringify({
      level: 'warn',
      time: '2026-01-31T09:30:05.120Z',
      cause: 'a\nb\u001b[2J\u009b',
      msg: 'c\nd',
    });
    const text = toTextLine(json);
    expect(text).toBe('09:30:05.120Z warn  c\\u000ad cause="a\\nb\\u001b[2J\\u009b"\n');
  });

  it('passes on what is no JSON object', () => {
    expect(toTextLine('plain\n')).toBe('plain\n');
    expect(toTextLine('3\n')).toBe('3\n');
  });

  it('comes from the same logger', () => {
    const lines: string[] = [];
    const logger = createLogger({ format: 'text', level: 'info', write: (line) => lines.push(line) });
    logger.child({ model: 'ocr', version: '1' }).info({ queueDepth: 3 }, 'hello');
    logger.debug('hidden');
    expect(lines).toHaveLength(1);
    expect(lines[0]).toMatch(/^\d\d:\d\d:\d\d\.\d{3}Z info {2}ocr\/1 hello queueDepth=3\n$/);
  });
});
