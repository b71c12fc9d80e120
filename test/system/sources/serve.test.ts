import { readFileSync, rmSync } from 'node:fs';
import { createServer } from 'node:https';
import { connect, type AddressInfo } from 'node:net';
import { createServer as createProxy } from 'node:http';
import { join } from 'node:path';
import { afterAll, afterEach, beforeEach, describe, expect, it } from 'vitest';
import { identity, slow } from '../../../research/load-models/tiny-graphs.js';
import { binaryOutputs, floatsOf, floatTensor, http, inferBinary, slowInput, slowPlace } from '../server/clients.js';
import { eventually, TestBench, type RunningServer } from '../server/harness.js';
import { BucketServer } from './bucket-server.js';
import { externalModel } from './external-model.js';
import { WebServer } from './web-server.js';

/* The command line with models from elsewhere. A model of n steps gives back a marker n places on: so who answered is seen. */

const bench = new TestBench();
afterAll(() => bench.close());

let web: WebServer;
let bucket: BucketServer;
beforeEach(async () => {
  [web, bucket] = [await WebServer.start(), await BucketServer.start()];
});
afterEach(async () => {
  await Promise.all([web.close(), bucket.web.close()]);
});

const cache = (name: string): Record<string, string> => ({ XDG_CACHE_HOME: bench.path(name), HOME: bench.folder });

async function answerOf(server: RunningServer, model: string): Promise<number> {
  const reply = await inferBinary(server, model, [slowInput(0)], { sloMs: 60_000 });
  expect(reply.status, reply.json.error).toBe(200);
  return slowPlace(reply);
}

describe('serve', () => {
  it('serves a file from the web, and later without it: what was fetched and profiled is in the cache', async () => {
    const url = web.host('/models/steps.onnx', slow(3).toModel());
    const first = await bench.serve(url, ['--no-refine'], cache('web'));
    expect(first.banner).toContain('steps version 1, READY');
    expect(await answerOf(first, 'steps')).toBe(3);
    await first.stop();
    await web.close();
    const second = await bench.serve(url, ['--offline', '--no-refine'], cache('web'));
    expect(await answerOf(second, 'steps')).toBe(3);
    const profiled = (server: RunningServer): string => /profile of .*/.exec(server.banner)![0];
    expect(profiled(second)).toBe(profiled(first));
    await second.stop();
    web = await WebServer.start();
  });

  it('serves a model whose weights are in a file of their own', async () => {
    const { model, weights } = externalModel('data/m.onnx_data');
    bucket.objects.set('repo/sum/m.onnx', model);
    bucket.objects.set('repo/sum/data/m.onnx_data', weights);
    const flags = ['--s3-endpoint', bucket.endpoint, '--no-refine'];
    const server = await bench.serve('s3://models/repo/sum/m.onnx', flags, cache('external'));
    const input = floatTensor('x', [1, 4], Float32Array.of(1, 2, 3, 4));
    const reply = await inferBinary(server, 'm', [input], { sloMs: 60_000 });
    expect([...floatsOf(binaryOutputs(reply)[0]!)]).toEqual([11, 22, 33, 44]);
    await server.stop();
  });

  it('polls a bucket: what is new there takes the old one’s place, and the others are left alone', async () => {
    bucket.objects.set('repo/a/1/model.onnx', slow(3).toModel());
    bucket.objects.set('repo/b/1/model.onnx', slow(5).toModel());
    const flags = ['--s3-endpoint', bucket.endpoint, '--model-control', 'poll', '--poll-seconds', '0.2', '--no-refine'];
    const server = await bench.serve('s3://models/repo', flags, cache('bucket'));
    expect([await answerOf(server, 'a'), await answerOf(server, 'b')]).toEqual([3, 5]);
    bucket.objects.set('repo/a/2/model.onnx', slow(4).toModel());
    await eventually('version 2', async () => (await answerOf(server, 'a')) === 4);
    bucket.objects.delete('repo/b/1/model.onnx');
    await eventually('the end of b', async () => (await inferBinary(server, 'b', [slowInput(0)])).status === 404);
    const loads = server.log.split('\n').filter((line) => line.includes('loaded'));
    expect(loads.filter((line) => line.includes('b/1'))).toEqual([]);
    // A bucket that cannot be looked at for a while ends nothing.
    bucket.needsSignature = true;
    await eventually('a word about it', () =>
      /the repository cannot be read: s3:\/\/models\/repo: not allowed \(403\)/.test(server.log),
    );
    expect(await answerOf(server, 'a')).toBe(4);
    await server.stop();
  });

  it('fetches when a client asks for a model', async () => {
    bucket.objects.set('repo/a/1/model.onnx', slow(3).toModel());
    const flags = ['--s3-endpoint', bucket.endpoint, '--model-control', 'explicit', '--no-refine'];
    const server = await bench.serve('s3://models/repo', flags, cache('explicit'));
    bucket.objects.set('repo/c/1/model.onnx', slow(6).toModel());
    const load = (model: string): ReturnType<typeof http> =>
      http(`${server.rest}/v2/repository/models/${model}/load`, { method: 'POST', body: {} });
    expect((await load('c')).status).toBe(200);
    expect(await answerOf(server, 'c')).toBe(6);
    bucket.needsSignature = true;
    const refused = await load('a');
    expect([refused.status, refused.json.error]).toEqual([
      400,
      expect.stringMatching(/failed to load 'a': s3:.*not allowed/),
    ]);
    await server.stop();
  });

  it.each<[string, () => string, readonly string[], RegExp]>([
    [
      'no such file',
      () => `${web.origin}/no.onnx`,
      [],
      /^sponge: http:.*\/no\.onnx: there is no such file \(404\): check its name$/,
    ],
    ['a scheme that is not known', () => 'gs://b/m.onnx', [], /^sponge: gs:\/\/ is not known; use https:/],
    [
      'nothing in the cache',
      () => `${web.origin}/m.onnx`,
      ['--offline'],
      /^sponge: --offline: http:.*m\.onnx is not in the cache/,
    ],
    [
      'no models in a bucket',
      () => 's3://models/text',
      ['--s3-endpoint', '@'],
      /^sponge: s3:\/\/models\/text holds no models: expected/,
    ],
  ])('says in one line: %s', async (_, place, flags, message) => {
    bucket.objects.set('text/readme.txt', Buffer.from('x'));
    const stated = flags.map((flag) => (flag === '@' ? bucket.endpoint : flag));
    const { code, stdout, stderr } = await bench.run(['serve', place(), '--port', '0', ...stated], cache('none'));
    expect([code, stdout]).toEqual([1, '']);
    expect(stderr.trim()).toMatch(message);
  });

  it('is stopped while it fetches, and goes on from there', async () => {
    const bytes = identity('FP32').toModel();
    const url = web.host('/m.onnx', bytes);
    web.faults.push({ kind: 'silence', afterBytes: bytes.length - 20 });
    const server = bench.start(url, ['--no-refine'], cache('stopped'));
    await eventually('the fetch', () => web.asked.length > 0);
    const exit = await server.stop();
    expect([exit.code, server.log]).toEqual([1, expect.stringContaining('SIGTERM: stopped before it was ready')]);
    await (await bench.serve(url, ['--no-refine'], cache('stopped'))).stop();
  });
});

describe('profile', () => {
  it('measures a model from elsewhere, and serving finds what it measured', async () => {
    bucket.objects.set('repo/a/1/model.onnx', slow(3).toModel());
    const place = ['s3://models/repo', '--s3-endpoint', bucket.endpoint];
    const output = await bench.run(
      ['profile', ...place, '--quick', '--budget', '1', '--group', bench.group],
      cache('profiled'),
    );
    expect(output.code, output.stderr).toBe(0);
    const server = await bench.serve(place[0]!, [...place.slice(1), '--no-refine'], cache('profiled'));
    expect(server.banner).toMatch(/quick profile of/);
    await server.stop();
  });
});

describe('TLS', () => {
  const fixture = (name: string): string => join(import.meta.dirname, '../../fixtures/tls', `${name}.pem`);

  it('is checked with the CAs of NODE_EXTRA_CA_CERTS, through a proxy too, and not left for http', async () => {
    const model = slow(3).toModel();
    const secure = createServer(
      { cert: readFileSync(fixture('server.cert')), key: readFileSync(fixture('server.key')) },
      (request, response) => {
        if (request.url === '/away.onnx') response.writeHead(302, { location: `${web.origin}/m.onnx` }).end();
        else response.writeHead(200, { 'content-length': model.length }).end(model);
      },
    );
    const tunnels: string[] = [];
    const proxy = createProxy().on('connect', (request, socket) => {
      tunnels.push(request.url!);
      const port = Number(request.url!.split(':')[1]);
      const onward = connect(port, '127.0.0.1', () => {
        socket.write('HTTP/1.1 200 OK\r\n\r\n');
        onward.pipe(socket).pipe(onward);
      });
      for (const each of [onward, socket]) each.on('error', () => undefined);
    });
    for (const each of [secure, proxy]) await new Promise<void>((resolve) => each.listen(0, '127.0.0.1', resolve));
    const portOf = (each: typeof secure | typeof proxy): number => (each.address() as AddressInfo).port;
    const origin = `https://localhost:${portOf(secure)}`;
    const trusting = { ...cache('tls'), NODE_EXTRA_CA_CERTS: fixture('ca.cert') };
    const run = (path: string, env: Record<string, string>): ReturnType<typeof bench.run> =>
      bench.run(['serve', `${origin}${path}`, '--port', '0'], env);

    expect((await run('/m.onnx', cache('tls'))).stderr).toMatch(
      /its certificate is not trusted \(\w+\): name its CA's file in NODE_EXTRA_CA_CERTS/,
    );
    expect((await run('/away.onnx', trusting)).stderr).toMatch(
      /is redirected to http:.*: not followed from https to http$/m,
    );
    const direct = await bench.serve(`${origin}/m.onnx`, ['--no-refine'], trusting);
    expect(await answerOf(direct, 'm')).toBe(3);
    await direct.stop();
    rmSync(bench.path('tls'), { recursive: true });
    const env = { ...trusting, HTTPS_PROXY: `http://127.0.0.1:${portOf(proxy)}` };
    const through = await bench.serve(`${origin}/m.onnx`, ['--no-refine'], env);
    expect(await answerOf(through, 'm')).toBe(3);
    expect(tunnels).toEqual([`localhost:${portOf(secure)}`]);
    await through.stop();
    for (const each of [secure, proxy]) {
      each.closeAllConnections();
      each.close();
    }
  });
});
