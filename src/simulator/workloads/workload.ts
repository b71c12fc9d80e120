import { resolveBudget } from '../../scheduler/dataplane/budget.js';
import { PeerNetwork } from '../../scheduler/dataplane/peer-network.js';
import type { NetworkDelaySource } from '../../scheduler/domain/request.js';
import type { Prng } from '../../scheduler/random/prng.js';
import { stream } from '../../scheduler/random/streams.js';
import { sendInstants, type ArrivalSpec } from './arrivals.js';
import type { BandwidthTrace } from './bandwidth-trace.js';

/*
 * Everything that clients and their networks do in one run, decided beforehand from the seed. No policy has any influence on
 * it, so all policies of a run are judged on the very same requests.
 *
 * What the server knows of a request comes from its own code: `resolveBudget` and `PeerNetwork`, as when serving. What it
 * does not know (how long the reply will take, whether a client's clock is off) decides all the same whether an answer is
 * in time: reply instant − send instant ≤ SLO.
 */

/** A number, or a uniform draw from [least, most]. */
export type Range = number | readonly [least: number, most: number];

export interface PayloadSpec {
  readonly bytes: Range;
  readonly sloMs: Range;
  /** Share among the payloads, > 0. */
  readonly weight: number;
}

export type NetworkSpec = ImmediateNetwork | AppliedNetwork | SubtractedNetwork;

/** Requests are there when they are sent, and so are answers. */
export interface ImmediateNetwork {
  readonly mode: 'none';
}

/**
 * Uploads and replies take as long as the client's bandwidth makes them: requests overtake each other. Each transfer is
 * timed as if it had its client's link to itself, as in the paper's evaluation.
 */
export interface AppliedNetwork {
  readonly mode: 'applied';
  /** Of each client, in its own time. */
  readonly traces: readonly BandwidthTrace[];
  /** One way, on top of the transfer, drawn for each request; the server cannot see it without a stamp. */
  readonly propagationMs: Range;
  readonly replyBytes: number;
  /** Clients stamp when they sent, by clocks of their own; null where they do not. */
  readonly clocks: ClientClocks | null;
}

/**
 * As the authors released it: bytes / bandwidth is taken off the SLO, in whole ms, and never waited for. One value for all
 * requests of a second.
 */
export interface SubtractedNetwork {
  readonly mode: 'subtracted';
  readonly traces: readonly BandwidthTrace[];
}

/** Clocks that are off by a constant and drift; a draw of each for every client. */
export interface ClientClocks {
  readonly offsetMs: Range;
  readonly driftPpm: Range;
}

export interface WorkloadSpec {
  readonly durationMs: number;
  readonly arrivals: ArrivalSpec;
  readonly payloads: readonly PayloadSpec[];
  readonly network: NetworkSpec;
  /** Share of requests whose client leaves at an instant drawn from the time until its SLO is over. */
  readonly leavingFraction: number;
}

/** Columns, one entry a request, in the order in which the server has received them. */
export interface Workload {
  readonly durationMs: number;
  readonly count: number;
  readonly sentAtMs: Float64Array;
  /** The last byte is there. */
  readonly receivedAtMs: Float64Array;
  readonly sloMs: Float64Array;
  readonly bytes: Float64Array;
  readonly client: Int32Array;
  /** What the server takes off the SLO, and what it holds back for the reply. */
  readonly networkDelayMs: Float64Array;
  readonly networkDelaySources: readonly NetworkDelaySource[];
  readonly replyReserveMs: Float64Array;
  readonly dueAtMs: Float64Array;
  /** A batch that ends later than this answers too late, whatever the server believes. */
  readonly latestFinishAtMs: Float64Array;
  /** The client leaves; Infinity where it stays. */
  readonly leavesAtMs: Float64Array;
  /** When the client has the answer to a request that finishes then. */
  replyEndAtMs(index: number, finishedAtMs: number): number;
}

export function generateWorkload(spec: WorkloadSpec, seed: number): Workload {
  const { network, durationMs } = spec;
  const sent = sendInstants(spec.arrivals, durationMs, stream(seed, 'arrivals'));
  const count = sent.length;
  const clientCount = network.mode === 'none' ? 1 : network.traces.length;
  const clients = drawClients(count, clientCount, stream(seed, 'clients'));
  const payloads = drawPayloads(spec.payloads, count, stream(seed, 'payloads'));
  const propagation = drawPropagation(network, count, stream(seed, 'propagation'));
  const received = sent.map((sentAtMs, i) =>
    network.mode === 'applied'
      ? network.traces[clients[i]!]!.transferEndAtMs(sentAtMs, payloads.bytes[i]!) + propagation[i]!
      : sentAtMs,
  );

  const order = Uint32Array.from(sent.keys()).sort((a, b) => received[a]! - received[b]! || a - b);
  const inOrder = (column: Float64Array): Float64Array => Float64Array.from(order, (index) => column[index]!);
  const columns: Columns = {
    sentAtMs: inOrder(sent),
    receivedAtMs: inOrder(received),
    sloMs: inOrder(payloads.sloMs),
    bytes: inOrder(payloads.bytes),
    client: Int32Array.from(order, (index) => clients[index]!),
  };
  const leavesAtMs = drawLeaving(columns, spec.leavingFraction, stream(seed, 'leaving'));
  return { durationMs, count, ...columns, ...budgetsOf(columns, network, inOrder(propagation), seed), leavesAtMs };
}

function budgetsOf(columns: Columns, network: NetworkSpec, propagationMs: Float64Array, seed: number): Budgets {
  switch (network.mode) {
    case 'none':
      return immediate(columns);
    case 'applied':
      return measured(columns, network, propagationMs, seed);
    case 'subtracted':
      return subtracted(columns, network);
  }
}

type Columns = Pick<Workload, 'sentAtMs' | 'receivedAtMs' | 'sloMs' | 'bytes' | 'client'>;
type Budgets = Pick<
  Workload,
  'networkDelayMs' | 'networkDelaySources' | 'replyReserveMs' | 'dueAtMs' | 'latestFinishAtMs' | 'replyEndAtMs'
>;

// ---- the network -----------------------------------------------------------------------------------------------------

function immediate({ sentAtMs, sloMs }: Columns): Budgets {
  const dueAtMs = sentAtMs.map((atMs, i) => atMs + sloMs[i]!);
  return {
    networkDelayMs: new Float64Array(sentAtMs.length),
    networkDelaySources: Array.from(sentAtMs, () => 'none'),
    replyReserveMs: new Float64Array(sentAtMs.length),
    dueAtMs,
    latestFinishAtMs: dueAtMs,
    replyEndAtMs: (_, finishedAtMs) => finishedAtMs,
  };
}

/** The delay as the authors compute it: whole ms of SLO left, from whole bytes/ms of the second of sending. */
function subtracted(columns: Columns, { traces }: SubtractedNetwork): Budgets {
  const { sentAtMs, sloMs, bytes, client } = columns;
  const networkDelayMs = sentAtMs.map((atMs, i) => {
    const bytesPerMs = Math.trunc(traces[client[i]!]!.bytesPerMsAt(Math.floor(atMs / 1000) * 1000));
    // Nothing takes no time, whatever the bandwidth.
    const leftMs = bytes[i] === 0 ? sloMs[i]! : Math.trunc(sloMs[i]! - bytes[i]! / bytesPerMs);
    return Math.min(sloMs[i]!, sloMs[i]! - leftMs);
  });
  const dueAtMs = sentAtMs.map((atMs, i) => atMs + sloMs[i]! - networkDelayMs[i]!);
  return {
    networkDelayMs,
    networkDelaySources: Array.from(networkDelayMs, () => 'declared_upload'),
    replyReserveMs: new Float64Array(sentAtMs.length),
    dueAtMs,
    latestFinishAtMs: dueAtMs,
    replyEndAtMs: (_, finishedAtMs) => finishedAtMs,
  };
}

/** What the serving code makes of each request as it comes in; it learns of its clients on the way. */
function measured(columns: Columns, network: AppliedNetwork, propagationMs: Float64Array, seed: number): Budgets {
  const { sentAtMs, receivedAtMs, sloMs, bytes, client } = columns;
  const { traces, replyBytes, clocks } = network;
  const count = sentAtMs.length;
  const stampOf = clocks === null ? null : clientClocks(clocks, seed);
  const peers = new PeerNetwork();
  const networkDelayMs = new Float64Array(count);
  const networkDelaySources: NetworkDelaySource[] = [];
  const replyReserveMs = new Float64Array(count);
  const dueAtMs = new Float64Array(count);

  for (let i = 0; i < count; i++) {
    const peer = String(client[i]!);
    const firstByteAtMs = sentAtMs[i]! + propagationMs[i]!;
    const stamp = stampOf?.(client[i]!, sentAtMs[i]!);
    const sendStampDelayMs = stamp === undefined ? undefined : peers.sendStampDelayMs(peer, stamp, receivedAtMs[i]!);
    const budget = resolveBudget({
      firstByteAtMs,
      receivedAtMs: receivedAtMs[i]!,
      statedBudgetsMs: [sloMs[i]!],
      defaultSloMs: sloMs[i]!,
      ...(sendStampDelayMs === undefined ? {} : { sendStampDelayMs }),
      expectedReplyMs: peers.expectedReplyMs(peer, replyBytes),
    });
    peers.observeTransfer(peer, bytes[i]!, receivedAtMs[i]! - firstByteAtMs);
    networkDelayMs[i] = budget.networkDelayMs;
    networkDelaySources.push(budget.networkDelaySource);
    replyReserveMs[i] = budget.replyReserveMs;
    dueAtMs[i] = budget.dueAtMs;
  }

  const linkOf = (index: number): BandwidthTrace => traces[client[index]!]!;
  return {
    networkDelayMs,
    networkDelaySources,
    replyReserveMs,
    dueAtMs,
    latestFinishAtMs: sentAtMs.map((atMs, i) =>
      linkOf(i).latestStartAtMs(atMs + sloMs[i]! - propagationMs[i]!, replyBytes),
    ),
    replyEndAtMs: (i, finishedAtMs) => linkOf(i).transferEndAtMs(finishedAtMs, replyBytes) + propagationMs[i]!,
  };
}

/** What a client's clock says at an instant of true time. */
export function clientClocks(
  { offsetMs, driftPpm }: ClientClocks,
  seed: number,
): (client: number, atMs: number) => number {
  const known = new Map<number, { readonly offsetMs: number; readonly rate: number }>();
  return (client, atMs) => {
    let clock = known.get(client);
    if (clock === undefined) {
      const prng = stream(seed, `clock of client ${client}`);
      clock = { offsetMs: draw(offsetMs, prng), rate: 1 + draw(driftPpm, prng) / 1e6 };
      known.set(client, clock);
    }
    return clock.offsetMs + clock.rate * atMs;
  };
}

// ---- the clients -----------------------------------------------------------------------------------------------------

function drawClients(count: number, clientCount: number, prng: Prng): Int32Array {
  return Int32Array.from({ length: count }, () => (clientCount === 1 ? 0 : prng.int(clientCount)));
}

function drawPropagation(network: NetworkSpec, count: number, prng: Prng): Float64Array {
  const range = network.mode === 'applied' ? network.propagationMs : 0;
  return Float64Array.from({ length: count }, () => draw(range, prng));
}

function drawPayloads(
  payloads: readonly PayloadSpec[],
  count: number,
  prng: Prng,
): { readonly bytes: Float64Array; readonly sloMs: Float64Array } {
  const totalWeight = payloads.reduce((sum, { weight }) => sum + weight, 0);
  const bytes = new Float64Array(count);
  const sloMs = new Float64Array(count);
  for (let i = 0; i < count; i++) {
    let left = payloads.length === 1 ? 0 : prng.uniform() * totalWeight;
    const payload = payloads.find(({ weight }) => (left -= weight) < 0) ?? payloads.at(-1)!;
    bytes[i] = Math.round(draw(payload.bytes, prng));
    sloMs[i] = draw(payload.sloMs, prng);
  }
  return { bytes, sloMs };
}

function drawLeaving({ sentAtMs, sloMs }: Columns, fraction: number, prng: Prng): Float64Array {
  if (fraction === 0) return new Float64Array(sentAtMs.length).fill(Infinity);
  return sentAtMs.map((atMs, i) => (prng.uniform() < fraction ? atMs + prng.uniform() * sloMs[i]! : Infinity));
}

export function draw(range: Range, prng: Prng): number {
  return typeof range === 'number' ? range : range[0] + prng.uniform() * (range[1] - range[0]);
}
