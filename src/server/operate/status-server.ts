import http from 'node:http';
import type { AddressInfo } from 'node:net';
import { CONTENT_TYPE, Exposition } from '../telemetry/exposition.js';
import { makeRoom } from '../telemetry/room-for-more.js';
import type { Operator } from './operator.js';

/* What the controller does, for people (`/status`), Prometheus (`/metrics`) and the kubelet (`/healthz`, `/readyz`). Nothing can be changed here. */

const MAX_CONNECTIONS = 64;
const MAX_HEADER_BYTES = 8 * 1024;
const REQUEST_TIMEOUT_MS = 5000;

class OperateMetrics {
  readonly #exposition = new Exposition();
  readonly #leader = this.#exposition.gauge('sponge_operate_leader', '1 while this one may write.', []).of({});
  readonly #replicas = this.#exposition.gauge(
    'sponge_operate_replicas',
    'Replicas of a workload: asked for, and warm.',
    ['workload', 'of'],
  );
  readonly #cores = this.#exposition.gauge(
    'sponge_operate_needed_millicores',
    'That each warm pod needs for its models; absent where all they may have is not enough.',
    ['workload'],
  );
  readonly #rate = this.#exposition.gauge('sponge_operate_demand_per_second', 'Requests that are provided for.', [
    'workload',
  ]);
  readonly #leftAlone = this.#exposition.gauge('sponge_operate_left_alone', '1 while somebody else decides about it.', [
    'workload',
  ]);
  readonly #coldStart = this.#exposition.gauge(
    'sponge_operate_cold_start_seconds',
    'From a pod asked for to a warm one, as learnt.',
    ['workload'],
  );
  readonly #writes = this.#exposition.counter('sponge_operate_writes_total', 'Writes by what and what came of them.', [
    'workload',
    'write',
  ]);
  #known: readonly string[] = [];

  render({ status }: Operator): string {
    this.#leader.value = status.isLeader ? 1 : 0;
    const names = status.workloads.map(({ workload }) => workload);
    for (const name of this.#known) if (!names.includes(name)) this.#exposition.remove({ workload: name });
    this.#known = names;
    for (const each of status.workloads) {
      const { workload } = each;
      this.#replicas.of({ workload, of: 'wished' }).value = each.replicas;
      this.#replicas.of({ workload, of: 'warm' }).value = each.warm;
      if (each.neededMillicores === null) this.#cores.remove({ workload });
      else this.#cores.of({ workload }).value = each.neededMillicores;
      this.#rate.of({ workload }).value = each.arrivalRatePerSec;
      this.#leftAlone.of({ workload }).value = each.leftAlone === null ? 0 : 1;
      this.#coldStart.of({ workload }).value = each.coldStartMs / 1000;
      for (const write of ['scale', 'resize', 'refused'] as const) {
        this.#writes.of({ workload, write }).value = each.writes[write];
      }
    }
    return this.#exposition.render();
  }
}

/** @throws Error of one line */
export function startStatusServer(
  operator: Operator,
  { host, port }: { readonly host: string; readonly port: number },
): Promise<{ readonly port: number; close(): Promise<void> }> {
  const metrics = new OperateMetrics();
  const server = http.createServer(
    { maxHeaderSize: MAX_HEADER_BYTES, requestTimeout: REQUEST_TIMEOUT_MS, headersTimeout: REQUEST_TIMEOUT_MS },
    (request, response) => {
      const path = (request.url ?? '').split('?', 1)[0]!;
      if (request.method !== 'GET') send(response, 405, 'text/plain', 'only GET here\n');
      else if (path === '/metrics') send(response, 200, CONTENT_TYPE, metrics.render(operator));
      else if (path === '/status')
        send(response, 200, 'application/json', `${JSON.stringify(operator.status, null, 2)}\n`);
      else if (path === '/healthz') send(response, 200, 'text/plain', 'ok\n');
      else if (path === '/readyz') {
        const { isReady } = operator;
        send(response, isReady ? 200 : 503, 'text/plain', isReady ? 'ok\n' : 'its workloads were not listed yet\n');
      } else send(response, 404, 'text/plain', 'not found: here are /status, /metrics, /healthz and /readyz\n');
    },
  );
  makeRoom(server, MAX_CONNECTIONS);
  return new Promise((resolve, reject) => {
    server.once('error', (error: NodeJS.ErrnoException) => {
      const remedy = error.code === 'EADDRINUSE' ? 'it is in use: choose another with --port' : error.message;
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
