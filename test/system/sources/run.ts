import { execFileSync, spawn, type ChildProcess } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, type AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { slow } from '../../../research/load-models/tiny-graphs.js';
import type { SourceOptions } from '../../../src/server/sources/fetched-models.js';
import { encodedPath } from '../../../src/server/sources/sigv4.js';
import { findModels } from '../../../src/server/models/model-repository.js';
import { pythonWith, versityGateway } from '../../clients/packages.js';
import { inferBinary, slowInput, slowPlace } from '../server/clients.js';
import { eventually, TestBench } from '../server/harness.js';
import { Fetching } from './fetching.js';

/*
 * `npm run test:sources [word…]`: models fetched from S3 servers of other projects, got by the ordinary clients of their registries: a gateway
 * that checks every signature and header, and a stand-in for AWS. Objects are put there by curl, whose signatures are its own. Exits 1 when
 * something failed; a server that cannot be had is left out, loudly.
 */

const GATEWAY = '1.8.0';
const MOTO = '5.2.5';
const KEY = { id: 'sponge-test', secret: 'sponge/test+secret' };
const REGION = 'us-east-1';

interface S3Server {
  readonly name: string;
  /** Whether a wrong signature is refused. */
  readonly checksSignatures: boolean;
  /** Fetches what it needs. @returns its command line. @throws Error where it cannot be had */
  readonly prepare: (port: number, folder: string) => readonly string[];
}

const SERVERS: readonly S3Server[] = [
  {
    name: `versitygw ${GATEWAY}`,
    checksSignatures: true,
    prepare: (port, folder) => [versityGateway(GATEWAY), '--port', `127.0.0.1:${port}`, '--quiet', 'posix', folder],
  },
  {
    name: `moto ${MOTO}`,
    checksSignatures: false,
    prepare: (port) => [
      ...[pythonWith(`moto-${MOTO}`, [`moto[s3,server]==${MOTO}`]), '-m', 'moto.server'],
      ...['--host', '127.0.0.1', '--port', String(port)],
    ],
  },
];

/** Objects in a page of a listing. */
const PAGE = 1000;

class Site {
  readonly endpoint: string;
  readonly bench: TestBench;
  readonly #uploads: string;

  constructor(endpoint: string, folder: string, bench: TestBench) {
    this.endpoint = endpoint;
    this.bench = bench;
    this.#uploads = folder;
  }

  options(more: Partial<SourceOptions> = {}): Partial<SourceOptions> {
    const env = { AWS_ACCESS_KEY_ID: KEY.id, AWS_SECRET_ACCESS_KEY: KEY.secret, AWS_REGION: REGION };
    return { bucket: { endpoint: this.endpoint, addressing: 'path' }, env, ...more };
  }

  curl(...args: readonly string[]): string {
    const signing = ['--aws-sigv4', `aws:amz:${REGION}:s3`, '--user', `${KEY.id}:${KEY.secret}`];
    const all = [
      '--silent',
      '--show-error',
      '--fail',
      ...signing,
      '-H',
      'x-amz-content-sha256: UNSIGNED-PAYLOAD',
      ...args,
    ];
    return execFileSync('curl', all, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] });
  }

  put(key: string, bytes: Uint8Array): void {
    const path = join(this.#uploads, 'upload');
    mkdirSync(dirname(path), { recursive: true });
    writeFileSync(path, bytes);
    this.curl('--upload-file', path, `${this.endpoint}/models/${encodedPath(key)}`);
  }

  /** Many small objects, their keys in ASCII, all the same. */
  putAll(keys: readonly string[]): void {
    const path = join(this.#uploads, 'upload');
    writeFileSync(path, 'many');
    for (let from = 0; from < keys.length; from += MOST_AT_ONCE) {
      const some = keys.slice(from, from + MOST_AT_ONCE).map((key) => `${this.endpoint}/models/${key}`);
      this.curl(...some.flatMap((url) => ['--upload-file', path, url]));
    }
  }
}

/** Uploads of one curl. */
const MOST_AT_ONCE = 100;

function expectSame(what: string, actual: unknown, expected: unknown): void {
  const [a, b] = [JSON.stringify(actual), JSON.stringify(expected)];
  if (a !== b) throw new Error(`${what}: ${a}, not ${b}`);
}

const CHECKS: Readonly<Record<string, (site: Site, fetching: Fetching, server: S3Server) => Promise<void>>> = {
  'a repository: highest versions, names of all kinds': async (site, fetching) => {
    const odd = randomBytes(5000);
    for (const version of ['1', '2']) site.put(`repo/slow/${version}/model.onnx`, slow(Number(version)).toModel());
    site.put("repo/slow/2/w ü+&<'>%41=~.bin", odd);
    site.put('repo/slow/model.yaml', Buffer.from('slo_ms: 250\n'));
    site.put('repo-not/x.onnx', odd);
    const models = await fetching.open('s3://models/repo', site.options());
    const found = await findModels(models.path);
    expectSame(
      'models',
      found.map(({ name, version }) => [name, version]),
      [['slow', '2']],
    );
    const bytes = readFileSync(join(models.path, "slow/2/w ü+&<'>%41=~.bin"));
    expectSame('the odd one', bytes.equals(odd), true);
  },
  'one object, interrupted and gone on with': async (site, fetching) => {
    const bytes = randomBytes(20_000_000);
    site.put('big/big.onnx', bytes);
    const interruption = new AbortController();
    const onProgress = (): void => interruption.abort(new Error('interrupted'));
    const message = await fetching.failure(
      's3://models/big/big.onnx',
      site.options({ interruption: interruption.signal, onProgress }),
    );
    expectSame('it says', message, 'interrupted');
    expectSame('partial files', fetching.names('partial').length, 1);
    const models = await fetching.open('s3://models/big/big.onnx', site.options());
    expectSame('bytes', readFileSync(models.path).equals(bytes), true);
    // That it went on shows in what it fetched at first: never from the beginning.
    expectSame('gone on', /: 0\.0 of/.test(fetching.progress[0] ?? ''), false);
  },
  'a look at what is as it was, and at what has changed': async (site, fetching) => {
    site.put('seen/a/1/model.onnx', slow(1).toModel());
    const models = await fetching.open('s3://models/seen', site.options());
    const before = models.path;
    await models.refresh([]);
    expectSame('path', models.path, before);
    site.put('seen/a/1/model.onnx', slow(2).toModel());
    await models.refresh([]);
    expectSame('another path', models.path !== before, true);
  },
  'more than a page of objects': async (site, fetching) => {
    const names = Array.from({ length: PAGE + 20 }, (_, i) => `many/m${String(i).padStart(4, '0')}.onnx`);
    site.putAll(names);
    const models = await fetching.open('s3://models/many', site.options());
    expectSame('models', (await findModels(models.path)).length, names.length);
  },
  refusals: async (site, fetching, { checksSignatures }) => {
    const expectIn = (text: string, pattern: RegExp): void => {
      if (!pattern.test(text)) throw new Error(`${text} is not ${pattern.source}`);
    };
    expectIn(await fetching.failure('s3://models/repo/no.onnx', site.options()), /there is no such object/);
    expectIn(await fetching.failure('s3://models/no/', site.options()), /nothing is there/);
    expectIn(await fetching.failure('s3://no-such-bucket/x', site.options()), /no such bucket/);
    if (!checksSignatures) return;
    const env = { AWS_ACCESS_KEY_ID: KEY.id, AWS_SECRET_ACCESS_KEY: 'wrong', AWS_REGION: REGION };
    expectIn(await fetching.failure('s3://models/repo', site.options({ env })), /not taken \(SignatureDoesNotMatch\)/);
    const nobody = await fetching.failure('s3://models/repo', site.options({ env: { HOME: fetching.folder } }));
    expectIn(nobody, /not allowed \(403\): asked without credentials: set AWS_ACCESS_KEY_ID/);
  },
  'sponge serve, polling': async (site, fetching) => {
    site.put('served/slow/1/model.onnx', slow(3).toModel());
    const env = { AWS_ACCESS_KEY_ID: KEY.id, AWS_SECRET_ACCESS_KEY: KEY.secret, AWS_REGION: REGION };
    const flags = ['--s3-endpoint', site.endpoint, '--model-cache', join(fetching.folder, 'served'), '--no-refine'];
    const server = await site.bench.serve(
      's3://models/served',
      [...flags, '--model-control', 'poll', '--poll-seconds', '0.5'],
      env,
    );
    const answer = async (): Promise<number> =>
      slowPlace(await inferBinary(server, 'slow', [slowInput(0)], { sloMs: 60_000 }));
    expectSame('answer', await answer(), 3);
    site.put('served/slow/2/model.onnx', slow(4).toModel());
    await eventually('version 2', async () => (await answer()) === 4);
    await server.stop();
  },
};

async function freePort(): Promise<number> {
  const holder = createServer();
  await new Promise<void>((resolve) => holder.listen(0, '127.0.0.1', resolve));
  const { port } = holder.address() as AddressInfo;
  await new Promise((resolve) => holder.close(resolve));
  return port;
}

async function ended(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const exit = new Promise((resolve) => child.once('exit', resolve));
  child.kill('SIGTERM');
  const timer = setTimeout(() => child.kill('SIGKILL'), 5000);
  await exit;
  clearTimeout(timer);
}

async function tryServer(server: S3Server, bench: TestBench): Promise<readonly string[]> {
  const folder = mkdtempSync(join(tmpdir(), 'sponge-s3-'));
  const rows: string[] = [];
  let child: ChildProcess | null = null;
  try {
    const port = await freePort();
    mkdirSync(join(folder, 'objects'));
    const [program, ...args] = server.prepare(port, join(folder, 'objects'));
    const env = { ...process.env, ROOT_ACCESS_KEY_ID: KEY.id, ROOT_SECRET_ACCESS_KEY: KEY.secret };
    child = spawn(program!, args, { env, stdio: 'ignore', cwd: folder });
    const site = new Site(`http://127.0.0.1:${port}`, folder, bench);
    await eventually(`${server.name} to answer`, () => {
      try {
        site.curl('--request', 'PUT', `${site.endpoint}/models`);
        return true;
      } catch {
        return false;
      }
    });
    for (const [check, act] of Object.entries(CHECKS)) {
      const fetching = new Fetching();
      const failure = await act(site, fetching, server).then(
        () => null,
        (error: unknown) =>
          (error instanceof Error ? error.message : String(error)).replaceAll(/\s+/g, ' ').slice(0, 500),
      );
      await fetching.close();
      rows.push(
        `${failure === null ? 'ok  ' : 'FAIL'} ${server.name}: ${check}${failure === null ? '' : `: ${failure}`}`,
      );
      console.log(rows.at(-1));
    }
  } finally {
    if (child !== null) await ended(child);
    rmSync(folder, { recursive: true, force: true });
  }
  return rows;
}

const words = process.argv.slice(2);
const rows: string[] = [];
const bench = new TestBench();
try {
  for (const server of SERVERS.filter(({ name }) => words.length === 0 || words.some((word) => name.includes(word)))) {
    try {
      server.prepare(0, '');
    } catch (error) {
      console.log(`NOT TRIED ${server.name}: ${String(error).replaceAll(/\s+/g, ' ').slice(0, 300)}`);
      continue;
    }
    rows.push(...(await tryServer(server, bench)));
  }
} finally {
  await bench.close();
}
const failed = rows.filter((row) => row.startsWith('FAIL')).length;
console.log(`${rows.length - failed} passed, ${failed} failed`);
process.exitCode = failed === 0 && rows.length > 0 ? 0 : 1;
