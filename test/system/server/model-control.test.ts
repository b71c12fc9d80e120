import { readdirSync, renameSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { slow } from '../../../research/load-models/tiny-graphs.js';
import { GrpcClient, http, inferBinary, slowInput, slowPlace, type Reply } from './clients.js';
import { eventually, groupsOf, TestBench, type RunningServer } from './harness.js';
import { placeOf, Replacing, tallyText } from './replacing.js';

/* Models that come and go while the server serves. A model of n steps gives back a marker n places on: so who answered is seen. */

/** `npm run test:replacements` has 50. */
const REPLACEMENTS = 4;

const bench = new TestBench();
afterAll(() => bench.close());

function post(server: RunningServer, path: string, body: object = {}): Promise<Reply> {
  return http(`${server.rest}/v2/repository/${path}`, { method: 'POST', body });
}

/** By `<name> <version>`. */
async function statesOf(server: RunningServer): Promise<Readonly<Record<string, string>>> {
  const { json } = await post(server, 'index');
  const entries = json as unknown as readonly Readonly<Record<'name' | 'version' | 'state' | 'reason', string>>[];
  return Object.fromEntries(entries.map(({ name, version, state }) => [`${name} ${version}`, state]));
}

async function answerOf(server: RunningServer, model: string, version?: string): Promise<number> {
  const options = { sloMs: 60_000, ...(version === undefined ? {} : { version }) };
  const reply = await inferBinary(server, model, [slowInput(0)], options);
  expect(reply.status, reply.json.error).toBe(200);
  return slowPlace(reply);
}

async function metricsOf(server: RunningServer): Promise<string> {
  return (await http(server.metrics)).bytes.toString();
}

function writeVersion(repository: string, version: string, steps: number): void {
  bench.file(join(repository, 'slow', version, 'model.onnx'), slow(steps).toModel());
}

describe('a server whose models are asked for', () => {
  let server: RunningServer;
  beforeAll(async () => {
    bench.repository('asked', { slow: slow(3), other: slow(5) });
    const flags = ['--model-control', 'explicit', '--no-refine', '--instances', 'auto'];
    server = await bench.serve(bench.path('asked'), flags);
  });

  it('begins with none, and is ready', async () => {
    expect((await http(`${server.rest}/v2/health/ready`)).status).toBe(200);
    expect(server.workers()).toEqual([]);
    expect(await statesOf(server)).toEqual({ 'slow 1': 'UNAVAILABLE', 'other 1': 'UNAVAILABLE' });
    const reply = await inferBinary(server, 'slow', [slowInput(0)]);
    expect([reply.status, reply.json.error]).toEqual([404, expect.stringContaining("'slow' is not served here")]);
  });

  it('loads one over REST and one over gRPC, and serves both', async () => {
    expect((await post(server, 'models/slow/load')).status).toBe(200);
    const grpc = new GrpcClient(server);
    const load = { repositoryName: '', modelName: 'other', parameters: {} };
    expect((await grpc.call('repositoryModelLoad', load)).error).toBeNull();
    expect([await answerOf(server, 'slow'), await answerOf(server, 'other')]).toEqual([3, 5]);
    const index = await grpc.call('repositoryIndex', { repositoryName: '', ready: true });
    expect(index.response.models.map(({ name, state }) => `${name} ${state}`)).toEqual(['slow READY', 'other READY']);
    const unload = await grpc.call('repositoryModelUnload', { ...load, modelName: 'nobody' });
    expect(unload.error?.details).toContain("failed to unload 'nobody': it is not loaded");
    grpc.close();
  });

  it('loads nothing anew whose files are as they were', async () => {
    const before = server.workers();
    expect((await post(server, 'models/slow/load')).status).toBe(200);
    expect(server.workers()).toEqual(before);
  });

  it('says why one cannot be loaded, and goes on with the one that it was to replace', async () => {
    bench.file('asked/slow/2/model.onnx', 'no model at all');
    const { status, json } = await post(server, 'models/slow/load');
    expect(status).toBe(400);
    expect(json.error).toMatch(/failed to load 'slow': .*not an ONNX model/);
    expect(json.error).not.toContain(bench.folder);
    expect(await answerOf(server, 'slow')).toBe(3);
    expect(await statesOf(server)).toMatchObject({ 'slow 1': 'READY', 'slow 2': 'UNAVAILABLE' });
    rmSync(bench.path('asked/slow/2'), { recursive: true });
    const missing = await post(server, 'models/nobody/load');
    expect([missing.status, missing.json.error]).toEqual([404, expect.stringContaining('no such model')]);
  });

  it('keeps nothing of one that is unloaded', async () => {
    expect(await metricsOf(server)).toContain('model="other"');
    expect((await post(server, 'models/other/unload', { parameters: { unload_dependents: true } })).status).toBe(200);
    await eventually('the end', async () => (await statesOf(server))['other 1'] === 'UNAVAILABLE');
    expect((await inferBinary(server, 'other', [slowInput(0)])).status).toBe(404);
    expect(await metricsOf(server)).not.toContain('model="other"');
    expect(server.workers()).toHaveLength(1);
    expect(groupsOf(bench.group).filter((group) => group.includes('other'))).toEqual([]);
    expect(await answerOf(server, 'slow')).toBe(3);
  });

  it('holds no more descriptors after many have come and gone', async () => {
    const openFiles = (): number => readdirSync(`/proc/${server.pid}/fd`).length;
    const cycle = async (): Promise<void> => {
      expect((await post(server, 'models/other/load')).status).toBe(200);
      expect(await answerOf(server, 'other')).toBe(5);
      expect((await post(server, 'models/other/unload')).status).toBe(200);
      await eventually('the end', async () => (await statesOf(server))['other 1'] === 'UNAVAILABLE');
    };
    await cycle();
    const before = openFiles();
    for (let count = 0; count < 3; count++) await cycle();
    await eventually('as few descriptors', () => openFiles() <= before);
    await server.stop();
  });
});

describe('a server whose repository changes', () => {
  it('serves what is in it: new versions by the policy, and changed files in place', async () => {
    const repository = bench.path('polled');
    writeVersion('polled', '1764400000000000001', 3);
    bench.file('polled/slow/model.yaml', 'versions: { latest: 2 }\n');
    bench.file('polled/slow/01/model.onnx', 'x');
    const flags = ['--model-control', 'poll', '--poll-seconds', '0.2', '--no-refine'];
    const server = await bench.serve(repository, flags);
    expect(server.log).toMatch(/polled\/slow\/01 is left out: a version is a whole number/);
    expect(await answerOf(server, 'slow')).toBe(3);

    writeVersion('polled', '1764400000000000002', 4);
    await eventually('a second version', async () => (await answerOf(server, 'slow')) === 4);
    expect(await answerOf(server, 'slow', '1764400000000000001')).toBe(3);
    writeVersion('polled', '1764400000000000003', 5);
    await eventually('a third version', async () => (await answerOf(server, 'slow')) === 5);
    const { json } = await http(`${server.rest}/v2/models/slow`);
    expect(json['versions']).toEqual(['1764400000000000002', '1764400000000000003']);

    // As Kubernetes does it: what a link leads to is swapped.
    bench.file('mounts/new/model.onnx', slow(7).toModel());
    rmSync(join(repository, 'slow/1764400000000000003'), { recursive: true });
    symlinkSync(bench.path('mounts/new'), join(repository, 'slow/1764400000000000003'));
    await eventually('the one that is linked', async () => (await answerOf(server, 'slow')) === 7);

    writeFileSync(join(repository, 'slow/1764400000000000003/model.onnx'), 'broken');
    await eventually('the reason', () => /not loaded: .*not an ONNX model/.test(server.log));
    expect(await answerOf(server, 'slow')).toBe(7);

    renameSync(join(repository, 'slow'), bench.path('put-away'));
    await eventually('its end', async () => (await inferBinary(server, 'slow', [slowInput(0)])).status === 404);
    const refused = await post(server, 'models/slow/load');
    expect([refused.status, refused.json.error]).toEqual([400, expect.stringContaining('if polling is enabled')]);
    await server.stop();
  });
});

describe('replacing a model that is called all the time', () => {
  it('fails no call, and none is answered by anything but one of the two', async () => {
    const replacing = new Replacing(bench, 'replaced');
    const server = await replacing.serve();
    const tally = await replacing.replace(server, REPLACEMENTS);
    console.log(`${REPLACEMENTS} replacements: ${tallyText(tally)}`);
    expect(tally.failures).toEqual([]);
    // Whoever answered was one of them; on a machine that is fast enough for its deadlines, the last did.
    const places = Array.from({ length: REPLACEMENTS + 1 }, (_, at) => placeOf(at + 1));
    expect(places).toEqual(expect.arrayContaining([...tally.byPlace.keys()]));
    expect(await answerOf(server, 'slow')).toBe(placeOf(REPLACEMENTS + 1));
    await server.stop();
  });
});
