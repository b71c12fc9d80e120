import { csvText, type CsvValue } from './csv-text.js';
import { outcomeAt } from '../load/load-summary.js';
import type { LoadColumns } from '../load/load-ledger.js';

/* A line for every request of a load. */

const COLUMNS = [
  ['sent_at_ms', 'sentAtMs'],
  ['slo_ms', 'sloMs'],
  ['latency_ms', 'latencyMs'],
  ['send_late_ms', 'sendLateMs'],
  ['upload_ms', 'uploadMs'],
  ['upload_late_ms', 'uploadLateMs'],
  ['server_budget_ms', 'budgetMs'],
  ['server_network_delay_ms', 'networkDelayMs'],
  ['server_queue_ms', 'queuedMs'],
  ['server_worker_ms', 'workerMs'],
  ['batch_size', 'batchSize'],
  ['cpu_millicores', 'cpuMillicores'],
] as const;

/** By send instant. What is not known is empty. */
export function loadCsv(columns: LoadColumns): string {
  const order = [...columns.index.keys()].sort((a, b) => columns.sentAtMs[a]! - columns.sentAtMs[b]!);
  const rows = order.map((at): CsvValue[] => [
    columns.index[at]!,
    columns.client[at]!,
    outcomeAt(columns, at),
    columns.reasons[columns.reason[at]!]!,
    ...COLUMNS.map(([, name]) => knownOrNull(columns[name][at]!)),
  ]);
  return csvText(['request', 'client', 'outcome', 'reason', ...COLUMNS.map(([heading]) => heading)], rows);
}

function knownOrNull(value: number): number | null {
  return Number.isNaN(value) ? null : Math.round(value * 1000) / 1000;
}
