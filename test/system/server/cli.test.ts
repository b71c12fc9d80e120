import { existsSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { simple } from '../../../research/load-models/tiny-graphs.js';
import { http } from './clients.js';
import { TestBench, type RunningServer } from './harness.js';

const bench = new TestBench();
afterAll(() => bench.close());

describe('sponge --help', () => {
  it('lists the verbs, and each verb shows examples', async () => {
    const { code, stdout } = await bench.run(['--help']);
    expect(code).toBe(0);
    const verbs = [...stdout.slice(stdout.indexOf('Commands:')).matchAll(/^ {2}(\w+) /gm)].map((match) => match[1]!);
    expect(verbs).toEqual(expect.arrayContaining(['serve', 'infer', 'profile', 'plan', 'simulate']));
    const helps = await Promise.all(verbs.filter((verb) => verb !== 'help').map((verb) => bench.run([verb, '--help'])));
    for (const help of helps) {
      expect(help.code).toBe(0);
      expect(help.stdout).toMatch(/\nExamples?:\n {2}\S*sponge /);
    }
  });

  it.each([
    ['serve', []],
    ['infer', []],
    ['plan', ['--profile', 'resnet18', '--rate', '1', '--slo', '100']],
    ['profile', []],
  ])('%s refuses a flag that it does not know', async (verb, required) => {
    const { code, stdout, stderr } = await bench.run([verb, ...required, '--nonsense']);
    expect(code).not.toBe(0);
    expect(stdout).toBe('');
    expect(stderr).toMatch(/^error: unknown option '--nonsense'\n/);
  });

  it('refuses a verb that it does not know', async () => {
    const { code, stderr } = await bench.run(['swim']);
    expect(code).not.toBe(0);
    expect(stderr).toMatch(/^error: unknown command 'swim'/);
  });
});

describe('sponge plan', () => {
  it('gives the published answers as JSON', async () => {
    const question = [
      'plan',
      '--profile',
      'resnet18',
      '--rate',
      '100',
      '--slo',
      '1000',
      '--network-delay',
      '50',
      '--json',
    ];
    const [sponge, released] = await Promise.all([
      bench.run(question),
      bench.run([...question, '--policy', 'released']),
    ]);
    expect(JSON.parse(sponge.stdout)).toMatchObject({ feasible: true, cpuMillicores: 4000, batchSize: 14 });
    expect(JSON.parse(released.stdout)).toMatchObject({ feasible: true, cpuMillicores: 5000, batchSize: 10 });
    expect([sponge.code, sponge.stderr, released.code]).toEqual([0, '', 0]);
  });

  it('says why it is infeasible', async () => {
    const { stdout } = await bench.run(['plan', '--profile', 'yolov5s', '--rate', '500', '--slo', '100', '--json']);
    expect(JSON.parse(stdout)).toMatchObject({ feasible: false, reason: expect.any(String) as string });
  });
});

describe('a server, its configuration and sponge infer', () => {
  let server: RunningServer;

  beforeAll(async () => {
    const written = await bench.research(['load-models', bench.path('all'), '--tiny']);
    expect(written.code, written.stderr).toBe(0);
    expect(existsSync(bench.path('all/simple/1/model.onnx'))).toBe(true);
    expect(existsSync(bench.path('all/resnet18/1/model.onnx'))).toBe(true);

    const config = bench.file('sponge.yaml', 'server-name: from-file\nslo: 1111\nmax-batch: 3\nno-refine: true\n');
    // The flag beats the environment, the environment beats the file.
    server = await bench.serve(
      bench.repository('models', { simple: simple() }),
      ['--config', config, '--slo', '3333'],
      {
        SPONGE_SLO: '2222',
        SPONGE_SERVER_NAME: 'from-environment',
      },
    );
  });

  it('takes each flag from the command line, the environment and the file, in this order', async () => {
    expect((await http(`${server.rest}/v2`)).json['name']).toBe('from-environment');
    expect(server.banner).toMatch(/requests that state no budget get 3333 ms/);
    expect(server.banner).toMatch(/batches of up to 3;/);
    expect(server.banner).toMatch(/quick profile of .*, planned with a wider margin\n/);
  });

  it('is asked by sponge infer, for people and for machines', async () => {
    const data = JSON.stringify({ INPUT0: [Array.from({ length: 16 }, (_, i) => i)], INPUT1: [new Array(16).fill(1)] });
    const people = await bench.run(['infer', 'simple', '--url', server.rest, '--data', data, '--slo', '9000']);
    expect(people.stderr).toBe('');
    expect(people.stdout).toMatch(/^OUTPUT0 INT32 \[1, 16\]: 1, 2, 3, 4, 5, 6, 7, 8, … 8 more\n/);
    expect(people.stdout).toMatch(
      /answered in [\d.]+ ms · budget (8\d{3}|9000)\.\d ms \(network .*\) · queued .* · batch of 1 · [\d.]+ cores · planned .* took /,
    );

    const file = bench.file('inputs.json', data);
    const machines = await bench.run(['infer', 'simple', '--url', server.rest, '--data', `@${file}`, '--json']);
    const answer = JSON.parse(machines.stdout) as { outputs: { name: string; data: number[] }[] };
    expect(answer.outputs[1]).toMatchObject({ name: 'OUTPUT1', data: Array.from({ length: 16 }, (_, i) => i - 1) });

    const noise = await bench.run(['infer', 'simple', '--url', server.rest]);
    expect(noise.code, noise.stderr).toBe(0);
  });

  it.each<[string, string[], RegExp]>([
    ['an unknown model', ['nobody'], /^sponge: 404: Request for unknown model: 'nobody'/],
    ['inputs that do not fit', ['simple', '--data', '{"INPUT0": [[1]], "INPUT1": [[1]]}'], /^sponge: 400: .*INPUT0/],
    ['inputs that are no JSON', ['simple', '--data', '{'], /^sponge: --data is not JSON$/m],
    ['a file that is not there', ['simple', '--data', '@/nowhere.json'], /^sponge: --data @\/nowhere\.json: /],
  ])('fails in one line for %s', async (_, args, pattern) => {
    const { code, stdout, stderr } = await bench.run(['infer', ...args, '--url', server.rest]);
    expect(code).toBe(1);
    expect(stdout).toBe('');
    expect(stderr.trimEnd().split('\n')).toHaveLength(1);
    expect(stderr).toMatch(pattern);
  });

  it('says that no server is there', async () => {
    const { code, stderr } = await bench.run(['infer', 'simple', '--url', 'http://127.0.0.1:1']);
    expect(code).toBe(1);
    expect(stderr).toMatch(
      /^sponge: no server answers at http:\/\/127\.0\.0\.1:1; start one with "sponge serve", or give --url\n$/,
    );
  });

  it.each<[Record<string, string>, RegExp]>([
    [{ SPONGE_GRPC_PORT: 'high' }, /^sponge: SPONGE_GRPC_PORT: expected a port, 0 to 65535\.\n$/],
    [{ SPONGE_SCALER: 'magic' }, /^sponge: SPONGE_SCALER: allowed: auto, /],
    [{ SPONGE_NO_REFINE: 'perhaps' }, /^sponge: SPONGE_NO_REFINE: expected true or false, got perhaps\n$/],
  ])('refuses an environment with %j', async (env, pattern) => {
    const { code, stdout, stderr } = await bench.run(['serve', bench.path('models'), '--port', '0'], env);
    expect([code, stdout]).toEqual([1, '']);
    expect(stderr).toMatch(pattern);
  });

  it('refuses a configuration with an unknown key, naming the known ones', async () => {
    const config = bench.file('wrong.yaml', 'prot: 8000\n');
    const { code, stderr } = await bench.serveFailing(bench.path('models'), ['--config', config]);
    expect(code).toBe(1);
    expect(stderr).toMatch(/wrong\.yaml: unknown key "prot"; known keys: .*port/);
  });
});
