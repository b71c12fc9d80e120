import { describe, expect, it } from 'vitest';
import { createProgress } from './progress.js';

function recorded(isTTY: boolean): { texts: string[]; write(text: string): void; isTTY: boolean; columns: number } {
  const texts: string[] = [];
  return { texts, isTTY, columns: 80, write: (text) => void texts.push(text) };
}

describe('the progress of long work', () => {
  it('overwrites one line on a terminal, never longer than the terminal is wide', () => {
    const output = recorded(true);
    const progress = createProgress('a model with a rather long name', output);
    progress.update(0.5, 65_000, 64_600, 'batch 16 on 1.75 cores');
    const [text] = output.texts;
    expect(text).toContain('████████░░░░░░░░  50 %  1:05 elapsed, 1:05 left');
    expect(text!.startsWith('\r\u001b[2K')).toBe(true);
    expect(text!.slice('\r\u001b[2K'.length).length).toBeLessThan(80);
    progress.clear();
    progress.clear();
    expect(output.texts.slice(1)).toEqual(['\r\u001b[2K']);
  });

  it('writes a plain line every ten seconds elsewhere', () => {
    const output = recorded(false);
    const progress = createProgress('ocr', output);
    for (const elapsedMs of [1000, 9999, 10_000, 12_000, 20_500]) progress.update(0.25, elapsedMs, 5000, 'batch 1');
    progress.clear();
    expect(output.texts).toEqual([
      'ocr: 25 %, 0:10 elapsed, 0:05 left\n',
      'ocr: 25 %, 0:21 elapsed, 0:05 left\n', // 20.5 s rounds to 21
    ]);
  });

  it('keeps what is said above the bar', () => {
    const output = recorded(true);
    const progress = createProgress('ocr', output);
    progress.update(0, 0, 0, '');
    progress.say('going on');
    expect(output.texts.slice(1)).toEqual(['\r\u001b[2K', 'ocr: going on\n']);
  });
});
