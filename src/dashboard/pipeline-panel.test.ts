import { describe, expect, it } from 'vitest';
import { aPipeline, counts, noCounts, pipelineModel } from '../../test/fixtures/pipeline-run.js';
import { aRun } from '../../test/fixtures/run-header.js';
import { stepsCounted, type EventRecord, type ModelRecord, type RunHeader } from '../scheduler/domain/event-record.js';
import { headlineOf, slackOf } from './headline.js';
import { withCores } from './model-cores-chart.js';
import { inWords } from './pipeline-panel.js';
import { runOfLog, RunState } from './run-state.js';

const WHOLE = { fromMs: 0, toMs: 10_000 };

function header(pipeline: unknown = aPipeline(['cut', 'read'])): RunHeader {
  const [model] = aRun().models;
  const page = { ...model!, name: 'page', ...pipelineModel(pipeline as ReturnType<typeof aPipeline>) };
  return { ...aRun(), models: [model!, page] };
}

/** @param records of the pipeline */
function runWith(records: readonly EventRecord[]): RunState {
  const run = new RunState(header());
  run.apply(
    10_000,
    records.map((record): ModelRecord => ({ ...record, model: 1 })),
  );
  return run;
}

const COUNTED = stepsCounted(9000, {
  door: { queue_full: 2 },
  steps: [
    counts({ requests: 4, parts: 4, done: 4, spanMs: 400, ranMs: 400, coreMs: 400 }),
    counts({
      requests: 4,
      parts: 20,
      done: 18,
      lost: 2,
      spanMs: 1200,
      ranMs: 600,
      waitedMs: 600,
      coreMs: 1600,
      dropped: { expired: 1 },
    }),
  ],
});

describe('a pipeline on the page', () => {
  it('has the cores of its steps, and no part in those of the models', () => {
    const run = runWith([COUNTED]);
    expect(withCores(run)).toEqual([run.models[0]]);
    // 2 core-seconds in 10 s.
    expect(headlineOf(run.models[1]!, WHOLE).meanMillicores).toBe(200);
  });

  it('has what its answers had left of their time', () => {
    const received = (sequence: number, dueAtMs: number) =>
      ({ kind: 'request-received', atMs: 100, receivedAtMs: 100, sequence, dueAtMs }) as EventRecord;
    const answered = (sequence: number, atMs: number, outcome = 'completed_on_time') =>
      ({
        ...{ kind: 'request-finished', atMs, sequence, outcome, reason: null },
        service: { queuedMs: 0, slackAtDispatchMs: 0, batchId: 0, latencyMs: 1 },
      }) as EventRecord;
    const [, model] = runWith([
      ...[received(1, 1000), received(2, 1000), received(3, 1000)],
      ...[answered(1, 400), answered(2, 700), answered(3, 1200, 'completed_late')],
    ]).models;
    expect(slackOf(model!, WHOLE)).toBe(300);
    expect(slackOf(model!, { fromMs: 1000, toMs: 2000 })).toBe(-200);
    expect(slackOf(model!, { fromMs: 5000, toMs: 6000 })).toBeNull();
  });

  it('is told in words: where most of the time and of the cores go, and where what is lost', () => {
    const told = (records: readonly EventRecord[]): string =>
      inWords(runWith(records).models[1]!.pipeline!.summary(0, 10_000));
    expect(told([COUNTED])).toBe(
      'most time is spent at read (75.0 %) and cut (25.0 %); most cores at read (80.0 %) and cut (20.0 %); ' +
        '3 lost: 2 at the door, 1 at read',
    );
    const fine = stepsCounted(9000, { door: {}, steps: [counts({ requests: 1, spanMs: 9 }), noCounts()] });
    expect(told([fine])).toBe('most time is spent at cut (100 %); nothing is lost');
    expect(told([])).toBe('no request has gone through it in this range');
  });

  it('of a log has to have its steps, in an order in which they can run', () => {
    const pipeline = aPipeline(['cut', 'read']);
    const late = pipeline.steps.map((step) => ({ ...step, before: [1] }));
    const wrong = [
      {},
      { ...pipeline, steps: [] },
      { ...pipeline, counts: { steps: [] } },
      { ...pipeline, steps: late },
    ];
    for (const each of wrong)
      expect(() => runOfLog(header(each), []), JSON.stringify(each)).toThrow(
        'model 2 of the header is a pipeline that lacks',
      );
    const short = { ...stepsCounted(5, { door: {}, steps: [noCounts()] }), model: 1 };
    expect(() => runOfLog(header(), [short])).toThrow(
      'event 1, steps-counted, is not as this page knows it: it counts 1 steps of a pipeline that has 2',
    );
  });
});
