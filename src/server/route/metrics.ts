import type { Picker } from '../../route/picker.js';
import type { PodContact } from '../../route/pod.js';
import type { Pick } from '../../route/request.js';
import { Exposition } from '../telemetry/exposition.js';

/* What a picker did, for Prometheus. Labels are of bounded number. */

const PICK_BUCKETS_S = [0.00001, 0.00002, 0.00005, 0.0001, 0.0002, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.05];
/** Pods with series of their own; the others are counted together. */
const MOST_LABELLED_PODS = 256;
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
