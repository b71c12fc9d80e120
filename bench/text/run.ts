import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { copyFileSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { createServer, type AddressInfo } from 'node:net';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { parseArgs, promisify } from 'node:util';
import { MINILM_FILES, miniLm } from '../../test/real-models/text-model.js';
import { bench, type Scope } from '../harness/bench.js';
import { describeMachine, machineLines } from '../harness/machine.js';
import { startSponge } from '../harness/sponge-server.js';
import { Environments } from '../peers/environment.js';
import { textsOf } from './texts.js';

/*
 * all-MiniLM-L6-v2 with texts of many lengths: ours with the lengths that it pads to, beside padding to the longest, beside no padding and
 * beside no batching; mosec, which pads a batch to its longest text; and a bare loop of ONNX Runtime. The CPU that a text takes is what
 * counts on a machine that others use too.
 *
 *   npm run bench -- text [--seconds n] [--rounds n] [--clients n] [--only a,b] [--environment folder] [--python program]
 */

const { values: flags } = parseArgs({
  options: {
    seconds: { type: 'string', default: '8' },
    rounds: { type: 'string', default: '3' },
    clients: { type: 'string', default: '16' },
    only: { type: 'string' },
    environment: { type: 'string' },
    python: { type: 'string', default: 'python3' },
  },
});
const [seconds, rounds, clients] = [Number(flags.seconds), Number(flags.rounds), Number(flags.clients)];

/** `model.yaml` of each way to run the same model. */
const OURS: Readonly<Record<string, string>> = {
  sponge: 'text: { max_tokens: 256 }\n',
  'sponge, all padded to the longest': 'text: { max_tokens: 256, lengths: [256] }\n',
  'sponge, nothing padded': 'text: { max_tokens: 256, lengths: [] }\n',
  'sponge, nothing batched': 'batching: off\ntext: { max_tokens: 256, lengths: [] }\n',
};
const MOSEC: Readonly<Record<string, string>> = { 'mosec, one by one': '1', 'mosec, batches of 16': '16' };
const BARE: Readonly<Record<string, string>> = { 'bare loop, one by one': '1', 'bare loop, batches of 16': '16' };

interface Measure {
  readonly textsPerSec: number;
  readonly cpuMsPerText: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
}

interface Way {
  readonly name: string;
  readonly measure: () => Promise<Measure>;
}

const texts = textsOf(512, 1);
/** Node compiles what it runs often; what it takes until then is no measure of a server. */
const WARM_UP_MS = 5000;

await bench(async (scope) => {
  console.log(machineLines(describeMachine()));
  const environments = new Environments(flags.environment ?? scope.folder(), flags.python);
  await environments.install('text');
  const model = miniLm();
  const wanted = (name: string): boolean => flags.only === undefined || flags.only.split(';').includes(name);
  const ways: Way[] = [];
  for (const [name, yaml] of Object.entries(OURS)) {
    if (!wanted(name)) continue;
    const folder = modelFolder(scope, model, yaml);
    const { pid, restPort } = await startSponge(scope, [
      folder,
      '--no-refine',
      '--instances',
      'auto',
      '--prefer',
      'latency',
    ]);
    ways.push({ name, measure: () => underLoad(pid, restPort) });
  }
  const plain = modelFolder(scope, model, '');
  const python = environments.python('text');
  for (const [name, batch] of Object.entries(MOSEC)) {
    if (!wanted(name)) continue;
    const port = await freePort();
    const pid = await startMosec(scope, python, plain, batch, port);
    ways.push({ name, measure: () => underLoad(pid, port) });
  }
  for (const [name, batch] of Object.entries(BARE))
    if (wanted(name)) ways.push({ name, measure: () => bareLoop(python, plain, batch) });

  const measures = new Map(ways.map(({ name }) => [name, [] as Measure[]]));
  for (let round = 0; round < rounds; round++)
    for (const { name, measure } of ways) {
      const found = await measure();
      measures.get(name)!.push(found);
      console.error(`${name}: ${JSON.stringify(found)}`);
    }
  console.log(
    `${clients} clients, one text a request, ${rounds} × ${seconds} s each, interleaved: medians (smallest to largest)\n`,
  );
  console.log('| | CPU a text, ms | texts/s | p50, ms | p99, ms |\n|---|--:|--:|--:|--:|');
  for (const [name, found] of measures) {
    const cell = (of: (measure: Measure) => number, digits: number): string => spread(found.map(of), digits);
    console.log(
      `| ${name} | ${cell((m) => m.cpuMsPerText, 1)} | ${cell((m) => m.textsPerSec, 0)} | ${cell((m) => m.p50Ms, 0)} | ${cell((m) => m.p99Ms, 0)} |`,
    );
  }
});

function spread(values: readonly number[], digits: number): string {
  const sorted = [...values].sort((a, b) => a - b);
  const [least, middle, most] = [sorted[0]!, sorted[sorted.length >> 1]!, sorted.at(-1)!].map((each) =>
    each.toFixed(digits),
  );
  return `${middle!} (${least!}–${most!})`;
}

/** All of its files, and what is said of it. */
function modelFolder(scope: Scope, model: string, yaml: string): string {
  const folder = join(scope.folder(), 'minilm');
  mkdirSync(folder);
  for (const file of MINILM_FILES) copyFileSync(join(model, file), join(folder, file));
  if (yaml !== '') writeFileSync(join(folder, 'model.yaml'), yaml);
  return folder;
}

/** Each client asks again when it is answered. */
async function underLoad(pid: number, port: number): Promise<Measure> {
  const latenciesMs: number[] = [];
  const fromMs = performance.now() + WARM_UP_MS;
  const untilMs = fromMs + 1000 * seconds;
  let next = 0;
  const client = async (): Promise<void> => {
    while (performance.now() < untilMs) {
      const sentAtMs = performance.now();
      const response = await fetch(`http://127.0.0.1:${port}/v1/embeddings`, {
        ...{ method: 'POST', headers: { 'content-type': 'application/json' } },
        body: JSON.stringify({ model: 'minilm', input: texts[next++ % texts.length] }),
      });
      const body = await response.text();
      if (response.status !== 200) throw new Error(`answered ${response.status}: ${body.slice(0, 200)}`);
      const atMs = performance.now();
      if (sentAtMs >= fromMs && atMs <= untilMs) latenciesMs.push(atMs - sentAtMs);
    }
  };
  const all = Promise.all(Array.from({ length: clients }, client));
  await delay(WARM_UP_MS);
  const [cpuBefore, countBefore] = [cpuMsOf(pid), next];
  await all;
  const cpuMs = cpuMsOf(pid) - cpuBefore;
  const sorted = latenciesMs.sort((a, b) => a - b);
  const at = (share: number): number => sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))] ?? NaN;
  return {
    textsPerSec: sorted.length / seconds,
    // Those that were begun meanwhile; as many were under way at the start as at the end.
    cpuMsPerText: cpuMs / (next - countBefore),
    p50Ms: at(0.5),
    p99Ms: at(0.99),
  };
}

async function bareLoop(python: string, folder: string, batch: string): Promise<Measure> {
  const script = join(import.meta.dirname, 'bare_text.py');
  const running = promisify(execFile)(python, [script, folder, batch, String(seconds)]);
  running.child.stdin!.end(JSON.stringify(texts));
  const { perSec, cpuMs, p50, p99 } = JSON.parse((await running).stdout) as Record<
    'perSec' | 'cpuMs' | 'p50' | 'p99',
    number
  >;
  return { textsPerSec: perSec, cpuMsPerText: cpuMs, p50Ms: p50, p99Ms: p99 };
}

/** @returns the process whose descendants are the server */
async function startMosec(scope: Scope, python: string, folder: string, batch: string, port: number): Promise<number> {
  const script = join(import.meta.dirname, 'mosec_text.py');
  const args = [script, folder, batch, '--address', '127.0.0.1', '--port', String(port), '--timeout', '60000'];
  const child = spawn(python, args, { detached: true, stdio: 'ignore' });
  const ended = once(child, 'exit');
  scope.onEnd(async () => {
    endGroup(child.pid!, 'SIGTERM');
    await Promise.race([ended, delay(5000)]);
    endGroup(child.pid!, 'SIGKILL');
    await ended;
  });
  const untilMs = performance.now() + 60_000;
  const ask = { method: 'POST', body: JSON.stringify({ input: 'a text' }) };
  for (;;) {
    const isReady = await fetch(`http://127.0.0.1:${port}/v1/embeddings`, ask).then(
      async (answer) => (await answer.text(), answer.status === 200),
      () => false,
    );
    if (isReady) return child.pid!;
    if (performance.now() > untilMs) throw new Error('mosec was not ready after 60 s');
    await delay(200);
  }
}

function endGroup(pid: number, signal: NodeJS.Signals): void {
  try {
    process.kill(-pid, signal);
  } catch {
    // All of it has ended.
  }
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  server.close();
  await once(server, 'close');
  return port;
}

/** Of a process and all that came of it, of threads that live. */
function cpuMsOf(pid: number): number {
  const tids = readdirSync(`/proc/${pid}/task`);
  let cpuMs = 0;
  for (const tid of tids) {
    const task = `/proc/${pid}/task/${tid}`;
    cpuMs += Number(readFileSync(`${task}/schedstat`, 'utf8').split(' ')[0]) / 1e6;
    for (const child of readFileSync(`${task}/children`, 'utf8').split(' ').filter(Boolean))
      cpuMs += cpuMsOf(Number(child));
  }
  return cpuMs;
}
