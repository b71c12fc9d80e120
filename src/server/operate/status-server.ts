import { Exposition } from '../telemetry/exposition.js';
import { jsonPage, metricsPage, startPageServer, textPage, type PageServer } from '../telemetry/page-server.js';
import type { Operator } from './operator.js';

/* What the controller does, for people (`/status`), Prometheus (`/metrics`) and the kubelet (`/healthz`, `/readyz`). Nothing can be changed here. */

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
): Promise<PageServer> {
  const metrics = new OperateMetrics();
  return startPageServer({
    ...{ host, port, portFlag: '--port' },
    pages: {
      '/status': () => jsonPage(operator.status),
      '/metrics': () => metricsPage(metrics.render(operator)),
      '/healthz': () => textPage('ok\n'),
      '/readyz': () => (operator.isReady ? textPage('ok\n') : textPage('its workloads were not listed yet\n', 503)),
    },
  });
}
