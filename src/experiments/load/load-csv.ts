import { outcomeAt } from './load-summary.js';
import type { LoadColumns } from './load-ledger.js';

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
  const lines = order.map((at) => {
    const reason = columns.reasons[columns.reason[at]!]!;
    const numbers = COLUMNS.map(([, name]) => cell(columns[name][at]!));
    return [columns.index[at], columns.client[at], outcomeAt(columns, at), quoted(reason), ...numbers].join(',');
  });
  return [
    ['request', 'client', 'outcome', 'reason', ...COLUMNS.map(([heading]) => heading)].join(','),
    ...lines,
    '',
  ].join('\n');
}

function cell(value: number): string {
  return Number.isNaN(value) ? '' : String(Math.round(value * 1000) / 1000);
}

/** RFC 4180. */
function quoted(text: string): string {
  return /[",\n\r]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}
