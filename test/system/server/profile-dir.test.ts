import { createHash } from 'node:crypto';
import { copyFileSync, mkdirSync, readdirSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { slow } from '../../../research/load-models/tiny-graphs.js';
import { inferBinary, slowInput } from './clients.js';
import { TestBench } from './harness.js';
import { slowStepsFor } from './machine-speed.js';

/** Long enough that a busy machine is not taken for a profile that is off. */
const RUN_MS = 20;
const STEPS = await slowStepsFor(RUN_MS);

const bench = new TestBench();
afterAll(() => bench.close());

/** Not even root can write a profile where a folder has its name; rights would not keep root from it. */
function withoutPlaceBeside(model: string): string {
  mkdirSync(model.replace(/\.onnx$/, '.profile.json'));
  return model;
}

describe('a model beside which nothing can be written', () => {
  const model = withoutPlaceBeside(bench.model('slow', slow(STEPS)));

  it('is served, and its profile is lost, which is said with what to do', async () => {
    const server = await bench.serve(model, ['--no-refine']);
    expect(server.log).toMatch(/the profile could not be stored, .* --profile-dir/);
    await server.stop();
  });

  it('has its profile in the folder that --profile-dir names, by its bytes: under another name it is not profiled again', async () => {
    const folder = bench.path('profiles/of/mine');
    const first = await bench.serve(model, ['--no-refine', '--profile-dir', folder]);
    expect(first.log).not.toContain('could not be stored');
    await first.stop();
    const name = `${createHash('sha256').update(readFileSync(model)).digest('hex')}.profile.json`;
    expect(readdirSync(folder)).toEqual([name]);
    const stored = readFileSync(join(folder, name), 'utf8');

    const elsewhere = join(dirname(model), 'renamed', 'other.onnx');
    mkdirSync(dirname(elsewhere));
    copyFileSync(model, elsewhere);
    const second = await bench.serve(withoutPlaceBeside(elsewhere), ['--no-refine', '--profile-dir', folder]);
    expect((await inferBinary(second, 'other', [slowInput(3)])).status).toBe(200);
    await second.stop();
    expect(readdirSync(folder)).toEqual([name]);
    // It says when it was measured. A machine that has become several times as slow since is profiled again, which is said.
    if (!second.log.includes('the stored profile was off'))
      expect(readFileSync(join(folder, name), 'utf8')).toBe(stored);
  });

  it('ends the start where the folder is none that can be written to', async () => {
    await expect(bench.serve(model, ['--profile-dir', join(model, 'below')])).rejects.toThrow(
      /--profile-dir .*below: no folder that can be written to: .*ENOTDIR/,
    );
  });
});
