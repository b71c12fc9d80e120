/*
 * `GET /v2/sponge/report`: how much room there is for one more request. Once, as JSON; or, to who accepts `text/event-stream`, one after
 * another for as long as it is read, each an event of its own. What a reader has not taken yet is not added to: a report is of now, and the
 * next one says all that the one before did.
 *
 * `GET /v2/sponge/demand`: what was asked of each model, for whoever decides how many servers there are.
 */
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import {
  LEAST_REPORT_INTERVAL_MS,
  MOST_REPORT_INTERVAL_MS,
  USUAL_REPORT_INTERVAL_MS,
  type ReportSource,
} from '../../../protocol/reports.js';
import { OipFailure } from '../../../protocol/service.js';
import type { RestContext } from './context.js';

export const REPORT_PATH = '/v2/sponge/report';
export const DEMAND_PATH = '/v2/sponge/demand';

/** Of a reader that is gone without a word. */
const PROBE_MS = 15_000;

interface ReportQuery {
  readonly interval_ms?: string;
  readonly picker?: string;
}

export function registerReports(app: FastifyInstance, { service }: RestContext): void {
  app.get(DEMAND_PATH, async (_, reply) => {
    const { reports } = service;
    if (reports === undefined) throw new OipFailure('unsupported', 'this server makes no reports');
    return reply
      .header('cache-control', 'no-store')
      .type('application/json')
      .send(await reports.demand());
  });
  app.get<{ Querystring: ReportQuery }>(REPORT_PATH, async (request, reply) => {
    const { reports } = service;
    if (reports === undefined) throw new OipFailure('unsupported', 'this server makes no reports');
    const intervalMs = intervalOf(request.query);
    const picker = pickerOf(request.query);
    if (!isStreamAsked(request)) {
      const json = await reports.now();
      return reply.header('cache-control', 'no-store').type('application/json').send(json);
    }
    await stream(reports, { picker, intervalMs }, request, reply);
    return reply;
  });
}

async function stream(
  reports: ReportSource,
  { picker, intervalMs }: { readonly picker: string | null; readonly intervalMs: number },
  request: FastifyRequest,
  reply: FastifyReply,
): Promise<void> {
  const { raw } = reply;
  const end = await reports.follow({
    picker,
    intervalMs,
    take: (json) => raw.write(`data: ${json}\n\n`),
    isReady: () => !raw.writableNeedDrain,
    end: () => raw.end(),
  });
  if (end === null) throw new OipFailure('unavailable', 'as many read the reports as may; end one of them');
  reply.hijack();
  // Its reader may have left while another thread was asked.
  if (raw.destroyed) end();
  raw.once('close', end);
  // Never one of several on a connection: what is behind it would wait for ever.
  raw.writeHead(200, {
    'content-type': 'text/event-stream; charset=utf-8',
    'cache-control': 'no-store',
    'x-content-type-options': 'nosniff',
    connection: 'close',
  });
  request.raw.socket.setNoDelay(true).setKeepAlive(true, PROBE_MS);
  raw.flushHeaders();
}

function isStreamAsked({ method, headers }: FastifyRequest): boolean {
  return method === 'GET' && (headers.accept ?? '').includes('text/event-stream');
}

function intervalOf({ interval_ms: text }: ReportQuery): number {
  if (text === undefined) return USUAL_REPORT_INTERVAL_MS;
  const intervalMs = /^\d{1,4}$/.test(text) ? Number(text) : Number.NaN;
  if (intervalMs >= LEAST_REPORT_INTERVAL_MS && intervalMs <= MOST_REPORT_INTERVAL_MS) return intervalMs;
  throw new OipFailure(
    'invalid',
    `interval_ms: expected an integer from ${LEAST_REPORT_INTERVAL_MS} to ${MOST_REPORT_INTERVAL_MS}`,
  );
}

function pickerOf({ picker }: ReportQuery): string | null {
  if (picker === undefined) return null;
  if (/^[\w-]{1,32}$/.test(picker)) return picker;
  throw new OipFailure('invalid', 'picker: expected 1 to 32 letters, digits, _ and -');
}
