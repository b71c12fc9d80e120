import { describe, expect, it } from 'vitest';
import { namedPods, parseEndpoint } from './pod-sources.js';

describe('named pods', () => {
  it('are addresses as they are, at once', () => {
    const told: (readonly string[])[] = [];
    const end = namedPods({
      endpoints: ['10.0.0.2:8000', '[fd00::1]:8000', '10.0.0.2:8000'],
      onTrouble: () => undefined,
    }).follow((pods) => told.push(pods));
    end();
    expect(told).toEqual([['10.0.0.2:8000', '[fd00::1]:8000']]);
  });

  it('are all addresses of a name, looked up again and again; a lookup that fails changes nothing', async () => {
    const answers: (readonly string[] | Error)[] = [['10.0.0.1', '10.0.0.2'], new Error('ENOTFOUND'), ['fd00::2']];
    const told: (readonly string[])[] = [];
    const troubles: string[] = [];
    let asked = 0;
    let done: () => void = () => undefined;
    const last = new Promise<void>((resolve) => (done = resolve));
    const end = namedPods({
      endpoints: ['pods.test:8000'],
      onTrouble: (line) => troubles.push(line),
      everyMs: 1,
      resolve: (name) => {
        expect(name).toBe('pods.test');
        const answer = answers[Math.min(asked++, answers.length - 1)]!;
        return answer instanceof Error ? Promise.reject(answer) : Promise.resolve(answer);
      },
    }).follow((pods) => {
      told.push(pods);
      if (told.length === 2) done();
    });
    await last;
    end();
    expect(told).toEqual([['10.0.0.1:8000', '10.0.0.2:8000'], ['[fd00::2]:8000']]);
    expect(troubles).toEqual([]);
  });

  it.each(['pods', 'http://pods:80', 'pods:0', 'pods:70000', ':80', 'fd00::1:80', 'a b:80'])('are no %s', (text) => {
    expect(() => parseEndpoint(text)).toThrow(/expected host:port/);
  });
});
