import { randomBytes } from 'node:crypto';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { SourceOptions } from '../../../src/server/sources/fetched-models.js';
import { findModels, stampOf } from '../../../src/server/models/model-repository.js';
import { BucketServer } from './bucket-server.js';
import { Fetching } from './fetching.js';

/* A model repository in a bucket. The same against a real S3 server: `npm run test:sources`. */

let server: BucketServer;
let fetching: Fetching;
beforeEach(async () => {
  server = await BucketServer.start();
  fetching = new Fetching();
});
afterEach(async () => {
  await fetching.close();
  await server.web.close();
});

const options = (more: Partial<SourceOptions> = {}): Partial<SourceOptions> => ({
  bucket: { endpoint: server.endpoint, addressing: 'auto' },
  ...more,
});

function put(...keys: readonly string[]): void {
  for (const key of keys) server.objects.set(key, randomBytes(2000));
}

/** Keys of objects that were fetched. */
const fetched = (): string[] =>
  server.web
    .take()
    .filter(({ url }) => !url.includes('list-type'))
    .map(({ url }) => decodeURIComponent(url.slice('/models/'.length)))
    .sort();

describe('a repository in a bucket', () => {
  it('is fetched over several pages of its listing, old versions left out, and is a repository then', async () => {
    put('repo/a/1/model.onnx', 'repo/a/2/model.onnx', 'repo/a/2/w ü+.bin', 'repo/b/model.onnx', 'repo/c.onnx');
    put('repository/other.onnx', 'repo-2/x.onnx');
    server.objects.set('repo/b/model.yaml', Buffer.from('slo_ms: 250\n'));
    const models = await fetching.open('s3://models/repo', options());
    expect(fetched()).toEqual([
      'repo/a/2/model.onnx',
      'repo/a/2/w ü+.bin',
      'repo/b/model.onnx',
      'repo/b/model.yaml',
      'repo/c.onnx',
    ]);
    const found = await findModels(models.path);
    expect(found.map(({ name, version, settings }) => [name, version, settings.defaultSloMs])).toEqual([
      ['a', '2', null],
      ['b', '1', 250],
      ['c', '1', null],
    ]);
    expect(readFileSync(join(models.path, 'a/2/w ü+.bin'))).toEqual(
      Buffer.from(server.objects.get('repo/a/2/w ü+.bin')!),
    );
  });

  it('may be one model, called as its folder is, or one object', async () => {
    put('repo/detector/1/model.onnx');
    const folder = await fetching.open('s3://models/repo/detector/', options());
    expect((await findModels(folder.path))[0]).toMatchObject({ name: 'detector', version: '1' });
    put('repo/bare.onnx');
    const file = await fetching.open('s3://models/repo/bare.onnx', options());
    expect((await findModels(file.path))[0]).toMatchObject({ name: 'bare', version: '1' });
  });

  it('fetches what is new, and nothing else; what stayed is not taken for changed, and keeps its profile', async () => {
    put('repo/a/1/model.onnx', 'repo/b/1/model.onnx');
    const models = await fetching.open('s3://models/repo', options());
    const [a, b] = await findModels(models.path);
    const stamps = [await stampOf(a!), await stampOf(b!)];
    writeFileSync(a!.profilePath, 'of a');
    writeFileSync(b!.profilePath, 'of b');
    fetched();
    put('repo/b/1/model.onnx');
    await models.refresh([a!.modelPath, b!.modelPath]);
    expect(fetched()).toEqual(['repo/b/1/model.onnx']);
    const [sameA, newB] = await findModels(models.path);
    expect(sameA!.modelPath).not.toBe(a!.modelPath);
    expect(await stampOf(sameA!)).toBe(stamps[0]);
    expect(await stampOf(newB!)).not.toBe(stamps[1]);
    expect([existsSync(sameA!.profilePath), existsSync(newB!.profilePath)]).toEqual([true, false]);
    // A look at what has not changed is a listing and nothing else.
    await models.refresh([]);
    expect(server.web.take().every(({ url }) => url.includes('list-type'))).toBe(true);
  });

  it('leaves out, with a word, what would lead out of its folder', async () => {
    put('repo/a/model.onnx', 'repo/../../up.onnx', 'repo/a//b', 'repo/.hidden');
    const models = await fetching.open('s3://models/repo', options());
    expect(fetched()).toEqual(['repo/a/model.onnx']);
    expect((await findModels(models.path)).map(({ name }) => name)).toEqual(['a']);
    expect(fetching.notices).toEqual([
      's3://models/repo/../../up.onnx is left out: its name would lead out of its folder',
      's3://models/repo/a//b is left out: its name would lead out of its folder',
    ]);
  });

  it('does not have this machine’s files read: settings name files of their own folder', async () => {
    put('repo/a/model.onnx', 'repo/b/1/model.onnx', 'repo/c/1/model.onnx', 'repo/d/weights.onnx');
    server.objects.set('repo/a/model.yaml', Buffer.from('labels: { y: /etc/passwd }\n'));
    server.objects.set('repo/b/model.yaml', Buffer.from('sample: [ok.json, ../../x.json]\n'));
    server.objects.set(
      'repo/c/config.pbtxt',
      Buffer.from(`output { name: "y" label_filename: "../../.." '/etc/passwd' }`),
    );
    server.objects.set('repo/d/model.yaml', Buffer.from('model: weights.onnx\n'));
    server.objects.set(
      'repo/d/config.pbtxt',
      Buffer.from('parameters { key: "cache" value { string_value: "/opt/x" } } # "../y"\n'),
    );
    const models = await fetching.open('s3://models/repo', options());
    expect((await findModels(models.path)).map(({ name }) => name)).toEqual(['d']);
    expect(fetching.notices.toSorted()).toEqual([
      'models/repo/a is left out: its settings name /etc/passwd, which is not in its folder',
      'models/repo/b is left out: its settings name ../../x.json, which is not in its folder',
      'models/repo/c is left out: its settings name ../../../etc/passwd, which is not in its folder',
    ]);
    expect(await fetching.failure('s3://models/repo/a', options())).toMatch(/its settings name \/etc\/passwd/);
  });

  it('may have the bucket before the host’s name', async () => {
    put('repo/m.onnx');
    // A proxy is asked for the whole URL, and the name need not exist.
    server.web.routes.unshift((request) => {
      request.url = request.url!.replace('http://models.s3.example:9000/', '/models/');
      return false;
    });
    const env = { HTTP_PROXY: server.endpoint };
    const bucket = { endpoint: 'http://s3.example:9000', addressing: 'virtual' } as const;
    await fetching.open('s3://models/repo', { env, bucket });
    const asked = server.web.take().map(({ url }) => url.split('?')[0]);
    expect(asked).toEqual(['http://models.s3.example:9000/', 'http://models.s3.example:9000/repo/m.onnx']);
  });

  it('is asked for with a signature for each piece, also of one that goes on', async () => {
    server.needsSignature = true;
    put('repo/m.onnx');
    server.web.faults.push({ kind: 'cut', afterBytes: 1000 });
    const env = {
      HOME: fetching.folder,
      AWS_ACCESS_KEY_ID: 'key',
      AWS_SECRET_ACCESS_KEY: 'secret',
      AWS_REGION: 'eu-west-1',
    };
    await fetching.open('s3://models/repo/m.onnx', options({ env }));
    const asked = server.web.take();
    expect(asked.length).toBeGreaterThanOrEqual(2);
    for (const { headers } of asked)
      expect(headers.authorization).toMatch(/Credential=key\/\d{8}\/eu-west-1\/s3\/aws4_request/);
  });

  it.each<[string, string, RegExp]>([
    [
      'without credentials',
      's3://models/repo',
      /not allowed \(403\): asked without credentials: set AWS_ACCESS_KEY_ID/,
    ],
    ['an empty prefix', 's3://models/rep', /nothing is there; check the bucket and the prefix/],
    ['another bucket', 's3://nowhere/repo', /there is no such bucket: check its name and the endpoint/],
    ['no object', 's3://models/repo/n.onnx', /there is no such object: check its key/],
  ])('is refused %s', async (which, place, message) => {
    put('repo/m.onnx');
    server.needsSignature = which === 'without credentials';
    expect(await fetching.failure(place, options())).toMatch(message);
  });

  it('is refused as a whole where it is more than is allowed, before it fills the disk', async () => {
    put('repo/a.onnx', 'repo/b.onnx', 'repo/c.onnx');
    expect(await fetching.failure('s3://models/repo', options({ maxBytes: 5000 }))).toMatch(
      /^s3:\/\/models\/repo: more than 0\.005 MiB in all/,
    );
    expect(fetched()).toEqual([]);
  });

  it('that does not speak S3 is told from one that does', async () => {
    server.web.routes.unshift((_, response) => {
      response.writeHead(200).end('<html>hello</html>');
      return true;
    });
    expect(await fetching.failure('s3://models/repo', options())).toMatch(
      /does not answer as S3 does; check --s3-endpoint/,
    );
  });
});
