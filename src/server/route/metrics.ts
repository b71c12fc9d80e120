import http from 'node:http';
import type { AddressInfo } from 'node:net';
import type { Picker } from '../../route/picker.js';
import type { PodContact } from '../../route/pod.js';
import type { Pick } from '../../route/request.js';
import { CONTENT_TYPE, Exposition } from '../telemetry/exposition.js';
import { makeRoom } from '../telemetry/room-for-more.js';

/* What a picker did, for Prometheus, and what it believes, for people: `GET /metrics` and `GET /pods`. Labels are of bounded number. */

const PICK_BUCKETS_S = [0.00001, 0.00002, 0.00005, 0.0001, 0.0002, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.05];
/** Pods with series of their own; the others are counted together. */
const MOST_LABELLED_PODS = 256;
const MAX_CONNECTIONS = 64;
const MAX_HEADER_BYTES = 8 * 1024;
const REQUEST_TIMEOUT_MS = 5000;
const CONTACTS: readonly PodContact[] = ['reporting', 'silent', 'lost'];

export class RouteMetrics {
  readonly #exposition = new Exposition();
  readonly #sent = this.#exposition.counter(
    'sponge_route_sent_total',
    'Requests sent to a pod, by pod and why it was chosen.',
    ['pod', 'reason'],
  );
  readonly #refused = this.#exposition.counter(
    'sponge_route_refused_total',
    'Requests that were refused because no pod could meet them, by the reason that clients are told.',
    ['reason'],
  );
  readonly #seconds = this.#exposition
    .histogram('sponge_route_pick_seconds', 'From a request’s head to the choice of its pod.', PICK_BUCKETS_S, [])
    .of({});
  readonly #pods = this.#exposition.gauge('sponge_route_pods', 'Pods by what is heard of them.', ['contact']);
  readonly #age = this.#exposition
    .gauge('sponge_route_oldest_report_seconds', 'Age of the oldest report, of pods that report.', [])
    .of({});
  readonly #labelled = new Set<string>();

  count(pick: Pick, tookMs: number): void {
    this.#seconds.observe(tookMs / 1000);
    if (pick.kind === 'refuse') this.#refused.of({ reason: pick.reason }).value += 1;
    else this.#sent.of({ pod: this.#labelOf(pick.pod), reason: pick.reason }).value += 1;
  }

  forget(pod: string): void {
    if (this.#labelled.delete(pod)) this.#exposition.remove({ pod });
  }

  render(nowMs: number, { pods }: Picker): string {
    const counts = new Map<PodContact, number>(CONTACTS.map((contact) => [contact, 0]));
    let oldestMs = 0;
    for (const pod of pods) {
      const contact = pod.contact(nowMs);
      counts.set(contact, counts.get(contact)! + 1);
      if (contact === 'reporting') oldestMs = Math.max(oldestMs, pod.reportAgeMs(nowMs));
    }
    for (const [contact, count] of counts) this.#pods.of({ contact }).value = count;
    this.#age.value = oldestMs / 1000;
    return this.#exposition.render();
  }

  #labelOf(pod: string): string {
    if (this.#labelled.has(pod)) return pod;
    if (this.#labelled.size >= MOST_LABELLED_PODS) return 'other';
    this.#labelled.add(pod);
    return pod;
  }
}

export interface RouteMetricsServerOptions {
  readonly host: string;
  readonly port: number;
  render(): string;
  /** Plain data. */
  pods(): unknown;
}

/** @throws Error of one line */
export function startRouteMetrics(
  options: RouteMetricsServerOptions,
): Promise<{ readonly port: number; close(): Promise<void> }> {
  const server = http.createServer(
    { maxHeaderSize: MAX_HEADER_BYTES, requestTimeout: REQUEST_TIMEOUT_MS, headersTimeout: REQUEST_TIMEOUT_MS },
    (request, response) => {
      const path = (request.url ?? '').split('?', 1)[0]!;
      if (request.method !== 'GET') send(response, 405, 'text/plain', 'only GET here\n');
      else if (path === '/metrics') send(response, 200, CONTENT_TYPE, options.render());
      else if (path === '/pods')
        send(response, 200, 'application/json', `${JSON.stringify(options.pods(), null, 2)}\n`);
      else send(response, 404, 'text/plain', 'not found: here are /metrics and /pods\n');
    },
  );
  makeRoom(server, MAX_CONNECTIONS);
  const { host, port } = options;
  return new Promise((resolve, reject) => {
    server.once('error', (error: NodeJS.ErrnoException) => {
      const remedy = error.code === 'EADDRINUSE' ? 'it is in use: choose another with --metrics-port' : error.message;
      reject(new Error(`cannot listen on ${host}:${port}: ${remedy}`, { cause: error }));
    });
    server.listen(port, host, () => {
      resolve({
        port: (server.address() as AddressInfo).port,
        close: () =>
          new Promise((closed) => {
            server.close(() => closed());
            server.closeAllConnections();
          }),
      });
    });
  });
}

function send(response: http.ServerResponse, status: number, contentType: string, body: string): void {
  response.writeHead(status, { 'Content-Type': contentType, 'Content-Length': Buffer.byteLength(body) });
  response.end(body);
}
