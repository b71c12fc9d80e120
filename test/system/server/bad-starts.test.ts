import { spawnSync } from 'node:child_process';
import { chmodSync, copyFileSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { createServer, type AddressInfo, type Server } from 'node:net';
import { dirname } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { OnnxGraph } from '../../../src/server/onnx/onnx-writer.js';
import { identity, simple } from '../../../research/load-models/tiny-graphs.js';
import { OCR_MODEL } from '../worker-fixture.js';
import { infer } from './clients.js';
import { groupsOf, TestBench, type Output } from './harness.js';

/*
 * A server that cannot start says why in one line on stderr, exits with a code that is not 0, and leaves nothing.
 */

const bench = new TestBench();
afterAll(() => bench.close());

/** What models that did load have logged, and, as root, that nobody else can read this test's folder. */
const IRRELEVANT = /^[\d:.]+Z (?:info |warn .*workers run as this server's own user)/;

function expectOneLine({ code, stdout, stderr }: Output, pattern: RegExp): void {
  expect(code, stderr).toBe(1);
  expect(stdout).toBe('');
  // Beside it may stand where to read about the flags.
  const lines = stderr
    .trimEnd()
    .split('\n')
    // On a machine that is busy a start says what it is at.
    .filter((line) => !/^not ready after \d+ s: /.test(line))
    .filter((line) => line !== '(add --help for the flags and examples)' && !IRRELEVANT.test(line));
  expect(lines, stderr).toHaveLength(1);
  expect(lines[0]).toMatch(pattern);
  expect(groupsOf(bench.group)).toEqual([]);
}

/** The model's input becomes float8: field 1 (elem_type) of its tensor types, 10 (FLOAT16) → 17 (FLOAT8E4M3FN). */
function withFloat8(): Uint8Array {
  const bytes = identity('FP16').toModel();
  for (let i = 0; i + 1 < bytes.length; i++) if (bytes[i] === 0x08 && bytes[i + 1] === 0x0a) bytes[i + 1] = 17;
  return bytes;
}

function unknownOperator(): OnnxGraph {
  const graph = new OnnxGraph('odd');
  const x = graph.input('x', 'FP32', ['batch', 4]);
  graph.output(graph.add('NoSuchOperator', [x], {}, 'y'), 'FP32', ['batch', 4]);
  return graph;
}

describe('a model that cannot be served', () => {
  it.each<[string, () => string, RegExp]>([
    ['no file', () => bench.path('nowhere.onnx'), /^sponge: no such model: .*nowhere\.onnx/],
    ['a folder without models', () => dirname(bench.file('empty/readme.txt', '')), /holds no models: expected/],
    ['a file that is no model by its name', () => bench.file('model.txt', 'x'), /is not a \.onnx file/],
    ['an empty file', () => bench.file('zero.onnx', ''), /^sponge: cannot load .*zero\.onnx: /],
    [
      'bytes that are no model',
      () => bench.file('noise.onnx', Buffer.alloc(5000, 0xa7)),
      /not an ONNX model, or damaged/,
    ],
    [
      'half a model',
      () => bench.file('half.onnx', readFileSync(OCR_MODEL).subarray(0, 2_000_000)),
      /half\.onnx: not an ONNX model, or damaged/,
    ],
    ['an element type that the protocol lacks', () => bench.file('float8.onnx', withFloat8()), /float8e4m3fn/],
    ['an unknown operator', () => bench.model('odd', unknownOperator()), /NoSuchOperator/],
    [
      'a model.yaml with an unknown key',
      () => dirname(dirname(bench.file('yaml/m/model.yaml', 'model: m.onnx\nslow_ms: 3\n'))),
      /model\.yaml: .*slow_ms/,
    ],
    [
      'one broken model among others',
      () => {
        bench.repository('mixed', { simple: simple() });
        bench.file('mixed/torn/1/model.onnx', Buffer.alloc(100, 1));
        return bench.path('mixed');
      },
      /torn\/1\/model\.onnx: not an ONNX model/,
    ],
  ])('%s', async (_, path, pattern) => {
    expectOneLine(await bench.serveFailing(path(), ['--strict']), pattern);
  });
});

describe('flags that cannot be', () => {
  let model: string;
  beforeAll(() => {
    model = bench.model('simple', simple());
  });

  it.each<[string[], RegExp]>([
    [['--no-such-flag'], /unknown option '--no-such-flag'/],
    [['--port', '99999'], /--port .*expected a port, 0 to 65535/],
    [['--slo', '-3'], /--slo .*expected a number > 0/],
    [['--scaler', 'magic'], /--scaler .*cgroup-v1/],
    [['--policy', 'static'], /--policy static needs --cpu <cores> and --batch <n>/],
    [['--shape', 'x=0'], /--shape .*x=1,3,48,320/],
    [['--shape', 'nobody=1,16'], /no input "nobody"/],
    [['--group', '../up'], /group name "\.\.\/up.*": use 1 to 64 letters/],
    [['--quota-period-us', '10'], /quota period 10 µs: use an integer/],
    [['--host', '192.0.2.1'], /192\.0\.2\.1 is no.* address of this machine/],
    [['--config', '/nowhere.yaml'], /--config \/nowhere\.yaml: /],
  ])('%j', async (flags, pattern) => {
    expectOneLine(await bench.serveFailing(model, flags), pattern);
  });

  it.each(['--port', '--grpc-port', '--metrics-port'])('a busy %s', async (flag) => {
    const holder: Server = createServer();
    await new Promise<void>((resolve) => holder.listen(0, '127.0.0.1', resolve));
    const { port } = holder.address() as AddressInfo;
    expectOneLine(
      await bench.serveFailing(model, [flag, String(port)]),
      new RegExp(`port ${port} on 127\\.0\\.0\\.1 is in use.*${flag}`),
    );
    await new Promise((resolve) => holder.close(resolve));
  });
});

describe('a user without rights', () => {
  const NOBODY = ['setpriv', '--reuid', '65534', '--regid', '65534', '--clear-groups'];
  const canSwitch =
    process.getuid?.() === 0 && spawnSync(NOBODY[0]!, [...NOBODY.slice(1), process.execPath, '-v']).status === 0;

  it('cannot ask for a cgroup, and is served without one by auto, which says so', async () => {
    if (!canSwitch) {
      console.warn('skipped: missing rights for a cgroup, because only root with setpriv can become somebody else');
      return;
    }
    const model = bench.model('rights', simple());
    chmodSync(bench.folder, 0o755);
    const refused = await bench.runAs(NOBODY, [
      'serve',
      model,
      '--scaler',
      'cgroup-v1',
      '--group',
      bench.group,
      '--port',
      '0',
    ]);
    expectOneLine(refused, /--scaler cgroup-v1: .*(no right|not mounted).*; or let --scaler auto choose/);

    // The folder belongs to root: the profile cannot be stored either, which costs a warning only.
    const server = bench.start(model, ['--no-refine'], { TMPDIR: '/tmp' }, NOBODY);
    await server.ready();
    expect(server.banner).toMatch(/CPU {7}(CPU affinity|none)/);
    expect(server.banner).toMatch(/not cgroup-v1: (no right|.*not mounted)/);
    expect(server.log).toMatch(/profile could not be stored.*EACCES/);
    const data = new Array<number>(16).fill(3);
    const reply = await infer(server, 'rights', [
      { name: 'INPUT0', datatype: 'INT32', shape: [1, 16], data },
      { name: 'INPUT1', datatype: 'INT32', shape: [1, 16], data },
    ]);
    expect(reply.json.outputs?.[0]?.data).toEqual(new Array<number>(16).fill(6));
    expect((await server.stop()).code).toBe(0);
  });
});

describe('a full disk', () => {
  it('costs a warning and the profile, not the server, and leaves no half file', async () => {
    const disk = bench.path('disk');
    mkdirSync(disk);
    const mounted = spawnSync('mount', ['-t', 'tmpfs', '-o', 'size=64k', 'sponge-test', disk]).status === 0;
    if (!mounted) {
      console.warn('skipped: a full disk for the profile, because only root can mount a small one');
      return;
    }
    try {
      copyFileSync(bench.model('full', simple()), `${disk}/full.onnx`);
      fill(`${disk}/filler`);
      const server = await bench.serve(`${disk}/full.onnx`, ['--no-refine']);
      expect(server.log).toMatch(
        /warn {2}full\/1 the profile could not be stored, so the next start profiles again.*ENOSPC/,
      );
      expect(server.log.match(/could not be stored/g)).toHaveLength(1);
      expect((await server.stop()).code).toBe(0);
      expect(readdirSync(disk).sort()).toEqual(['filler', 'full.onnx']);
    } finally {
      spawnSync('umount', [disk]);
    }
  });
});

/** Until nothing fits any more. */
function fill(path: string): void {
  try {
    for (;;) writeFileSync(path, Buffer.alloc(4096), { flag: 'a' });
  } catch (error) {
    expect((error as NodeJS.ErrnoException).code).toBe('ENOSPC');
  }
}
