import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { withPrivateWeights } from './private-weights.js';

const unexpected = (line: string): void => expect.fail(line);

let folder: string;
let model: string;
let weights: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'sponge-private-weights-'));
  model = join(folder, 'model.onnx');
  weights = join(folder, 'weights.bin');
  writeFileSync(model, 'a graph');
  writeFileSync(weights, 'weights');
});
afterEach(() => {
  vi.unstubAllEnvs();
  rmSync(folder, { recursive: true });
});

describe('weights in a file beside the model', () => {
  it('are loaded from a copy, which is gone afterwards; a model without is loaded from its own path', async () => {
    const load = (path: string): Promise<string[]> =>
      Promise.resolve([path, readFileSync(join(dirname(path), 'weights.bin'), 'utf8')]);
    const [path, content] = await withPrivateWeights(model, [weights], load, unexpected);
    expect([path === model, content, existsSync(path!)]).toEqual([false, 'weights', false]);
    expect((await withPrivateWeights(model, [], load, unexpected))[0]).toBe(model);
  });

  it('that are wrong are named as the operator knows them', async () => {
    const load = (path: string): Promise<never> => Promise.reject(new Error(`${path} is torn`));
    await expect(withPrivateWeights(model, [weights], load, unexpected)).rejects.toThrow(`${model} is torn`);
  });

  it('are read in place, which is said, where no copy can be made', async () => {
    const lines: string[] = [];
    const load = (path: string): Promise<string> => Promise.resolve(path);
    const loaded = (paths: string[]): Promise<string> =>
      withPrivateWeights(model, paths, load, (line) => lines.push(line));
    expect(await loaded([join(folder, 'absent.bin')])).toBe(model);
    vi.stubEnv('TMPDIR', join(folder, 'absent'));
    expect(await loaded([weights])).toBe(model);
    expect(lines).toEqual(
      [0, 1].map(() => expect.stringMatching(/no copy of its weights could be made: .*ENOENT/) as string),
    );
  });
});
