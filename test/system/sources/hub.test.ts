import { createHash, randomBytes } from 'node:crypto';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { SourceOptions } from '../../../src/server/sources/fetched-models.js';
import { Fetching } from './fetching.js';
import { sendFile, sha256Of, WebServer } from './web-server.js';

/*
 * Hugging Face as its own client meets it: `resolve` redirects large files to another host, with the commit, the size and the SHA-256 in
 * the head of the redirect; small ones it sends itself, with the name of Git's blob as their tag; what is wrong is in `x-error-code`.
 */

const MODEL = randomBytes(200_000);
const COMMIT = 'c0ffee'.padEnd(40, '0');
const NEXT = 'decade'.padEnd(40, '0');

let hub: WebServer;
let store: WebServer;
let fetching: Fetching;
/** By commit, by path. */
let commits: Map<string, Map<string, Uint8Array>>;
let main: string;
let token: string | null;

beforeEach(async () => {
  [hub, store, fetching] = [await WebServer.start(), await WebServer.start(), new Fetching()];
  commits = new Map([[COMMIT, new Map([['onnx/model.onnx', MODEL]])]]);
  main = COMMIT;
  token = null;
  hub.routes.push((request, response) => {
    const refuse = (status: number, code: string): true => {
      response.writeHead(status, { 'x-error-code': code }).end();
      return true;
    };
    const match = /^\/org\/name\/resolve\/([^/]+)\/(.+)$/.exec(request.url!);
    if (token !== null && request.headers.authorization !== `Bearer ${token}`) return refuse(401, 'GatedRepo');
    if (match === null) return refuse(401, 'RepoNotFound');
    const commit = match[1] === 'main' ? main : decodeURIComponent(match[1]!);
    const files = commits.get(commit);
    if (files === undefined) return refuse(404, 'RevisionNotFound');
    const bytes = files.get(match[2]!);
    if (bytes === undefined) return refuse(404, 'EntryNotFound');
    const head = { 'x-repo-commit': commit };
    if (bytes.length < 1000) {
      sendFile(request, response, { bytes, etag: `"${gitBlob(bytes)}"`, headers: head });
      return true;
    }
    const path = `/blobs/${sha256Of(bytes)}`;
    const linked = { 'x-linked-etag': `"${sha256Of(bytes)}"`, 'x-linked-size': bytes.length };
    store.host(path, bytes);
    response.writeHead(302, { ...head, ...linked, location: `${store.origin}${path}?signature=secret` }).end();
    return true;
  });
});
afterEach(async () => {
  await fetching.close();
  await Promise.all([hub.close(), store.close()]);
});

function gitBlob(bytes: Uint8Array): string {
  return createHash('sha1').update(`blob ${bytes.length}\0`).update(bytes).digest('hex');
}

const options = (env: Readonly<Record<string, string>> = {}): Partial<SourceOptions> => ({
  env: { HF_ENDPOINT: hub.origin, ...env },
});

describe('a model at Hugging Face', () => {
  it('is fetched of the commit that its revision is, from where that leads to', async () => {
    const models = await fetching.open('hf://org/name/onnx/model.onnx', options());
    expect(models.path.endsWith('/model.onnx')).toBe(true);
    expect(readFileSync(models.path)).toEqual(MODEL);
    expect(hub.take().map(({ method, url }) => `${method} ${url}`)).toEqual([
      'HEAD /org/name/resolve/main/onnx/model.onnx',
      `GET /org/name/resolve/${COMMIT}/onnx/model.onnx`,
      `HEAD /org/name/resolve/${COMMIT}/onnx/tokenizer.json`,
      `HEAD /org/name/resolve/${COMMIT}/tokenizer.json`,
    ]);
  });

  it('comes with its tokenizer, and what is said of its text, the nearest of each name, of the same commit', async () => {
    const files = commits.get(COMMIT)!;
    const put = (path: string, text: string): unknown => files.set(path, Buffer.from(text));
    put('tokenizer.json', `{"model": ${'['.repeat(600)}${']'.repeat(600)}}`);
    put('config.json', '{"of": "the repository"}');
    put('onnx/config.json', '{"of": "the model"}');
    put('modules.json', '[]');
    put('1_Pooling/config.json', '{"pooling_mode": "cls"}');
    put('config_sentence_transformers.json', '{}');
    put('README.md', 'not fetched');
    const models = await fetching.open('hf://org/name/onnx/model.onnx', options());
    const there = (name: string): string => readFileSync(join(models.path, '..', name), 'utf8');
    expect(there('tokenizer.json')).toBe(Buffer.from(files.get('tokenizer.json')!).toString());
    expect([there('config.json'), there('1_Pooling/config.json')]).toEqual([
      '{"of": "the model"}',
      '{"pooling_mode": "cls"}',
    ]);
    expect(readdirSync(join(models.path, '..')).sort()).toEqual([
      ...[
        '1_Pooling',
        'config.json',
        'config_sentence_transformers.json',
        'model.onnx',
        'modules.json',
        'tokenizer.json',
      ],
    ]);
    expect(hub.take().filter(({ method, url }) => method === 'GET' && !url.includes(COMMIT))).toEqual([]);
    // And anew with another commit.
    commits.set(NEXT, new Map([...files, ['tokenizer.json', Buffer.from('{}')]]));
    main = NEXT;
    await models.refresh([]);
    expect([there('tokenizer.json'), there('modules.json')]).toEqual(['{}', '[]']);
    // What is not new is asked for on that condition, as small files are known by no sum.
    const got = hub.take().filter(({ method }) => method === 'GET');
    expect(got.filter(({ headers }) => headers['if-none-match'] === undefined).map(({ url }) => url)).toEqual([]);
  });

  it('is refused with a tokenizer larger than any, before that is fetched', async () => {
    hub.routes.unshift((request, response) => {
      if (!request.url!.endsWith('/tokenizer.json')) return false;
      response.writeHead(200, { 'x-repo-commit': COMMIT, 'content-length': 257 * 1024 ** 2 }).end();
      return true;
    });
    expect(await fetching.failure('hf://org/name/onnx/model.onnx', options())).toMatch(
      'hf://org/name/onnx/tokenizer.json is larger than 256 MiB',
    );
  });

  it('is not looked at further while the revision is the same commit, and fetched when it is another', async () => {
    const models = await fetching.open('hf://org/name@main/onnx/model.onnx', options());
    const old = models.path;
    hub.take();
    await models.refresh([]);
    // Of the model alone, whose commit it is.
    expect([models.path, hub.take().length]).toEqual([old, 1]);
    const changed = randomBytes(1000);
    commits.set(NEXT, new Map([['onnx/model.onnx', changed]]));
    main = NEXT;
    await models.refresh([old]);
    expect(readFileSync(models.path)).toEqual(changed);
  });

  it('comes with the files that its weights are in, of the same commit', async () => {
    const entry = Buffer.concat([
      Buffer.from([0x0a, 8]),
      Buffer.from('location'),
      Buffer.from([0x12, 10]),
      Buffer.from('model_data'),
    ]);
    const tensor = Buffer.concat([Buffer.from([0x6a, entry.length]), entry]);
    const graph = Buffer.concat([Buffer.from([0x2a, tensor.length]), tensor]);
    const files = commits.get(COMMIT)!;
    files.set('onnx/model.onnx', Buffer.concat([Buffer.from([0x3a, graph.length]), graph]));
    files.set('onnx/model_data', MODEL);
    const models = await fetching.open('hf://org/name/onnx/model.onnx', options());
    expect(readFileSync(join(models.path, '../model_data'))).toEqual(MODEL);
    const got = hub.take().filter(({ method }) => method === 'GET');
    expect(got.map(({ url }) => url).at(-1)).toBe(`/org/name/resolve/${COMMIT}/onnx/model_data`);
  });

  it('is what the hub says it is: by its SHA-256, and a small one by its Git blob', async () => {
    store.routes.push((_, response) => {
      response.writeHead(200).end(randomBytes(MODEL.length));
      return true;
    });
    expect(await fetching.failure('hf://org/name/onnx/model.onnx', options())).toMatch(
      new RegExp(`is not what it should be: its SHA-256 is \\w+, not ${sha256Of(MODEL)}`),
    );
    commits.get(COMMIT)!.set('small.onnx', Buffer.from('small'));
    const models = await fetching.open('hf://org/name/small.onnx', options());
    expect(readFileSync(models.path, 'utf8')).toBe('small');
    hub.routes.unshift((request, response) => {
      const head = { etag: `"${gitBlob(Buffer.from('other'))}"`, 'x-repo-commit': NEXT, 'content-length': 5 };
      response.writeHead(200, head).end(request.method === 'HEAD' ? '' : 'snail');
      return true;
    });
    expect(await fetching.failure('hf://org/name@next/small.onnx', options())).toMatch(/it is not the Git blob \w{40}/);
    expect(await fetching.failure(`hf://org/name/onnx/model.onnx#sha256=${'0'.repeat(64)}`, options())).toMatch(
      /its SHA-256 is|not what it should be/,
    );
  });

  it('is asked for with the token, which nobody else is shown', async () => {
    token = 'hf_secret';
    await fetching.open('hf://org/name/onnx/model.onnx', options({ HF_TOKEN: 'hf_secret' }));
    expect(store.take().map(({ headers }) => headers.authorization)).toEqual([undefined]);
  });

  it.each([
    ['hf://org/name/nowhere.onnx', /the repository has no such file at that revision/],
    ['hf://org/name@v9/onnx/model.onnx', /there is no such revision: check what follows @/],
    ['hf://org/private/m.onnx', /no such repository, or it is a private one: check the name, or set HF_TOKEN/],
  ])('%s is refused with what to do', async (place, message) => {
    expect(await fetching.failure(place, options())).toMatch(message);
  });

  it('that is gated says where access is asked for, and whose token lacks it', async () => {
    token = 'hf_right';
    const place = 'hf://org/name/onnx/model.onnx';
    expect(await fetching.failure(place, options())).toMatch(/to be asked for at its page first; then set HF_TOKEN/);
    expect(await fetching.failure(place, options({ HF_TOKEN: 'hf_wrong' }))).toMatch(
      /the token in HF_TOKEN may not read it/,
    );
  });
});
