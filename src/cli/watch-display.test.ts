import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { aRun } from '../../test/fixtures/run-header.js';
import type { ModelRecord } from '../scheduler/domain/event-record.js';
import { WatchDisplay, type DisplayOutput } from './watch-display.js';

const HEADER = aRun({ title: 'sponge', model: { name: 'ocr' } });
const ESC = '\u001b';

let nowMs: number;
let written: string;

function display(output: Partial<DisplayOutput>, environment: Readonly<Record<string, string>> = {}): WatchDisplay {
  return new WatchDisplay({
    output: { write: (text: string) => (written += text), ...output },
    environment,
    readNowMs: () => nowMs,
    status: 'here',
  });
}

function passMs(durationMs: number): string {
  written = '';
  for (let passed = 0; passed < durationMs; passed += 50) {
    nowMs += 50;
    vi.advanceTimersByTime(50);
  }
  return written;
}

beforeEach(() => {
  vi.useFakeTimers();
  nowMs = 0;
  written = '';
});
afterEach(() => vi.useRealTimers());

describe('on a terminal, the display', () => {
  const terminal = { isTTY: true, columns: 80, rows: 24 };

  it('draws four times a second over what it drew, and gives the cursor back', () => {
    const shown = display(terminal, { NO_COLOR: '1' });
    shown.begin();
    shown.onRun(HEADER);
    shown.onMessage({ atMs: 5000, records: [] });
    expect(written).toBe(`${ESC}[?25l`);
    const frames = passMs(1250).split(`${ESC}[J`).slice(0, -1);
    expect(frames).toHaveLength(5);
    const lineCount = frames[0]!.split('\n').length - 1;
    expect(frames[0]).not.toContain(`${ESC}[${lineCount}A`);
    expect(frames[1]!.startsWith(`${ESC}[${lineCount}A\r`)).toBe(true);
    // Time goes on between messages, 200 ms late: 5000 + 1250 − 200 ms.
    expect(frames[3]).toContain('00:00:05');
    expect(frames[4]).toContain('00:00:06');
    written = '';
    shown.end();
    shown.end();
    expect(written.endsWith(`${ESC}[?25h`)).toBe(true);
    expect(written.split(`${ESC}[?25h`)).toHaveLength(2);
    expect(passMs(1000)).toBe('');
    // The last frame stays, whatever is written below it.
    shown.aside(() => (written += 'stopped\n'));
    shown.onResize();
    expect(written).toBe('stopped\n');
  });

  it('credits a resize from when it was in force, though a frame was drawn before it was heard of', () => {
    const shown = display(terminal, { NO_COLOR: '1' });
    const resized = (atMs: number, cpuMillicores: number): ModelRecord =>
      ({ kind: 'resized', model: 0, atMs, cpuMillicores }) as ModelRecord;
    shown.begin();
    shown.onRun(HEADER);
    shown.onMessage({ atMs: 5000, records: [] });
    passMs(250);
    shown.onMessage({ atMs: 5250, records: [resized(5100, 2000)] });
    passMs(750);
    shown.onMessage({ atMs: 6000, records: [resized(6000, 1000)] });
    // Second 5 is the most of all: 100 ms of one core and 900 ms of two. It is one core now.
    expect(passMs(250)).toMatch(/ granted .* {4}1 {2}1\.9/);
    shown.end();
  });

  it('makes room for a log line, and begins below it', () => {
    const shown = display(terminal);
    shown.begin();
    shown.onRun(HEADER);
    shown.onMessage({ atMs: 0, records: [] });
    const lineCount = passMs(250).split('\n').length - 1;
    written = '';
    shown.aside(() => (written += 'a warning\n'));
    expect(written).toBe(`${ESC}[${lineCount}A\r${ESC}[Ja warning\n`);
    expect(passMs(250)).not.toContain(`${ESC}[${lineCount}A`);
    shown.end();
  });

  it('never draws more lines than the terminal has above the cursor', () => {
    const shown = display({ ...terminal, rows: 6 });
    shown.begin();
    shown.onRun(HEADER);
    shown.onMessage({ atMs: 0, records: [] });
    expect(passMs(250).split('\n')).toHaveLength(6);
    expect(written).toContain('…');
    shown.end();
  });

  it('leaves frames out while the terminal does not keep up', () => {
    const shown = display({ ...terminal, writableNeedDrain: true });
    shown.begin();
    shown.onRun(HEADER);
    shown.onMessage({ atMs: 0, records: [] });
    expect(passMs(1000)).toBe('');
    shown.end();
  });

  it('says that the server is gone, and its time stands still', () => {
    const shown = display(terminal);
    shown.begin();
    shown.onRun(HEADER);
    shown.onMessage({ atMs: 5000, records: [] });
    passMs(250);
    shown.onLost('gone; trying again');
    const frames = passMs(5000);
    expect(frames).toContain('gone; trying again');
    expect(frames).toContain('00:00:05');
    expect(frames).not.toContain('00:00:06');
    shown.onRun(HEADER);
    shown.onMessage({ atMs: 0, records: [] });
    expect(passMs(250)).not.toContain('gone');
    shown.end();
  });
});

describe('elsewhere, the display', () => {
  it.each([
    ['a file', { isTTY: false }, {}],
    ['a terminal that cannot be drawn on', { isTTY: true }, { TERM: 'dumb' }],
  ])('prints a plain line a second to %s', (_, output, environment) => {
    const shown = display(output, environment);
    shown.begin();
    shown.onRun(HEADER);
    shown.onMessage({ atMs: 4500, records: [] });
    const lines = passMs(3100).trim().split('\n');
    // 4500 + 3100 − 200 = 7400: seconds 5 and 6 are whole, and the first one is of the second that was half over.
    expect(lines.map((line) => line.slice(0, 13))).toEqual(['00:00:05 ocr:', '00:00:06 ocr:', '00:00:07 ocr:']);
    expect(written).not.toContain(ESC);
    shown.end();
    expect(written).not.toContain(ESC);
  });

  it('prints a second once all of it can have been heard, what came last by when it happened', () => {
    const shown = display({});
    shown.begin();
    shown.onRun(HEADER);
    shown.onMessage({ atMs: 4000, records: [] });
    expect(passMs(1100)).toBe('');
    // Of second 4, told in second 5.
    const late = { kind: 'resized', model: 0, atMs: 4990, cpuMillicores: 2000 } as ModelRecord;
    const request = { kind: 'request-received', model: 0, atMs: 4995, receivedAtMs: 4995, sequence: 1 } as ModelRecord;
    shown.onMessage({ atMs: 5100, records: [late, request] });
    expect(passMs(250)).toMatch(/^00:00:05 ocr: 2 of 2 cores; queue 0; 1\.0\/s/);
    shown.end();
  });

  it('is over when nobody reads it any more, and whoever writes goes on', () => {
    let complain: (error: Error) => void = () => expect.unreachable();
    const shown = display({ isTTY: true, on: (_, listener) => (complain = listener) });
    shown.begin();
    shown.onRun(HEADER);
    shown.onMessage({ atMs: 0, records: [] });
    expect(passMs(250)).not.toBe('');
    complain(new Error('EPIPE'));
    shown.onMessage({ atMs: 300, records: [] });
    expect(passMs(1000)).toBe('');
    shown.onLost('gone');
    shown.onResize();
    shown.aside(() => (written += 'a warning\n'));
    shown.end();
    shown.begin();
    expect(written).toBe('a warning\n');
    expect(passMs(1000)).toBe('');
  });
});
