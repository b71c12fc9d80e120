import { describe, expect, it } from 'vitest';
import { aPipeline, noCounts, pipelineModel } from '../../../test/fixtures/pipeline-run.js';
import { aRequest } from '../../../test/fixtures/events.js';
import { aRun } from '../../../test/fixtures/run-header.js';
import { parseEventLog, parseFeedMessage, type LogGap } from './event-log.js';
import { recordOf, stepsCounted, type EventRecord, type ModelRecord } from './event-record.js';

const HEADER = aRun({ source: 'simulated' });
const READY: ModelRecord = { model: 0, kind: 'worker-ready', atMs: 1.5 };
const LOST: ModelRecord = { model: 0, kind: 'worker-lost', atMs: 2, message: 'killed', restartEstimateMs: 100 };
const RECEIVED = {
  model: 0,
  ...(recordOf({ kind: 'request-received', atMs: 8, request: aRequest({ receivedAtMs: 7.5 }) }) as Extract<
    EventRecord,
    { kind: 'request-received' }
  >),
};
const lines = (...values: readonly unknown[]): string => values.map((value) => `${JSON.stringify(value)}\n`).join('');

describe('an event log', () => {
  it('gives back its header and its records in order', () => {
    expect(parseEventLog(lines(HEADER, READY, LOST))).toEqual({
      header: HEADER,
      records: [READY, LOST],
      droppedRecords: 0,
    });
    expect(parseEventLog(lines(HEADER))).toEqual({ header: HEADER, records: [], droppedRecords: 0 });
  });

  it('says how many records its writer left out', () => {
    const gap = (droppedRecords: number): LogGap => ({ kind: 'gap', droppedRecords });
    const log = parseEventLog(lines(HEADER, gap(3), READY, gap(4)));
    expect([log.records, log.droppedRecords]).toEqual([[READY], 7]);
    expect(() => parseEventLog(lines(HEADER, gap(-1)))).toThrow('line 2 of the event log is no event');
  });

  it('is completed where it is older than something that is told now', () => {
    const models = [{ ...HEADER.models[0], instances: undefined }];
    const older = { ...RECEIVED, receivedAtMs: undefined };
    const { header, records } = parseEventLog(lines({ ...HEADER, models }, older, RECEIVED));
    expect(header).toEqual(HEADER);
    expect(records).toEqual([{ ...RECEIVED, receivedAtMs: RECEIVED.atMs }, RECEIVED]);
    expect(parseFeedMessage(JSON.stringify({ atMs: 9, records: [older] }), header).records).toEqual([records[0]]);
  });

  it('has a header again where a model came or went, whose records are its own also where it has the place of one that is gone', () => {
    const [model] = HEADER.models;
    const header = (...models: readonly { readonly name: string; readonly version: string }[]): unknown => ({
      ...HEADER,
      models: models.map((each) => ({ ...model, ...each })),
    });
    const a1 = { name: 'a', version: '1' };
    const a2 = { name: 'a', version: '2' };
    const b = { name: 'b', version: '7' };
    const second = { ...READY, model: 1 };
    const text = lines(header(a1), READY, header(a2, b), READY, second, header(b, b), READY, second);
    const log = parseEventLog(text);
    expect(log.header.models.map(({ name, version }) => [name, version])).toEqual([
      ['a', '2'],
      ['b', '7'],
      ['b', '7'],
    ]);
    expect(log.records.map((record) => record.model)).toEqual([0, 0, 1, 2, 1]);
    expect(() => parseEventLog(lines(header(a1), second))).toThrow('line 2 of the event log is no event');
  });

  it('has a pipeline that takes the place of one that is gone as another, which is counted from 0', () => {
    const [model] = HEADER.models;
    const one = { ...model!, name: 'p', ...pipelineModel(aPipeline(['cut'])) };
    const other = { ...one, ...pipelineModel(aPipeline(['cut', 'read'])) };
    const header = (...models: readonly object[]): unknown => ({ ...HEADER, models });
    const counted = { model: 0, ...stepsCounted(5, { door: {}, steps: [noCounts()] }) };
    // A header that says the same again changes nothing.
    const goes = [header(one), counted, header(one, model!), counted, header({ ...one, isGone: true }, model!)];
    const log = parseEventLog(lines(...goes, header(other, model!), counted));
    expect(log.header.models.map(({ pipeline }) => pipeline?.steps.length)).toEqual([1, undefined, 2]);
    expect(log.records.map((record) => record.model)).toEqual([0, 0, 2]);
  });

  it('may end anywhere in its last line', () => {
    const text = lines(HEADER, READY, LOST);
    const lostStart = lines(HEADER, READY).length;
    for (let end = lostStart; end < text.length - 1; end++) {
      expect(parseEventLog(text.slice(0, end)).records, text.slice(lostStart, end)).toEqual([READY]);
    }
    // All but the line break: nothing is missing.
    expect(parseEventLog(text.slice(0, -1)).records).toEqual([READY, LOST]);
  });

  it.each([
    ['nothing', '', 'line 1 is not the header of an event log ({"kind":"run",…}): it is empty'],
    ['another JSON file', '{"policies":[]}', 'line 1 is not the header of an event log'],
    ['a log without its header', lines(READY), 'line 1 is not the header of an event log'],
    ['a page', '<!doctype html>\n<html>', 'line 1 is not the header of an event log'],
    ['a later version', lines({ ...HEADER, schemaVersion: 2 }), 'version 2, and this Sponge reads version 1'],
    [
      'a broken line amid others',
      `${lines(HEADER, READY)}{"mod\n${lines(LOST)}`,
      'line 3 of the event log is no event',
    ],
    ['an unknown kind', lines(HEADER, { ...READY, kind: 'toString' }), 'line 2 of the event log is no event'],
    ['a model that is not there', lines(HEADER, { ...READY, model: 1 }), 'line 2 of the event log is no event'],
    ['an event without its instant', lines(HEADER, { model: 0, kind: 'worker-ready' }), 'line 2'],
  ])('is told from %s, in one line', (_, text, message) => {
    expect(() => parseEventLog(text)).toThrow(message);
    try {
      parseEventLog(text);
    } catch (error) {
      expect((error as Error).message).not.toContain('\n');
    }
  });
});

describe('a message of the live feed', () => {
  it('has an instant and records of the models there are', () => {
    expect(parseFeedMessage(JSON.stringify({ atMs: 3, records: [READY] }), HEADER)).toEqual({
      atMs: 3,
      records: [READY],
    });
    expect(parseFeedMessage('{"atMs":3,"records":[]}', HEADER).records).toEqual([]);
    for (const wrong of ['{"records":[]}', '{"atMs":1}', 'null', '', JSON.stringify({ atMs: 1, records: [{}] })]) {
      expect(() => parseFeedMessage(wrong, HEADER), wrong).toThrow('not a message of a live feed');
    }
  });
});
