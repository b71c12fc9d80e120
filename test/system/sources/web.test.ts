import { randomBytes } from 'node:crypto';
import { execFileSync } from 'node:child_process';
import { mkdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { Fetching } from './fetching.js';
import { etagOf, sha256Of, WebServer } from './web-server.js';

/* One file from a server that does what it should, and from servers that do not. */

const BYTES = randomBytes(300_000);
const OTHER = randomBytes(250_000);

let server: WebServer;
let fetching: Fetching;
beforeEach(async () => {
  server = await WebServer.start();
  fetching = new Fetching();
});
afterEach(async () => {
  await fetching.close();
  await server.close();
});

const rangesOf = (): (string | undefined)[] => server.take().map(({ headers }) => headers.range);

describe('a file from the web', () => {
  it('is there under its name, and not fetched again while it stays as it is', async () => {
    const url = server.host('/a/detector.onnx', BYTES);
    const first = await fetching.open(url);
    expect(first.path.endsWith('/detector.onnx')).toBe(true);
    expect(readFileSync(first.path)).toEqual(BYTES);
    expect(fetching.progress.at(-1)).toMatch(/^fetching http:.*\/a\/detector\.onnx: 0\.3 of 0\.3 MB \(100 %\)/);
    expect(fetching.names('blobs')).toEqual([sha256Of(BYTES)]);
    server.take();
    const second = await fetching.open(url);
    expect(second.path).toBe(first.path);
    expect(server.take().map(({ headers }) => headers['if-none-match'])).toEqual([etagOf(BYTES)]);
  });

  it('that has changed is in another place: who has the old one keeps it', async () => {
    const url = server.host('/m.onnx', BYTES);
    const first = await fetching.open(url);
    const old = first.path;
    server.host('/m.onnx', OTHER);
    await first.refresh([old]);
    expect(readFileSync(first.path)).toEqual(OTHER);
    expect(readFileSync(old)).toEqual(BYTES);
  });

  it('brings the files that its weights are in', async () => {
    // ModelProto.graph.initializer.external_data: location = "w/model.bin".
    const entry = Buffer.concat([
      Buffer.from([0x0a, 8]),
      Buffer.from('location'),
      Buffer.from([0x12, 11]),
      Buffer.from('w/model.bin'),
    ]);
    const tensor = Buffer.concat([Buffer.from([0x6a, entry.length]), entry]);
    const graph = Buffer.concat([Buffer.from([0x2a, tensor.length]), tensor]);
    const url = server.host('/x/m.onnx', Buffer.concat([Buffer.from([0x3a, graph.length]), graph]));
    server.host('/x/w/model.bin', BYTES);
    const models = await fetching.open(url);
    expect(readFileSync(join(models.path, '../w/model.bin'))).toEqual(BYTES);
    expect(statSync(join(models.path, '../w/model.bin')).nlink).toBe(2);
    server.files.delete('/x/w/model.bin');
    expect(await fetching.failure(`${url}?other`)).toMatch(/\/x\/w\/model\.bin: there is no such file \(404\)/);
  });
});

describe('a fetch that is disturbed', () => {
  it('goes on where it was cut', async () => {
    server.faults.push({ kind: 'cut', afterBytes: 100_000 }, { kind: 'cut', afterBytes: 70_000 });
    const models = await fetching.open(server.host('/m.onnx', BYTES));
    expect(readFileSync(models.path)).toEqual(BYTES);
    const asked = server.take();
    const [first, second, third] = asked.map(({ headers }) => Number(/\d+/.exec(headers.range ?? '0')![0]));
    expect([first, asked.length]).toEqual([0, 3]);
    // What the system had not passed on yet when the connection was cut is fetched again.
    expect(second).toBeGreaterThan(0);
    expect(third).toBeGreaterThan(second!);
    expect(asked[1]!.headers['if-range']).toBe(etagOf(BYTES));
    expect(fetching.notices[0]).toMatch(/m\.onnx: .*cut.*; goes on at \d/);
  });

  it('begins anew where the file has become another meanwhile', async () => {
    const url = server.host('/m.onnx', BYTES);
    server.faults.push({ kind: 'cut', afterBytes: 100_000 });
    server.routes.push(() => {
      if (server.asked.length === 2) server.host('/m.onnx', OTHER);
      return false;
    });
    const models = await fetching.open(url);
    expect(readFileSync(models.path)).toEqual(OTHER);
  });

  it.each([
    ['that the server says nothing of its state', { etag: null }],
    ['that the server does not know parts', { knowsRanges: false }],
  ])('begins anew, given %s', async (_, hosted) => {
    server.faults.push({ kind: 'cut', afterBytes: 100_000 });
    const models = await fetching.open(server.host('/m.onnx', BYTES, hosted));
    expect(readFileSync(models.path)).toEqual(BYTES);
  });

  it('goes on by a date where there is no tag', async () => {
    const headers = { 'last-modified': 'Thu, 01 Jan 2026 00:00:00 GMT' };
    server.faults.push({ kind: 'cut', afterBytes: 100_000 });
    const models = await fetching.open(server.host('/m.onnx', BYTES, { etag: null, headers }));
    expect(readFileSync(models.path)).toEqual(BYTES);
    expect(rangesOf()[1]).toMatch(/^bytes=[1-9]/);
  });

  it('begins anew where another part comes than was asked for', async () => {
    server.faults.push({ kind: 'cut', afterBytes: 100_000 }, { kind: 'other-part' });
    const models = await fetching.open(server.host('/m.onnx', BYTES));
    expect(readFileSync(models.path)).toEqual(BYTES);
    expect(rangesOf()).toEqual([undefined, expect.stringMatching(/^bytes=/), undefined]);
  });

  it('is tried again where the server is at fault, or silent', async () => {
    server.faults.push(
      { kind: 'status', status: 503, headers: { 'retry-after': '0' } },
      { kind: 'status', status: 429 },
    );
    server.faults.push({ kind: 'silence', afterBytes: 1000 });
    const models = await fetching.open(server.host('/m.onnx', BYTES), { silenceMs: 1000 });
    expect(readFileSync(models.path)).toEqual(BYTES);
    expect(server.take().length).toBeGreaterThanOrEqual(4);
  });

  it('keeps what it has when it is given up, and the next one goes on from there', async () => {
    const url = server.host('/m.onnx', BYTES);
    const down = (): void =>
      void server.faults.push(...Array.from({ length: 5 }, () => ({ kind: 'status', status: 502 }) as const));
    server.faults.push({ kind: 'cut', afterBytes: 100_000 });
    down();
    expect(await fetching.failure(url)).toMatch(
      /m\.onnx cannot be fetched: it answers 502; 0\.\d MB are kept, and the same command goes on from there$/,
    );
    expect(fetching.names('partial')).toEqual([expect.stringMatching(/\.left$/)]);
    server.take();
    server.faults.length = 0;
    const models = await fetching.open(url);
    expect(readFileSync(models.path)).toEqual(BYTES);
    expect(rangesOf()).toEqual([expect.stringMatching(/^bytes=[1-9]/)]);
    expect(fetching.names('partial')).toEqual([]);
  });

  it('that is interrupted says why, and keeps what it has', async () => {
    const url = server.host('/m.onnx', BYTES);
    server.faults.push({ kind: 'silence', afterBytes: 100_000 });
    const interruption = new AbortController();
    const failing = fetching.failure(url, {
      interruption: interruption.signal,
      onProgress: () => interruption.abort(new Error('SIGINT: stopped before it was ready')),
    });
    expect(await failing).toBe('SIGINT: stopped before it was ready');
    expect(fetching.names('partial')).toEqual([expect.stringMatching(/\.left$/)]);
  });

  it('is not deceived by a length that is too large', async () => {
    const lie = { kind: 'length', bytes: BYTES.length + 50_000 } as const;
    server.faults.push(...Array.from({ length: 20 }, () => lie));
    expect(await fetching.failure(server.host('/m.onnx', BYTES, { etag: null }))).toMatch(/cannot be fetched: .*cut/);
    expect(fetching.names('blobs')).toEqual([]);
  });
});

describe('a checksum', () => {
  it('that is right spares even asking, once the file is there', async () => {
    const url = `${server.host('/m.onnx', BYTES)}#sha256=${sha256Of(BYTES)}`;
    await fetching.open(url);
    server.take();
    await fetching.open(url);
    expect(server.take()).toEqual([]);
  });

  it('that is wrong leaves nothing behind', async () => {
    const url = `${server.host('/m.onnx', BYTES)}#sha256=${'0'.repeat(64)}`;
    expect(await fetching.failure(url)).toMatch(
      new RegExp(
        `m\\.onnx is not what it should be: its SHA-256 is ${sha256Of(BYTES)}, not 0+\\. Nothing of it was kept`,
      ),
    );
    expect([...fetching.names('blobs'), ...fetching.names('partial'), ...fetching.names('sources')]).toEqual([]);
  });

  it('of bytes that another place has brought spares fetching them', async () => {
    await fetching.open(server.host('/a.onnx', BYTES));
    server.take();
    const models = await fetching.open(`${server.host('/b.onnx', BYTES)}#sha256=${sha256Of(BYTES)}`);
    expect(readFileSync(models.path)).toEqual(BYTES);
    expect(server.take()).toEqual([]);
  });
});

describe('what is refused', () => {
  it.each([
    [401, /m\.onnx: not allowed \(401\): put a user and a password/],
    [403, /m\.onnx: not allowed \(403\)/],
    [404, /m\.onnx: there is no such file \(404\): check its name/],
    [400, /the server answers 400, not the file/],
  ])('%i: in one line with its remedy, at once', async (status, message) => {
    server.faults.push({ kind: 'status', status });
    expect(await fetching.failure(server.host('/m.onnx', BYTES))).toMatch(message);
    expect(server.take()).toHaveLength(1);
  });

  it('more than is allowed, told before, or found out', async () => {
    const url = server.host('/m.onnx', BYTES);
    const message = /more than 0\.1\d* MiB in all; allow more with --max-model-mib/;
    expect(await fetching.failure(url, { maxBytes: 150_000 })).toMatch(message);
    server.routes.push((_, response) => {
      response.writeHead(200);
      response.write(BYTES);
      return true;
    });
    expect(await fetching.failure(`${url}?chunked`, { maxBytes: 150_000 })).toMatch(message);
  });

  it('redirects without end', async () => {
    server.routes.push((_, response) => {
      response.writeHead(302, { location: '/m.onnx' }).end();
      return true;
    });
    expect(await fetching.failure(server.host('/m.onnx', BYTES))).toMatch(/is redirected more than 8 times/);
  });

  it('a host that is not there, after some attempts', async () => {
    const url = server.host('/m.onnx', BYTES);
    await server.close();
    expect(await fetching.failure(url)).toMatch(/m\.onnx cannot be fetched: 127\.0\.0\.1:\d+: it refuses connections$/);
    // Each said once, however often it is tried.
    expect(fetching.notices).toHaveLength(1);
    server = await WebServer.start();
  });

  it.skipIf(process.getuid?.() !== 0)(
    'more than the disk has room for, told before, or found out (needs root, to mount a small one)',
    async () => {
      const small = join(fetching.folder, 'small');
      mkdirSync(small);
      try {
        execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=66m', 'tmpfs', small]);
      } catch {
        console.warn('a small disk cannot be mounted here: not tried');
        return;
      }
      try {
        const url = server.host('/m.onnx', Buffer.alloc(70 * 1024 ** 2));
        expect(await fetching.failure(url, { folder: small })).toMatch(
          /^73 MB are to be fetched, and the disk of .* has 69 MB free: make room/,
        );
        server.routes.push((_, response) => {
          response.writeHead(200);
          response.write(Buffer.alloc(70 * 1024 ** 2));
          response.end();
          return true;
        });
        expect(await fetching.failure(`${server.origin}/n.onnx`, { folder: small })).toMatch(
          /^no room on the disk for .*n\.onnx: make some, or name another folder with --model-cache/,
        );
      } finally {
        execFileSync('umount', [small]);
      }
    },
  );

  it('a cache that cannot be made', async () => {
    const file = join(fetching.folder, 'file');
    writeFileSync(file, '');
    const message = await fetching.failure(server.host('/m.onnx', BYTES), { folder: join(file, 'cache') });
    expect(message).toMatch(/^the cache .*\/file\/cache cannot be made: .*; name another with --model-cache$/);
  });
});

describe('who asks', () => {
  it('shows a password to the host that it is for, and to no other', async () => {
    const other = await WebServer.start();
    other.host('/m.onnx', BYTES);
    server.routes.push((_, response) => {
      response.writeHead(307, { location: `${other.origin}/m.onnx` }).end();
      return true;
    });
    await fetching.open(server.host('/m.onnx', BYTES).replace('http://', 'http://ann:secret@'));
    expect(server.take()[0]!.headers.authorization).toBe(`Basic ${Buffer.from('ann:secret').toString('base64')}`);
    expect(other.take()[0]!.headers.authorization).toBeUndefined();
    await other.close();
    const written = fetching
      .names('sources')
      .map((name) => readFileSync(join(fetching.folder, 'sources', name), 'utf8'));
    expect([...written, ...fetching.progress, ...fetching.notices].join()).not.toContain('secret');
  });

  it('goes through the proxy of the environment: the whole URL in clear, a tunnel for TLS', async () => {
    const proxy = await WebServer.start();
    proxy.routes.push((request, response) => {
      response.writeHead(200).end(request.url === 'http://files.example/m.onnx' ? BYTES : '');
      return true;
    });
    const env = { ALL_PROXY: proxy.origin.replace('//', '//ann:pw@') };
    const models = await fetching.open('http://files.example/m.onnx', { env });
    expect(readFileSync(models.path)).toEqual(BYTES);
    const [asked] = proxy.take();
    expect(asked!.headers['proxy-authorization']).toBe(`Basic ${Buffer.from('ann:pw').toString('base64')}`);
    expect(asked!.headers.host).toBe('files.example');
    // It knows no tunnels.
    const message = await fetching.failure('https://files.example/m.onnx', { env });
    expect(message).toMatch(/files\.example/);
    await proxy.close();
  });
});

describe('several at once', () => {
  it('fetch the same into one cache without harm', async () => {
    const url = server.host('/m.onnx', BYTES);
    const all = await Promise.all(Array.from({ length: 6 }, () => fetching.open(url)));
    expect(new Set(all.map(({ path }) => path)).size).toBe(1);
    expect(readFileSync(all[0]!.path)).toEqual(BYTES);
    expect(fetching.names('blobs')).toEqual([sha256Of(BYTES)]);
    expect(fetching.names('partial')).toEqual([]);
  });
});

describe('without a network', () => {
  it('serves what the cache has, and says what is missing', async () => {
    const url = server.host('/m.onnx', BYTES);
    const missing = /^--offline: http:.*\/m\.onnx is not in the cache .*: start once without --offline$/;
    expect(await fetching.failure(url, { isOffline: true })).toMatch(missing);
    await fetching.open(url);
    await server.close();
    const offline = await fetching.open(url, { isOffline: true });
    expect(readFileSync(offline.path)).toEqual(BYTES);
    rmSync(join(fetching.folder, 'blobs', sha256Of(BYTES)));
    expect(await fetching.failure(url, { isOffline: true })).toMatch(missing);
    server = await WebServer.start();
  });

  it('serves what it served, with a word, where the place cannot be reached', async () => {
    const url = server.host('/m.onnx', BYTES);
    await fetching.open(url);
    await server.close();
    const models = await fetching.open(url);
    expect(readFileSync(models.path)).toEqual(BYTES);
    expect(fetching.notices.at(-1)).toMatch(/it refuses connections; what the cache has of it is served$/);
    server = await WebServer.start();
  });

  it('does not serve what its server has taken away', async () => {
    const url = server.host('/m.onnx', BYTES);
    await fetching.open(url);
    server.files.clear();
    expect(await fetching.failure(url)).toMatch(/there is no such file/);
  });
});
