import { decodeText } from './decode.js';
import type { Answer } from './infer.js';

/*
 * What became of a request, for people: the text that was read, and the server's own account of how it was served, which
 * it sends along as response parameters named `sponge_*`.
 */

export interface Reply {
  readonly answer: Answer;
  readonly sloMs: number;
}

/** Several lines about one reply. */
export function describeReply(reply: Reply, characters: readonly string[]): string {
  const { answer, sloMs } = reply;
  if (answer.kind === 'refused') {
    return `Refused after ${answer.tookMs.toFixed(1)} ms: ${answer.message}`;
  }
  const { text, confidence } = decodeText(answer.values, characters);
  const { budgetMs, queueMs, slackMs, batchSize, cores, networkDelaySource } = account(answer.parameters);
  return `"${text}"   (confidence ${confidence.toFixed(2)})

  SLO          ${sloMs} ms
  budget       ${fixed(budgetMs, 1, ' ms')} of it left to queue and compute (network delay: ${networkDelaySource})
  queue time   ${fixed(queueMs, 1, ' ms')}
  batch        ${fixed(batchSize, 0)}
  allocation   ${fixed(cores, 2, ' cores')}
  slack        ${fixed(slackMs, 1, ' ms')} when its batch was started
  answered     ${answer.tookMs.toFixed(1)} ms after sending, ${isLate(reply) ? 'LATE' : 'on time'}`;
}

/** The heads above `replyRow`'s columns. */
export const COLUMNS = '    n  answered    budget     queue  batch  cores';

/** One line about one reply of many, made while others are on their way. @param number from 1, in the order of sending */
export function replyRow(number: number, reply: Reply): string {
  const { answer } = reply;
  const start = `${String(number).padStart(5)} ${answer.tookMs.toFixed(1).padStart(9)}`;
  if (answer.kind === 'refused') return `${start}  ${answer.message}`;
  const { budgetMs, queueMs, batchSize, cores } = account(answer.parameters);
  const cells = [
    fixed(budgetMs, 1).padStart(9),
    fixed(queueMs, 1).padStart(9),
    fixed(batchSize, 0).padStart(6),
    fixed(cores, 2).padStart(6),
  ];
  return `${start} ${cells.join(' ')}${isLate(reply) ? '  LATE' : ''}`;
}

/** What became of all of them, and every text that was read. */
export function describeReplies(replies: readonly Reply[], characters: readonly string[]): string {
  const answered = replies.filter(({ answer }) => answer.kind === 'answered');
  const lateCount = answered.filter(isLate).length;
  const answers = answered.flatMap(({ answer }) => (answer.kind === 'answered' ? [answer] : []));
  const timesRead = new Map<string, number>();
  for (const { values } of answers) {
    const { text } = decodeText(values, characters);
    timesRead.set(text, (timesRead.get(text) ?? 0) + 1);
  }
  const accounts = answers.map(({ parameters }) => account(parameters));
  const batchSizes = accounts.map(({ batchSize }) => batchSize);
  const cores = accounts.map((served) => served.cores);
  return [
    `${answered.length - lateCount} on time, ${lateCount} late, ${replies.length - answered.length} refused; ` +
      `batches of ${range(batchSizes, 0)}, ${range(cores, 2)} cores`,
    ...[...timesRead].map(([text, times]) => `read ${times} times: "${text}"`),
  ].join('\n');
}

/** The server's account of one request in the units that people read; undefined where it says nothing. */
function account(parameters: Readonly<Record<string, unknown>>) {
  const number = (name: string, divisor: number): number | undefined => {
    const value = parameters[name];
    return typeof value === 'number' ? value / divisor : undefined;
  };
  const source = parameters['sponge_network_delay_source'];
  return {
    budgetMs: number('sponge_budget_us', 1000),
    queueMs: number('sponge_queue_us', 1000),
    slackMs: number('sponge_slack_us', 1000),
    batchSize: number('sponge_batch', 1),
    cores: number('sponge_allocation_millicores', 1000),
    networkDelaySource: typeof source === 'string' ? source : 'not said',
  };
}

/** The server says so, or the answer took longer than the SLO as seen from here. */
function isLate({ answer, sloMs }: Reply): boolean {
  return answer.tookMs > sloMs || (answer.kind === 'answered' && answer.parameters['sponge_late'] === true);
}

function fixed(value: number | undefined, digits: number, unit = ''): string {
  return value === undefined ? '-' : `${value.toFixed(digits)}${unit}`;
}

function range(values: readonly (number | undefined)[], digits: number): string {
  const known = values.filter((value) => value !== undefined);
  return known.length === 0 ? '-' : `${Math.min(...known).toFixed(digits)} … ${Math.max(...known).toFixed(digits)}`;
}
