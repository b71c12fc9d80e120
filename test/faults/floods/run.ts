import { fork } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { readdirSync, readFileSync } from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { Prng } from '../../../src/scheduler/random/prng.js';
import { GrpcClient } from '../ask-grpc.js';
import { RestClient } from '../ask-rest.js';
import { differenceFrom, makeQuestion } from '../questions.js';
import { Site } from '../site.js';
import type { Ask } from '../client-request.js';
import { FLOODS, type Attack, type Flood } from './floods.js';

/*
 * `npm run test:floods`: one hostile client at a time, over HTTP/2 frames and HTTP/1.1 bytes of its own making, and beside it honest
 * ones over both protocols. Each of their requests is answered right, none waits for longer than a bound that is far beyond what
 * a machine shared with others needs, and the router's memory stays bounded; its descriptors are back afterwards. Times are reported.
 *
 *   npm run test:floods -- [--seconds S] [--floods ping,slowloris,…]
 */

/** Of an honest request, in which it counts as denied. */
const DENIED_AFTER_MS = 10_000;
/** Above what the router held before the flood: three times what it may have in receipt, as the flag below says. */
const MAX_GROWTH_MIB = 384;
const SETTLE_MS = 40_000;
const SPARE_DESCRIPTORS = 16;
const ATTACKER = new URL('attacker.ts', import.meta.url);

const { values } = parseArgs({
  options: {
    seconds: { type: 'string', default: '1.5' },
    floods: { type: 'string', default: Object.keys(FLOODS).join() },
  },
});
const names = values.floods.split(',');
const unknown = names.filter((name) => !(name in FLOODS));
if (unknown.length > 0 || !(Number(values.seconds) > 0)) {
  console.error(`usage: npm run test:floods -- [--seconds S] [--floods ${Object.keys(FLOODS).join()}]`);
  process.exit(2);
}

const site = new Site({
  group: `suite-${randomBytes(3).toString('hex')}`,
  flags: ['--no-refine', '--prefer', 'latency'],
});
let findingCount = 0;
try {
  await site.start();
  const quiet = await honestClients(delay(1000));
  console.log(
    `no flood: ${timesText(quiet)}; router ${residentMib().toFixed(0)} MiB, ${descriptorCount()} descriptors`,
  );
  for (const name of names) await flood(name, FLOODS[name]!);
} finally {
  await site.close();
}
console.log(findingCount === 0 ? 'nothing found' : `${findingCount} findings`);
process.exitCode = findingCount === 0 ? 0 : 1;

interface Honest {
  readonly tookMs: readonly number[];
  readonly complaints: readonly string[];
}

async function flood(name: string, { port, what }: Flood): Promise<void> {
  const { server } = site;
  const ports = {
    rest: server.port,
    grpc: Number(server.grpc.split(':')[1]),
    metrics: Number(new URL(server.metrics).port),
  };
  const before = { mib: residentMib(), descriptors: descriptorCount() };
  const args = [name, String(ports[port]), String(1000 * Number(values.seconds))];
  const attacker = fork(ATTACKER, args, { execArgv: ['--import', 'tsx'] });
  let peakMib = before.mib;
  const watch = setInterval(() => (peakMib = Math.max(peakMib, residentMib())), 20);
  const ended = once(attacker, 'exit');
  const attacked = once(attacker, 'message').then(([message]) => message as Attack);
  const { tookMs, complaints } = await honestClients(ended);
  clearInterval(watch);
  const { connectionsOpened, sentBytes } = await attacked;
  const found = [...complaints];
  if (connectionsOpened === 0) found.push('the attacker could not connect: nothing was tried');
  const grownMib = peakMib - before.mib;
  if (grownMib > MAX_GROWTH_MIB) found.push(`the router grew by ${grownMib.toFixed(0)} MiB`);
  const settled = await eventuallySettled(before.descriptors + SPARE_DESCRIPTORS);
  if (!settled) found.push(`the router has ${descriptorCount()} descriptors open, ${before.descriptors} before`);
  console.log(
    `${name}: ${what}\n  ${connectionsOpened} connections, ${(sentBytes / 2 ** 20).toFixed(1)} MiB sent; ` +
      `honest clients: ${timesText({ tookMs, complaints })}; ` +
      `router ${before.mib.toFixed(0)} → ${peakMib.toFixed(0)} → ${residentMib().toFixed(0)} MiB`,
  );
  for (const complaint of found) console.error(`  FOUND ${complaint}`);
  findingCount += found.length;
}

/** A request at a time over each protocol, until then. */
async function honestClients(until: Promise<unknown>): Promise<Honest> {
  const tookMs: number[] = [];
  const complaints: string[] = [];
  const rest = new RestClient(site.server.rest);
  const grpc = new GrpcClient(site.server.grpc);
  let isOver = false;
  const over = until.then(() => (isOver = true));
  const client = async (ask: Ask, protocol: string, first: number): Promise<void> => {
    for (let n = first; !isOver; n += 2) {
      const question = makeQuestion('affine', n, new Prng(n));
      const startedAtMs = performance.now();
      const clientRequest = {
        question,
        id: String(n),
        sloMs: null,
        isBestEffort: false,
        clockOffsetMs: null,
        client: null,
      };
      const reply = await Promise.race([
        ask({ ...clientRequest, leaveAfterMs: null }),
        delay(DENIED_AFTER_MS, null, { ref: false }),
      ]);
      tookMs.push(performance.now() - startedAtMs);
      if (reply === null) complaints.push(`${protocol}: no answer within ${DENIED_AFTER_MS} ms`);
      else if (reply.kind !== 'answered') complaints.push(`${protocol}: ${JSON.stringify(reply)}`);
      else {
        const difference = differenceFrom(question.expected, reply.outputs);
        if (difference !== null) complaints.push(`${protocol}: WRONG: ${difference}`);
      }
      if (complaints.length > 5) return;
      await delay(5);
    }
  };
  await Promise.all([client(rest.asking('json'), 'REST', 0), client(grpc.raw, 'gRPC', 1), over]);
  grpc.close();
  await rest.close();
  return { tookMs, complaints };
}

function timesText({ tookMs }: Honest): string {
  const sorted = [...tookMs].sort((a, b) => a - b);
  const at = (fraction: number): string => sorted[Math.floor(fraction * (sorted.length - 1))]!.toFixed(0);
  return `${tookMs.length} requests, p50 ${at(0.5)} ms, p99 ${at(0.99)} ms, longest ${at(1)} ms`;
}

async function eventuallySettled(maxDescriptors: number): Promise<boolean> {
  for (let waitedMs = 0; waitedMs < SETTLE_MS; waitedMs += 100) {
    if (descriptorCount() <= maxDescriptors) return true;
    await delay(100);
  }
  return false;
}

function residentMib(): number {
  return Number(/^VmRSS:\s+(\d+)/m.exec(readFileSync(`/proc/${site.server.pid}/status`, 'utf8'))![1]) / 1024;
}

function descriptorCount(): number {
  return readdirSync(`/proc/${site.server.pid}/fd`).length;
}
