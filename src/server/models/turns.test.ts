import { describe, expect, it } from 'vitest';
import { Turns } from '../served/background-profiling.js';

describe('turns', () => {
  it('come one after the other, also after one that failed', async () => {
    const turns = new Turns();
    const log: string[] = [];
    const task = (name: string) => async (): Promise<void> => {
      log.push(`${name} begins`);
      await new Promise(setImmediate);
      log.push(`${name} ends`);
      if (name === 'a') throw new Error('no');
    };
    const [a, b] = [turns.take(task('a')), turns.take(task('b'))];
    await expect(a).rejects.toThrow('no');
    await b;
    expect(log).toEqual(['a begins', 'a ends', 'b begins', 'b ends']);
  });

  it('are over at once for who gives up before its own has come, and never come then', async () => {
    const turns = new Turns();
    let end: () => void = () => undefined;
    const first = turns.take(() => new Promise<void>((fulfil) => (end = fulfil)));
    const abort = new AbortController();
    let hasRun = false;
    const second = turns.takeUnlessAborted(() => {
      hasRun = true;
      return Promise.resolve();
    }, abort.signal);
    abort.abort();
    await second; // though the first goes on
    end();
    await first;
    await turns.take(() => Promise.resolve());
    expect(hasRun).toBe(false);
  });

  it('once begun last until their end, whoever gives up', async () => {
    const turns = new Turns();
    const abort = new AbortController();
    const log: string[] = [];
    await turns.takeUnlessAborted(async () => {
      abort.abort();
      await new Promise(setImmediate);
      log.push('ended');
    }, abort.signal);
    expect(log).toEqual(['ended']);
  });
});
