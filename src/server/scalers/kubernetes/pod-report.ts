import type { Envelope, EnvelopeNews, EnvelopeStatus } from '../../../scheduler/controlplane/envelope/envelope.js';

const MOST_TIMES_KEPT = 1000;

/** Of a pod's limit, for metrics. */
export interface PodReport extends EnvelopeStatus {
  readonly pod: string;
  /** Ended resizes by result, and seconds from PATCH to quota of the latest that were not seen yet. */
  readonly counts: Readonly<Record<string, number>>;
  takeTookMs(): readonly number[];
}

export class Reporting implements PodReport {
  readonly pod: string;
  readonly counts: Record<string, number> = {};
  envelope!: Envelope;
  #tookMs: number[] = [];

  /** @param pod `<namespace>/<name>` */
  constructor(pod: string) {
    this.pod = pod;
  }

  note(news: EnvelopeNews): void {
    const result = news.kind === 'trouble' ? news.trouble : news.kind;
    if (result !== 'recovered') this.counts[result] = (this.counts[result] ?? 0) + 1;
    if (news.kind === 'in-force' && this.#tookMs.length < MOST_TIMES_KEPT) this.#tookMs.push(news.tookMs);
  }

  takeTookMs(): readonly number[] {
    const took = this.#tookMs;
    this.#tookMs = [];
    return took;
  }

  get inForceMillicores(): number {
    return this.envelope.status.inForceMillicores;
  }

  get wishedMillicores(): number {
    return this.envelope.status.wishedMillicores;
  }

  get neededMillicores(): number {
    return this.envelope.neededMillicores;
  }

  get reachableMillicores(): number {
    return this.envelope.reachableMillicores;
  }

  get trouble(): EnvelopeStatus['trouble'] {
    return this.envelope.status.trouble;
  }
}
