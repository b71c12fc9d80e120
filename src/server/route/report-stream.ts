import http from 'node:http';
import type { PodReport } from '../../scheduler/domain/pod-report.js';
import type { PodContact } from '../../route/pod.js';
import { parseReport } from './report-schema.js';

/*
 * Reads the reports of one pod for as long as it is one. Where they end it tries again, sooner at first; that is how a pod that was lost
 * is found again, and it costs a connection attempt every two seconds at most.
 */

const CONNECT_TIMEOUT_MS = 1000;
/** Heartbeats come twice a second. */
const SILENCE_MS = 2000;
const FIRST_RETRY_MS = 50;
const MOST_RETRY_MS = 2000;
const MAX_REPORT_CHARACTERS = 4 << 20;

export interface ReportStreamOptions {
  /** `address:port`, where the pod speaks REST. */
  readonly pod: string;
  readonly picker: string;
  readonly intervalMs: () => number;
  /** Shown to pods that ask for one; null: none. */
  readonly token: string | null;
  onReport(report: PodReport): void;
  onContact(contact: Exclude<PodContact, 'reporting'>, why: string): void;
}

/** @returns ends it */
export function readReports(options: ReportStreamOptions): () => void {
  let isOver = false;
  let retryMs = FIRST_RETRY_MS;
  let request: http.ClientRequest | null = null;
  let timer: NodeJS.Timeout | undefined;

  const again = (contact: Exclude<PodContact, 'reporting'>, why: string): void => {
    if (isOver) return;
    request?.destroy();
    request = null;
    options.onContact(contact, why);
    clearTimeout(timer);
    // Not all pickers at once at a pod that comes back.
    timer = setTimeout(connect, retryMs * (0.75 + 0.5 * Math.random()));
    retryMs = Math.min(MOST_RETRY_MS, 2 * retryMs);
  };
  const connect = (): void => {
    const own = http.get(
      {
        ...hostAndPort(options.pod),
        path: `/v2/sponge/report?interval_ms=${options.intervalMs()}&picker=${options.picker}`,
        headers: {
          accept: 'text/event-stream',
          ...(options.token === null ? {} : { authorization: `Bearer ${options.token}` }),
        },
        agent: false,
        timeout: CONNECT_TIMEOUT_MS,
      },
      (response) => {
        if (response.statusCode !== 200) {
          if (own === request) again('silent', `its report is answered with ${response.statusCode ?? 0}`);
          return;
        }
        own.setTimeout(SILENCE_MS);
        let text = '';
        response.setEncoding('utf8');
        response.on('data', (chunk: string) => {
          text += chunk;
          for (let end = text.indexOf('\n\n'); end !== -1; end = text.indexOf('\n\n')) {
            const event = text.slice(0, end);
            text = text.slice(end + 2);
            const report = event.startsWith('data: ') ? parseReport(event.slice('data: '.length)) : null;
            if (report === null) {
              if (own === request) again('silent', 'what it reports is no report of this version');
              return;
            }
            retryMs = FIRST_RETRY_MS;
            if (own === request) options.onReport(report);
          }
          if (text.length > MAX_REPORT_CHARACTERS && own === request) again('silent', 'its report is too large');
        });
        const ended = (): void => {
          if (own === request) again('lost', 'its reports ended');
        };
        response.once('end', ended);
        response.once('error', ended);
        response.once('close', ended);
      },
    );
    request = own;
    own.on('timeout', () => {
      // Something may listen there, and be busy.
      if (own === request) again('silent', 'its reports stopped');
    });
    own.on('error', (error: NodeJS.ErrnoException) => {
      if (own === request) again('lost', error.code ?? error.message);
    });
  };
  connect();
  return () => {
    isOver = true;
    clearTimeout(timer);
    request?.destroy();
    request = null;
  };
}

/** IPv6 addresses are in brackets. */
function hostAndPort(pod: string): { readonly host: string; readonly port: number } {
  const colon = pod.lastIndexOf(':');
  return { host: pod.slice(0, colon).replace(/^\[(.*)\]$/, '$1'), port: Number(pod.slice(colon + 1)) };
}
