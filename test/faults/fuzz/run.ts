import { randomBytes } from 'node:crypto';
import { connect as connectHttp2 } from 'node:http2';
import { readFileSync } from 'node:fs';
import { parseArgs } from 'node:util';
import fc from 'fast-check';
import { Prng } from '../../../src/scheduler/random/prng.js';
import { Scrape } from '../../system/server/clients.js';
import { GrpcClient } from '../ask-grpc.js';
import { RestClient } from '../ask-rest.js';
import { differenceFrom, makeQuestion } from '../questions.js';
import { Site } from '../site.js';
import type { Ask } from '../client-request.js';
import { grpcBytes, grpcRecipe, restBytes, restRecipe, type GrpcRecipe, type RestRecipe } from './inputs.js';
import { sendGrpc, sendRest, type Answer } from './send.js';

/*
 * `npm run test:fuzz`: valid requests that have been mutated, over REST and gRPC, to a real server. An answer may be any refusal; it
 * may not be an internal error, and the server goes on: after each block it answers a good request right, has lost no worker, and
 * holds no more memory than before. How long its event loop stood still is reported.
 *
 *   npm run test:fuzz -- [--inputs N] [--seed S] [--max-stop-ms MS]
 *
 * 100 000 inputs are the long form. A failure prints the smallest input that fast-check finds, and the seed. `--max-stop-ms` makes a
 * longer stop of the event loop a failure too, which on a machine that others use says nothing.
 */

/** Sent side by side, on average. */
const BATCH = 64;
const BATCHES_A_BLOCK = 16;
/** What a heap may grow by between the first blocks and the last: V8 collects when it likes. */
const MAX_GROWTH_MIB = 96;
const GRPC_INTERNAL = 13;
const GRPC_UNAVAILABLE = 14;
const GRPC_UNKNOWN = 2;

const { values } = parseArgs({
  options: { inputs: { type: 'string', default: '6000' }, seed: { type: 'string' }, 'max-stop-ms': { type: 'string' } },
});
const inputCount = Number(values.inputs);
const seed = Number(values.seed ?? randomBytes(4).readUInt32LE() % 1_000_000);
const repeat = `npm run test:fuzz -- --inputs ${inputCount} --seed ${seed}`;
console.log(`${inputCount} inputs, seed ${seed}: ${repeat}`);

const site = new Site({
  group: `suite-${randomBytes(3).toString('hex')}`,
  flags: ['--no-refine', '--body-timeout-ms', '2000'],
});
const statuses = new Map<string, number>();
const memoryMib: number[] = [];
let longestStopMs = 0;
let sentCount = 0;
let isSound = true;
try {
  await site.start();
  for (let block = 0; sentCount < inputCount && isSound; block++) {
    const isRest = block % 2 === 0;
    isSound = (await (isRest ? fuzzRest(seed + block) : fuzzGrpc(seed + block))) && (await isInGoodOrder());
    if (!isSound) console.error(`in block ${block} (${isRest ? 'REST' : 'gRPC'}, fast-check's seed ${seed + block})`);
  }
} finally {
  await site.close();
}
report();
console.log(`repeat with: ${repeat}`);
process.exitCode = isSound ? 0 : 1;

function fuzzRest(blockSeed: number): Promise<boolean> {
  const send = async (recipe: RestRecipe): Promise<void> => {
    const answer = await sendRest(site.server.port, restBytes(recipe));
    count('REST', answer);
    if (answer === null) return;
    const { status, reason } = answer;
    // 501 is HTTP's word for a method or transfer coding that nobody here knows; 505 for its version.
    const isRefusal = status < 500 || ((status === 503 || status === 504) && reason !== null);
    if (!isRefusal && !(status === 500 && reason === 'backend')) throw new Error(`answered with ${describe(answer)}`);
  };
  return check(restRecipe, send, blockSeed);
}

async function fuzzGrpc(blockSeed: number): Promise<boolean> {
  const session = connectHttp2(`http://${site.server.grpc}`);
  session.on('error', () => undefined);
  const send = async (recipe: GrpcRecipe): Promise<void> => {
    if (session.destroyed || session.closed) throw new Error('the connection of all calls was ended');
    const answer = await sendGrpc(session, recipe.method, Object.fromEntries(recipe.headers), grpcBytes(recipe));
    count('gRPC', answer);
    if (answer === null) return;
    const { status, reason, message } = answer;
    // gRPC's own word for a message that is not compressed as its headers say (grpc/doc/compression.md).
    const isOfCompression = status === GRPC_INTERNAL && /encoding|compress/i.test(message);
    const isInternal = [GRPC_INTERNAL, GRPC_UNKNOWN, GRPC_UNAVAILABLE].includes(status);
    if (isInternal && reason === null && !isOfCompression) throw new Error(`answered with ${describe(answer)}`);
  };
  const isFine = await check(grpcRecipe, send, blockSeed);
  session.destroy();
  return isFine;
}

/** Prints what is wrong, made as small as can be. */
async function check<Recipe>(
  recipe: fc.Arbitrary<Recipe>,
  send: (recipe: Recipe) => Promise<void>,
  blockSeed: number,
): Promise<boolean> {
  const batch = fc.array(recipe, { minLength: 1, maxLength: 2 * BATCH, size: 'max' });
  const property = fc.asyncProperty(batch, async (recipes) => {
    const results = await Promise.allSettled(recipes.map(send));
    for (const result of results) if (result.status === 'rejected') throw result.reason;
  });
  const details = await fc.check(property, { seed: blockSeed, numRuns: BATCHES_A_BLOCK });
  if (!details.failed) return true;
  const cause = details.errorInstance instanceof Error ? details.errorInstance.message : String(details.errorInstance);
  console.error(`FOUND ${cause}; made as small as can be: ${fc.stringify(details.counterexample)}`);
  return false;
}

async function isInGoodOrder(): Promise<boolean> {
  const { server } = site;
  const scrape = new Scrape(await (await fetch(server.metrics)).text());
  longestStopMs = Math.max(longestStopMs, 1000 * scrape.sum('sponge_event_loop_delay_seconds', { quantile: '1' }));
  memoryMib.push(residentMib(server.pid));
  const rest = new RestClient(server.rest);
  const grpc = new GrpcClient(server.grpc);
  const complaints = [await complaintOf(rest.asking('json')), await complaintOf(grpc.raw)].filter(
    (each) => each !== null,
  );
  grpc.close();
  await rest.close();
  const losses = scrape.sum('sponge_worker_losses_total');
  if (losses > 0) complaints.push(`${losses} workers were lost: ${server.log.slice(-400)}`);
  const growthMib = growth();
  if (growthMib > MAX_GROWTH_MIB) complaints.push(`the router has grown by ${growthMib.toFixed(0)} MiB`);
  const maxStopMs = Number(values['max-stop-ms'] ?? Number.POSITIVE_INFINITY);
  if (longestStopMs > maxStopMs) complaints.push(`the event loop stood still for ${longestStopMs.toFixed(0)} ms`);
  for (const complaint of complaints) console.error(`FOUND ${complaint}`);
  return complaints.length === 0;
}

async function complaintOf(ask: Ask): Promise<string | null> {
  const question = makeQuestion('affine', memoryMib.length, new Prng(seed));
  const reply = await ask({
    question,
    id: '7',
    sloMs: 60_000,
    isBestEffort: false,
    clockOffsetMs: null,
    client: null,
    leaveAfterMs: null,
  });
  if (reply.kind !== 'answered') return `a good request was not answered: ${JSON.stringify(reply)}`;
  return differenceFrom(question.expected, reply.outputs);
}

/** Median of the last third over the median of the first; 0 while there is too little to say. */
function growth(): number {
  const third = Math.floor(memoryMib.length / 3);
  if (third < 2) return 0;
  const median = (some: readonly number[]): number => [...some].sort((a, b) => a - b)[Math.floor(some.length / 2)]!;
  return median(memoryMib.slice(-third)) - median(memoryMib.slice(0, third));
}

function residentMib(pid: number): number {
  return Number(/^VmRSS:\s+(\d+)/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))![1]) / 1024;
}

function count(protocol: string, answer: Answer | null): void {
  sentCount += 1;
  const key = answer === null ? `${protocol} no answer` : `${protocol} ${answer.status} ${answer.reason ?? ''}`.trim();
  statuses.set(key, (statuses.get(key) ?? 0) + 1);
}

function describe({ status, reason, message }: Answer): string {
  return `${status}, reason ${reason ?? 'none'}: ${message.slice(0, 200)}`;
}

function report(): void {
  for (const [status, times] of [...statuses].sort(([a], [b]) => a.localeCompare(b))) {
    console.log(`${String(times).padStart(8)}  ${status}`);
  }
  console.log(`router memory by block, MiB: ${memoryMib.map((mib) => mib.toFixed(0)).join(' ')}`);
  console.log(`longest stop of the event loop: ${longestStopMs.toFixed(0)} ms`);
}
