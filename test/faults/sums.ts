import { REASONS, type Reason } from '../../src/scheduler/domain/outcome.js';
import { Scrape } from '../system/server/clients.js';
import type { Ledger } from './ledger.js';

/*
 * The server's own sums against the ledger's, to the last request and by reason. A client that left, or whose connection broke,
 * knows no outcome: the server has one for it if it ever had the whole request, so it may have as many more, in all.
 */

export interface ServerSums {
  readonly completed: number;
  readonly byReason: ReadonlyMap<Reason, number>;
  /** Refusals before a model was asked; null where this server does not count them. */
  readonly edgeByReason: ReadonlyMap<string, number> | null;
  readonly queueDepth: number;
}

export async function readServerSums(metricsUrl: string): Promise<ServerSums> {
  const text = await (await fetch(metricsUrl)).text();
  const scrape = new Scrape(text);
  const sum = (name: string, labels: Readonly<Record<string, string>>): number =>
    scrape.names.has(name) ? scrape.sum(name, labels) : 0;
  const hasEdge = text.includes('# TYPE sponge_edge_refusals_total');
  const edgeReasons = new Set(
    [...text.matchAll(/^sponge_edge_refusals_total\{.*?reason="([^"]*)"/gm)].map((match) => match[1]!),
  );
  return {
    completed:
      sum('sponge_outcomes_total', { outcome: 'completed_on_time' }) +
      sum('sponge_outcomes_total', { outcome: 'completed_late' }),
    byReason: new Map(REASONS.map((reason) => [reason, sum('sponge_outcomes_total', { reason })])),
    edgeByReason: hasEdge
      ? new Map([...edgeReasons].map((reason) => [reason, sum('sponge_edge_refusals_total', { reason })]))
      : null,
    queueDepth: sum('sponge_queue_depth', {}),
  };
}

/** What was counted between two readings of one server. */
export function sumsBetween(before: ServerSums, after: ServerSums): ServerSums {
  const { edgeByReason } = after;
  return {
    completed: after.completed - before.completed,
    byReason: new Map([...after.byReason].map(([reason, n]) => [reason, n - (before.byReason.get(reason) ?? 0)])),
    edgeByReason:
      edgeByReason &&
      new Map([...edgeByReason].map(([reason, n]) => [reason, n - (before.edgeByReason?.get(reason) ?? 0)])),
    queueDepth: after.queueDepth,
  };
}

/** Empty where they agree; else a line for each sum that does not. */
export function differencesOf(ledger: Ledger, { completed, byReason, edgeByReason, queueDepth }: ServerSums): string[] {
  const differences: string[] = [];
  const untoldCount = ledger.left + ledger.brokenCount;
  let surplusCount = 0;
  const compare = (what: string, server: number, client: number): void => {
    const surplus = server - client;
    if (surplus < 0 || surplus > untoldCount) {
      differences.push(`${what}: the server counts ${server}, its clients ${client}`);
    } else surplusCount += surplus;
  };
  compare('completed', completed, ledger.right);
  for (const reason of REASONS) {
    const seen = ledger.refused.get(reason) ?? 0;
    // Refused at the edge, and no metric for it yet: known by their message alone.
    const unseen = edgeByReason === null && reason === 'queue_full' ? ledger.refusedAtEdge : 0;
    compare(reason, (byReason.get(reason) ?? 0) + (edgeByReason?.get(reason) ?? 0), seen - unseen);
  }
  if (surplusCount > untoldCount) {
    differences.push(`the server counts ${surplusCount} requests that no client was told of, but ${untoldCount} were`);
  }
  if (queueDepth !== 0) differences.push(`${queueDepth} requests are still queued`);
  return differences;
}
