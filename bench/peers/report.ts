import { format } from 'prettier';
import { machineLines, type Machine } from '../harness/machine.js';
import { numberText } from '../harness/row.js';
import { median } from '../harness/statistics.js';
import { PEERS, type PeerName } from './peers.js';
import { ROWS, type Measure, type RowName } from './rows.js';

/* The page that `npm run bench -- peers` writes. */

/** What one command has measured; kept as JSON where it is asked for. */
export interface PeersRun {
  readonly machine: Machine;
  /** 1, 5 and 15 minutes, when all was measured. */
  readonly loadAfter: readonly number[];
  /** To type to have it again. */
  readonly command: string;
  readonly peers: readonly PeerName[];
  /** By environment, what was installed. */
  readonly versions: Readonly<Record<string, string>>;
  /** Who could not be had, and why. */
  readonly missing: Readonly<Record<string, string>>;
  readonly capacity: { readonly perSec: number; readonly cpuMs: number } | null;
  readonly measures: readonly Measure[];
}

const INTRODUCTION = `# Beside what people would use instead

Written by \`npm run bench -- peers\`, which installs the others from PyPI into a virtual environment that it throws away afterwards, and
starts them and Sponge side by side with the same ONNX files. All are up at the same time and are asked in turn.`;

const METHOD = `## How

- **Clients** are nobody's of these. Latency and throughput: nghttp2's \`h2load\`, in a closed loop, over HTTP/1.1 and for gRPC over HTTP/2. ResNet-18:
  a small client in Python (\`bench/peers/client.py\`), in an open loop with Poisson arrivals, which gives up each request at its deadline
  and counts from when a request was due; binary over REST, for KServe over gRPC.
- **Instances**: as many as cores, each with a session of ONNX Runtime on one thread. mosec: a worker process each. KServe: a thread each, of one
  process. Triton: an instance of its Python backend each, on the server that the package \`nvidia-pytriton\` brings, without PyTriton's own proxy. Sponge: \`sponge serve model.onnx --no-refine\`, which chooses instances and cores by itself.
- **Capacity** is what a bare run does on each core at the same time, in requests a second of both together.
- **CPU** is user and system time of all processes of a server (\`/proc\`), without the client's.
- **Bursts**: one second in four has 2.5 times the mean rate, the others half of it. **4G-like uplinks**: each body of 602 KB comes in pieces at a bandwidth of its own, log-normal with a mean of 3.45 MB/s and a coefficient of
  variation of 0.375, and the SLO counts from its first byte. **Mixed**: 250, 500, 1000 and 2000 ms, equally often; of those who leave at their deadline only the answers that came before it count.
- A cell is the median of its rounds, three in a closed loop after one that warms up, with the least and the most; one run where there is no range. Bold is the best of its row.`;

const UNFAIR = `## What is unfair about it

- Clients, servers and models share the cores of one small machine: a server that takes less CPU leaves the client more.
- mosec's request is numbers alone and its answer too, without names, types, shapes, ids or checks: less to read and write than the protocol that the other three speak. It has no
  gRPC.
- KServe and Triton run Python in their path, as their users do who bring their own pre- and postprocessing; Triton's own ONNX Runtime backend, in C++, is not in that package, and would be faster.
- KServe's server makes a list of Python's numbers of every binary tensor that comes over REST: that is its row of 602 KB. With ResNet-18 it is asked over gRPC, which costs the client more.
- \`mosec-batched\` collects up to 32 requests for at most 1 ms; a model that does nothing gains from that as no real one does. It is in the row of throughput alone.
- Only Sponge is told each request's deadline (\`request-timeout-ms\`), since only Sponge asks; the others get the header, which says nothing to them. It also decides how much CPU each instance is given; the others have all there is.
- No row shows what Sponge is made for, which is CPU *granted*: the others hold all cores all the time.
- Each point is short: a tenth of capacity, or a p99 of some hundred requests, is within its noise.`;

/** @param runs the latest last: of a row that several have measured, only that one's numbers are shown */
export async function peersPage(runs: readonly PeersRun[]): Promise<string> {
  const measures = ROWS.flatMap(
    (row) => runs.findLast((run) => hasRow(run, row))?.measures.filter((each) => each.row === row) ?? [],
  );
  const peers = PEERS.filter((peer) => runs.some((run) => run.peers.includes(peer)));
  const merged = (of: (run: PeersRun) => Readonly<Record<string, string>>): [string, string][] =>
    Object.entries(Object.assign({}, ...runs.map(of)) as Record<string, string>);
  const sections = [
    INTRODUCTION,
    ...runs.map(originText),
    merged(({ versions }) => versions)
      .map(([name, version]) => `- ${name}: ${version}`)
      .join('\n'),
    merged(({ missing }) => missing)
      .map(([name, why]) => `- ${name} is left out: ${why}`)
      .join('\n'),
    tableText(peers, measures),
    '## Where Sponge loses',
    lossesText(peers, measures),
    METHOD,
    UNFAIR,
  ];
  return format(sections.filter((section) => section !== '').join('\n\n'), { parser: 'markdown', printWidth: 120 });
}

function hasRow({ measures }: PeersRun, row: RowName): boolean {
  return measures.some((each) => each.row === row);
}

function originText({ command, machine, loadAfter, capacity }: PeersRun): string {
  const lines = [command, machineLines(machine), `load average afterwards ${loadAfter.join(' ')}`];
  if (capacity !== null)
    lines.push(`capacity ${numberText(capacity.perSec)} requests/s, ${numberText(capacity.cpuMs)} ms of CPU each`);
  return `\`\`\`\n${lines.join('\n')}\n\`\`\``;
}

function tableText(peers: readonly PeerName[], measures: readonly Measure[]): string {
  const head = `| | unit | ${peers.join(' | ')} |\n|---|---|${peers.map(() => '---').join('|')}|`;
  const lines = measures.map((measure) => {
    const best = bestOf(measure, peers);
    const cells = peers.map((peer) => {
      const values = measure.values[peer];
      if (values === undefined) return '–';
      const text = numberText(median(values));
      const range =
        values.length === 1 ? '' : ` (${numberText(Math.min(...values))}–${numberText(Math.max(...values))})`;
      return median(values) === best ? `**${text}**${range}` : `${text}${range}`;
    });
    return `| ${measure.what} | ${measure.unit} | ${cells.join(' | ')} |`;
  });
  return [head, ...lines].join('\n');
}

function lossesText(peers: readonly PeerName[], measures: readonly Measure[]): string {
  const others = peers.filter((peer) => peer !== 'sponge');
  const lines = measures.flatMap((measure) => {
    const values = measure.values.sponge;
    const best = bestOf(measure, others);
    if (values === undefined || best === null) return [];
    const ours = median(values);
    const isLost = measure.isLessBetter ? ours > best : ours < best;
    if (!isLost) return [];
    const winner = others.find((peer) => medianOf(measure, peer) === best)!;
    return [`- ${measure.what}: ${numberText(ours)} ${measure.unit}, ${winner} ${numberText(best)}`];
  });
  return lines.length === 0 ? 'In none of these rows.' : lines.join('\n');
}

function medianOf({ values }: Measure, peer: PeerName): number | null {
  const found = values[peer];
  return found === undefined ? null : median(found);
}

/** Null where nobody was measured. */
function bestOf(measure: Measure, peers: readonly PeerName[]): number | null {
  const medians = peers.map((peer) => medianOf(measure, peer)).filter((each) => each !== null);
  if (medians.length === 0) return null;
  return measure.isLessBetter ? Math.min(...medians) : Math.max(...medians);
}
