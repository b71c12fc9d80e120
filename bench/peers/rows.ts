import type { Scope } from '../harness/bench.js';
import { closedLoop, openLoop, settled, type OpenLoop, type Arrivals, type ClosedLoop } from './drive.js';
import type { Environments } from './environment.js';
import { PROTOCOLS, type PeerName, type ProtocolName, type RunningPeer } from './peers.js';

/* What is measured. All peers are up at the same time, and asked in turn: what disturbs one meets the others too. */

export const ROWS = [
  'tiny-latency',
  'tiny-throughput',
  'image',
  'capacity-250',
  'capacity-1000',
  'cpu',
  'bursts',
  'bursts-1000',
  'uplinks',
  'mixed',
] as const;
export type RowName = (typeof ROWS)[number];

/** Which model a row is about. */
export const MODEL_OF = {
  'tiny-latency': 'tiny',
  'tiny-throughput': 'tiny',
  image: 'image',
  'capacity-250': 'resnet18',
  'capacity-1000': 'resnet18',
  cpu: 'resnet18',
  bursts: 'resnet18',
  'bursts-1000': 'resnet18',
  uplinks: 'resnet18',
  mixed: 'resnet18',
} as const satisfies Record<RowName, string>;

/** One line of the table. */
export interface Measure {
  readonly row: RowName;
  readonly what: string;
  readonly unit: string;
  readonly isLessBetter: boolean;
  /** One value a round. */
  readonly values: Readonly<Partial<Record<PeerName, readonly number[]>>>;
}

export interface Setting {
  readonly scope: Scope;
  readonly environments: Environments;
  readonly peers: readonly RunningPeer[];
  /** Of a point; those with a closed loop share it among their rounds. */
  readonly seconds: number;
  /** Of two bare runs, one on each core; requests/s. */
  readonly capacityPerSec: number;
}

const ROUNDS = 3;
const MANY_CLIENTS = 32;
const MOST_MISSED = 0.01;
/** × capacity. */
const FRACTIONS = Array.from({ length: 11 }, (_, i) => (i + 1) / 10);
const SHARE = 0.7;
const FEW_PER_SEC = 5;
/** Of those that are compared at a rate that all can take. */
const EASY_SLO_MS = 1000;
const TIGHT_SLO_MS = 250;
/** × capacity. */
const TOO_MUCH = 1.1;

export async function measureRow(row: RowName, setting: Setting): Promise<readonly Measure[]> {
  return (await linesOf(row, setting)).map((line) => ({ row, ...line }));
}

type Line = Omit<Measure, 'row'>;

async function linesOf(row: RowName, setting: Setting): Promise<readonly Line[]> {
  switch (row) {
    case 'tiny-latency':
      return latencies(setting, 'tiny model, one client', PROTOCOLS, false);
    case 'tiny-throughput':
      return throughputs(setting);
    case 'image':
      return latencies(setting, '602 KB to a model that does nothing', ['binary', 'gRPC'], true);
    case 'capacity-250':
      return [await capacity(setting, 250)];
    case 'capacity-1000':
      return [await capacity(setting, 1000)];
    case 'cpu':
      return cpu(setting);
    case 'bursts':
      return [await bursts(setting, TIGHT_SLO_MS)];
    case 'bursts-1000':
      return [await bursts(setting, EASY_SLO_MS)];
    case 'uplinks':
      return [await overload(setting, 'uplinks', '4G-like uplinks')];
    case 'mixed':
      return [await overload(setting, 'mixed', 'SLOs of 250 to 2000 ms mixed')];
  }
}

/** Who collects its batch from several clients has them in one row alone. */
function unbatched(peers: readonly RunningPeer[]): readonly RunningPeer[] {
  return peers.filter(({ name }) => name !== 'mosec-batched');
}

async function latencies(
  setting: Setting,
  what: string,
  protocols: readonly ProtocolName[],
  hasCpu: boolean,
): Promise<readonly Line[]> {
  const measures: Line[] = [];
  for (const protocol of protocols) {
    const found = await closedLoops(setting, unbatched(setting.peers), protocol, 1);
    const line = (name: string, of: (result: ClosedLoop) => number): Line => {
      return measure(`${what}, ${protocol}, ${name}`, 'ms', true, found, of);
    };
    measures.push(
      line('p50', ({ p50Ms }) => p50Ms),
      line('p99', ({ p99Ms }) => p99Ms),
    );
    if (hasCpu) measures.push(line('CPU a request', ({ cpuMsEach }) => cpuMsEach));
  }
  return measures;
}

async function throughputs(setting: Setting): Promise<readonly Line[]> {
  const measures: Line[] = [];
  for (const protocol of PROTOCOLS) {
    const found = await closedLoops(setting, setting.peers, protocol, MANY_CLIENTS);
    const what = `tiny model, ${MANY_CLIENTS} clients, ${protocol}`;
    measures.push(measure(what, 'requests/s', false, found, ({ perSec }) => perSec));
  }
  return measures;
}

async function closedLoops(
  { scope, seconds }: Setting,
  peers: readonly RunningPeer[],
  protocol: ProtocolName,
  clientCount: number,
): Promise<ReadonlyMap<PeerName, readonly ClosedLoop[]>> {
  const roundSeconds = Math.max(1, seconds / ROUNDS);
  const found = await inTurn(peers, ROUNDS + 1, async (peer) => {
    const endpoint = peer.endpoints[protocol];
    return endpoint === undefined ? null : closedLoop(scope, peer, endpoint, clientCount, roundSeconds);
  });
  // The first round warms up.
  return new Map([...found].map(([name, results]) => [name, results.slice(1)]));
}

/** The highest rate at which at most one in a hundred is missed, to a tenth of the capacity: by halving, each peer on its own. */
async function capacity(setting: Setting, sloMs: number): Promise<Line> {
  const peers = unbatched(setting.peers);
  // How many of the fractions are known to go well, and from which on none does.
  const known = new Map(peers.map(({ name }) => [name, { good: 0, bad: FRACTIONS.length }]));
  for (let isOpen = true; isOpen;) {
    isOpen = false;
    for (const peer of peers) {
      const bounds = known.get(peer.name)!;
      if (bounds.good === bounds.bad) continue;
      const middle = Math.floor((bounds.good + bounds.bad) / 2);
      const { sent, inTime } = await ask(setting, peer, FRACTIONS[middle]! * setting.capacityPerSec, { sloMs });
      if (sent - inTime <= MOST_MISSED * sent) bounds.good = middle + 1;
      else bounds.bad = middle;
      isOpen ||= bounds.good < bounds.bad;
    }
  }
  const values = Object.fromEntries([...known].map(([name, { good }]) => [name, [FRACTIONS[good - 1] ?? 0]]));
  return {
    what: `ResNet-18, SLO ${sloMs} ms, highest rate with at most 1 % missed`,
    unit: '× capacity',
    isLessBetter: false,
    values,
  };
}

async function cpu(setting: Setting): Promise<readonly Line[]> {
  const at = async (perSec: number, what: string): Promise<Line> => {
    const found = await inTurn(unbatched(setting.peers), 1, (peer) =>
      ask(setting, peer, perSec, { sloMs: EASY_SLO_MS }),
    );
    return measure(`ResNet-18, CPU an answer in time at ${what}`, 'ms', true, found, ({ cpuMsEach }) => cpuMsEach);
  };
  return [
    await at(SHARE * setting.capacityPerSec, `${SHARE} of capacity`),
    await at(FEW_PER_SEC, `${FEW_PER_SEC} requests/s`),
  ];
}

function bursts(setting: Setting, sloMs: number): Promise<Line> {
  return inTime(setting, SHARE, { sloMs, shape: 'bursts' }, `bursts at ${SHARE} of capacity, SLO ${sloMs} ms`);
}

function overload(setting: Setting, shape: Arrivals['shape'], name: string): Promise<Line> {
  const slo = shape === 'mixed' ? '' : `, SLO ${EASY_SLO_MS} ms`;
  return inTime(setting, TOO_MUCH, { sloMs: EASY_SLO_MS, shape }, `${name} at ${TOO_MUCH} of capacity${slo}`);
}

async function inTime(
  setting: Setting,
  share: number,
  arrivals: Pick<Arrivals, 'sloMs' | 'shape'>,
  name: string,
): Promise<Line> {
  const found = await inTurn(unbatched(setting.peers), 1, (peer) => {
    return ask(setting, peer, share * setting.capacityPerSec, arrivals);
  });
  return measure(`ResNet-18, ${name}, in time`, '%', false, found, (result) => (100 * result.inTime) / result.sent);
}

async function ask(
  { scope, environments, seconds, peers }: Setting,
  peer: RunningPeer,
  perSec: number,
  { sloMs, shape = 'steady' }: Pick<Arrivals, 'sloMs'> & Partial<Arrivals>,
): Promise<OpenLoop> {
  await settled(peers);
  const arrivals = { perSec, seconds, sloMs, shape, seed: 1 };
  // KServe makes a list of Python's numbers of every binary tensor that comes over REST, 36 ms for an image: over gRPC it does not.
  const protocol = peer.name === 'kserve' ? 'gRPC' : 'binary';
  return openLoop(scope, environments, peer, peer.endpoints[protocol]!, arrivals);
}

/** Each once, then each again in the opposite order. @param act null for who has no such thing */
async function inTurn<Result>(
  peers: readonly RunningPeer[],
  rounds: number,
  act: (peer: RunningPeer) => Promise<Result | null>,
): Promise<ReadonlyMap<PeerName, readonly Result[]>> {
  const found = new Map<PeerName, Result[]>();
  for (let round = 0; round < rounds; round++) {
    for (const peer of round % 2 === 0 ? peers : [...peers].reverse()) {
      const result = await act(peer);
      if (result !== null) found.set(peer.name, [...(found.get(peer.name) ?? []), result]);
    }
  }
  return found;
}

function measure<Result>(
  what: string,
  unit: string,
  isLessBetter: boolean,
  found: ReadonlyMap<PeerName, readonly Result[]>,
  of: (result: Result) => number,
): Line {
  return {
    what,
    unit,
    isLessBetter,
    values: Object.fromEntries([...found].map(([name, results]) => [name, results.map(of)])),
  };
}
