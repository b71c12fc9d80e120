import { describe, expect, it } from 'vitest';
import { parseEventLog, parseFeedMessage } from './event-log.js';
import type { ModelRecord, RunHeader } from './event-record.js';

const HEADER: RunHeader = {
  kind: 'run',
  schemaVersion: 1,
  source: 'simulated',
  title: 'test',
  startedAtMs: 0,
  startedAt: null,
  models: [
    {
      name: 'a',
      version: '1',
      policy: 'sponge',
      limits: { minMillicores: 100, maxMillicores: 2000, stepMillicores: 100 },
      cpuMillicores: 2000,
      maxBatchSize: 8,
    },
  ],
};
const READY: ModelRecord = { model: 0, kind: 'worker-ready', atMs: 1.5 };
const LOST: ModelRecord = { model: 0, kind: 'worker-lost', atMs: 2, message: 'killed', restartEstimateMs: 100 };
const lines = (...values: readonly unknown[]): string => values.map((value) => `${JSON.stringify(value)}\n`).join('');

describe('an event log', () => {
  it('gives back its header and its records in order', () => {
    expect(parseEventLog(lines(HEADER, READY, LOST))).toEqual({ header: HEADER, records: [READY, LOST] });
    expect(parseEventLog(lines(HEADER))).toEqual({ header: HEADER, records: [] });
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
