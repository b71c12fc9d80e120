import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeEach, describe, expect, it } from 'vitest';
import { aRun } from '../../../test/fixtures/run-header.js';
import { parseEventLog } from '../../scheduler/domain/event-log.js';
import { RecordWriter } from './record-writer.js';

const folder = mkdtempSync(join(tmpdir(), 'sponge-record-writer-test-'));
afterAll(() => rmSync(folder, { recursive: true }));

const HEADER = aRun();
const line = (atMs: number): string => JSON.stringify({ model: 0, kind: 'worker-ready', atMs });

let fileCount = 0;
let path: string;
let trouble: string[];
const open = (maxWaitingBytes?: number): Promise<RecordWriter> =>
  RecordWriter.open({
    path,
    onTrouble: (text) => trouble.push(text),
    ...(maxWaitingBytes === undefined ? {} : { maxWaitingBytes }),
  });

beforeEach(() => {
  path = join(folder, `${++fileCount}.jsonl`);
  trouble = [];
});

describe('an event log being written', () => {
  it('has every record in order once it is closed', async () => {
    const writer = await open();
    writer.begin(HEADER);
    for (let atMs = 0; atMs < 1000; atMs += 2) {
      writer.write([line(atMs), line(atMs + 1)]);
      // Some while a write is under way, some when none is.
      if (atMs % 100 === 0) await new Promise(setImmediate);
    }
    await writer.close();
    const { header, records } = parseEventLog(readFileSync(path, 'utf8'));
    expect(header).toEqual(HEADER);
    expect(records.map(({ atMs }) => atMs)).toEqual(Array.from({ length: 1000 }, (_, index) => index));
    expect(trouble).toEqual([]);
  });

  it('leaves out whole records when the disk cannot keep up, says so once, and counts them', async () => {
    const writer = await open(1000);
    writer.begin(HEADER);
    // Nothing is written before this function gives way.
    for (let atMs = 0; atMs < 500; atMs++) writer.write([line(atMs)]);
    expect(trouble).toEqual([expect.stringContaining('the disk cannot keep up, so records are left out')]);
    const kept = 500 - writer.droppedRecords;
    expect(kept).toBeGreaterThan(0);
    expect(kept).toBeLessThan(1000 / line(0).length + 2);
    await writer.close();
    const { records, droppedRecords } = parseEventLog(readFileSync(path, 'utf8'));
    expect(records.map(({ atMs }) => atMs)).toEqual(Array.from({ length: kept }, (_, index) => index));
    expect(droppedRecords).toBe(500 - kept);
    expect(trouble[1]).toContain(`${500 - kept} records were left out in all`);
  });

  it('says in the place of what it left out how much that was', async () => {
    const writer = await open(0);
    writer.begin(HEADER);
    writer.write([line(1), line(2)]);
    await expect.poll(() => readFileSync(path, 'utf8')).toContain('\n');
    writer.write([line(3)]);
    writer.write([line(4)]);
    await writer.close();
    const [, ...written] = readFileSync(path, 'utf8').trim().split('\n');
    expect(written).toEqual(['{"kind":"gap","droppedRecords":2}', line(3), '{"kind":"gap","droppedRecords":1}']);
  });

  it('replaces an older log only when it begins', async () => {
    writeFileSync(path, 'an older log');
    await (await open()).close();
    expect(readFileSync(path, 'utf8')).toBe('an older log');
    const writer = await open();
    writer.begin(HEADER);
    await writer.close();
    expect(readFileSync(path, 'utf8')).toBe(`${JSON.stringify(HEADER)}\n`);
  });

  it('leaves no empty file of a server that did not start', async () => {
    await (await open()).close();
    expect(existsSync(path)).toBe(false);
  });

  it('ends where the disk fails, with one line, and serving goes on', async () => {
    path = '/dev/full';
    const writer = await open();
    writer.begin(HEADER);
    writer.write([line(1), line(2)]);
    await expect.poll(() => trouble).toEqual([expect.stringMatching(/^event log \/dev\/full: ENOSPC.*it ends here$/)]);
    writer.write([line(3)]);
    await writer.close();
    // Those that waited when the disk failed, and the one that came later.
    expect(trouble.slice(1)).toEqual(['event log /dev/full: 3 records were left out in all']);
    expect(writer.droppedRecords).toBe(3);
  });

  it('cannot be where nothing can be written: one line with the remedy', async () => {
    path = join(folder, 'missing', 'log.jsonl');
    await expect(open()).rejects.toThrow(
      /^event log: ENOENT.*give --event-log a file in a folder that can be written to$/,
    );
    path = folder;
    await expect(open()).rejects.toThrow(/^event log: EISDIR/);
  });
});
