import { spawn, spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { multilayerPerceptron } from '../../research/load-models/load-models.js';
import { anyLength, slow } from '../../research/load-models/tiny-graphs.js';
import type { Profile } from '../../src/scheduler/perf-model/profile.js';

/*
 * The built command line, as a person runs it. Nothing here depends on how fast the machine is.
 */

const CLI = fileURLToPath(new URL('../../bin/sponge.js', import.meta.url));
const GROUP = `profile-test-${process.pid}`;

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'sponge-profile-test-'));
});
afterAll(() => rmSync(folder, { recursive: true }));

const MOST_ATTEMPTS = 5;

interface Ended {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
  /** Without the warning that the machine is busy, which depends on the machine. */
  readonly complaints: readonly string[];
}

interface Running {
  kill(signal: NodeJS.Signals): void;
  printed(): string;
  /** @throws when the process ends first */
  until(isTrue: () => boolean): Promise<void>;
}

/** @param during called once the process runs */
async function sponge(args: readonly string[], during?: (run: Running) => Promise<void>): Promise<Ended> {
  const child = spawn(process.execPath, [CLI, ...args, '--group', GROUP], { stdio: ['ignore', 'pipe', 'pipe'] });
  let [stdout, stderr] = ['', ''];
  child.stdout.on('data', (data: Buffer) => (stdout += data.toString()));
  child.stderr.on('data', (data: Buffer) => (stderr += data.toString()));
  const closed = new Promise<number | null>((resolve) => child.on('close', resolve));
  try {
    await during?.({
      kill: (signal) => child.kill(signal),
      printed: () => stdout,
      until: async (isTrue) => {
        while (!isTrue()) {
          if (child.exitCode !== null) throw new Error(`sponge ${args.join(' ')} ended too early: ${stderr}`);
          await delay(50);
        }
      },
    });
    const code = await closed;
    const lines = stderr.split('\n').filter((line) => line !== '');
    return {
      code,
      stdout,
      stderr,
      complaints: lines.filter((line) => !line.startsWith('warning: the machine is busy')),
    };
  } finally {
    child.kill('SIGKILL');
  }
}

function modelIn(name: string, bytes: Uint8Array): string {
  const path = join(folder, name);
  mkdirSync(path);
  writeFileSync(join(path, 'm.onnx'), bytes);
  return join(path, 'm.onnx');
}

function readProfile(path: string): Profile {
  return JSON.parse(readFileSync(path, 'utf8')) as Profile;
}

const runCount = ({ cells }: Profile): number => cells.reduce((sum, { samplesMs }) => sum + samplesMs.length, 0);

/**
 * A machine on which others' work has begun or ended is rightly measured again: then once more, with what was stored by that.
 * @returns null, with a word, where that goes on
 */
async function servedWithStored(
  modelPath: string,
  profilePath: string,
): Promise<(Ended & { readonly stored: Profile }) | null> {
  for (let attempt = 1; ; attempt++) {
    const stored = readProfile(profilePath);
    const served = await serveBriefly(modelPath);
    const isOff = `${served.stdout}${served.stderr}`.includes('the stored profile was off');
    if (!isOff) return { ...served, stored };
    if (attempt < MOST_ATTEMPTS) continue;
    console.warn(
      'NOT JUDGED: whether a stored profile is used as it is; what others do to this machine goes on changing',
    );
    return null;
  }
}

/** Serves until ready, then stops. */
function serveBriefly(modelPath: string, ...more: readonly string[]): Promise<Ended> {
  const ports = ['--port', '0', '--grpc-port', '0', '--metrics-port', '0'];
  return sponge(['serve', modelPath, ...ports, '--max-batch', '2', '--no-refine', ...more], async (run) => {
    await run.until(() => run.printed().includes('Sponge is ready'));
    run.kill('SIGTERM');
  });
}

describe('sponge profile', () => {
  it('stores what serve uses without profiling again, until a setting differs', async () => {
    const model = modelIn('reused', multilayerPerceptron({ width: 64, layerCount: 2 }).toModel());
    const path = model.replace('.onnx', '.profile.json');
    const { code, stdout, complaints } = await sponge([
      'profile',
      model,
      '--quick',
      '--budget',
      '1',
      '--max-batch',
      '2',
    ]);
    expect([code, complaints]).toEqual([0, []]);
    expect(stdout).toContain('p50 of a batch in ms');
    expect(stdout).toContain(path);
    expect(readdirSync(join(folder, 'reused')).sort()).toEqual(['m.onnx', 'm.profile.html', 'm.profile.json']);
    const profile = readProfile(path);
    expect(profile.quality).toBe('quick');
    for (const cell of profile.cells) expect(cell.samplesMs.length).toBeGreaterThanOrEqual(3);

    const served = await servedWithStored(model, path);
    if (served !== null) {
      const { stdout: banner, stored } = served;
      expect(banner).toContain(`quick profile of ${stored.measuredAt.slice(0, 16).replace('T', ' ')}`);
      expect(readProfile(path)).toEqual(stored);
    }

    const otherPeriod = await serveBriefly(model, '--quota-period-us', '20000');
    expect(otherPeriod.stderr).toContain('is for another quota period; profiling again');
    expect(readProfile(path).fingerprint?.quotaPeriodUs).toBe(20_000);
  });

  it('keeps what it measured when it is interrupted, and goes on from there', async () => {
    const model = modelIn('interrupted', slow(600).toModel());
    const partial = model.replace('.onnx', '.profile.partial.json');
    const args = ['profile', model, '--max-batch', '2'];
    const stopped = await sponge([...args, '--budget', '300'], async (run) => {
      await run.until(() => existsSync(partial));
      run.kill('SIGINT');
    });
    expect(stopped.code).toBe(130);
    const kept = runCount(readProfile(partial));
    expect(kept).toBeGreaterThan(0);
    expect(stopped.stderr).toContain(
      `stopped; ${kept} runs are kept in ${partial}. The same command goes on from there`,
    );
    expect(readdirSync(join(folder, 'interrupted')).sort()).toEqual(['m.onnx', 'm.profile.partial.json']);

    const other = [...args, '--quick', '--budget', '1', '--output', join(folder, 'other.json')];
    writeFileSync(join(folder, 'other.partial.json'), readFileSync(partial));
    const otherPeriod = await sponge([...other, '--quota-period-us', '20000']);
    expect(otherPeriod.stderr).toContain('is for another quota period; starting over');

    const finished = await sponge([...args, '--quick', '--budget', '1', '--json']);
    expect(finished.code).toBe(0);
    expect(finished.stderr).toContain(`going on from ${kept} runs`);
    const report = JSON.parse(finished.stdout) as { chosen: string; profile: Profile };
    expect(['fit', 'table']).toContain(report.chosen);
    expect(readProfile(model.replace('.onnx', '.profile.json'))).toEqual(report.profile);
    expect(runCount(report.profile)).toBeGreaterThanOrEqual(kept);
    expect(existsSync(partial)).toBe(false);
  });
});

describe('sponge profile says in one line what is wrong', () => {
  async function complaintOf(...args: readonly string[]): Promise<string> {
    const { code, stdout, complaints } = await sponge(['profile', ...args]);
    expect([code, stdout, complaints.length], complaints.join('\n')).toEqual([1, '', 1]);
    return complaints[0]!;
  }

  it('a damaged model', async () => {
    const model = modelIn('damaged', new Uint8Array(100).fill(255));
    expect(await complaintOf(model)).toMatch(/cannot load .*m\.onnx: not an ONNX model, or damaged/);
  });

  it('a size that neither the model nor a flag says', async () => {
    const model = modelIn('open', anyLength().toModel());
    expect(await complaintOf(model)).toMatch(/leaves sizes open: x \[-1, -1\].*--shape x=1,<size>/);
    const { code } = await sponge([
      'profile',
      model,
      '--shape',
      'x=1,8',
      '--quick',
      '--budget',
      '1',
      '--max-batch',
      '2',
    ]);
    expect(code).toBe(0);
  });

  it('a place that is not there', async () => {
    const model = modelIn('placeless', slow(1).toModel());
    expect(await complaintOf(model, '--output', join(folder, 'nowhere', 'p.json'))).toMatch(/no such folder; make it/);
  });

  it('a full disk, before anything is measured', async ({ skip }) => {
    const disk = join(folder, 'disk');
    mkdirSync(disk);
    const mounted = spawnSync('/bin/mount', ['-t', 'tmpfs', '-o', 'size=64k', 'tmpfs', disk]);
    if (mounted.status !== 0) {
      console.warn('skipped: a full disk; mounting a small tmpfs needs root');
      skip();
    }
    try {
      const model = modelIn('full', slow(1).toModel());
      expect(await complaintOf(model, '--output', join(disk, 'p.json'))).toMatch(/the disk is full; free some space/);
      expect(readdirSync(disk)).toEqual([]);
    } finally {
      spawnSync('/bin/umount', [disk]);
    }
  });

  it('a flag for one model with a folder of several', async () => {
    for (const name of ['a', 'b']) {
      mkdirSync(join(folder, 'several', name, '1'), { recursive: true });
      writeFileSync(join(folder, 'several', name, '1', 'model.onnx'), slow(1).toModel());
    }
    expect(await complaintOf(join(folder, 'several'), '--shape', 'x=1,4')).toMatch(/--shape is for one model.*--model/);
    expect(await complaintOf(join(folder, 'several'), '--model', 'c')).toMatch(/no model "c" in .*; it has a, b/);
  });
});
