import type { Envelope, EnvelopeNews, EnvelopeStatus } from '../../../scheduler/controlplane/envelope/envelope.js';

const MOST_TIMES_KEPT = 1000;

/** Of a pod's limit, for metrics. */
export interface PodReport extends EnvelopeStatus {
  readonly pod: string;
  /** We ask for it; else others set it. */
  readonly isResizedHere: boolean;
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

  get isResizedHere(): boolean {
    return this.envelope.rules.isLeftToOthers !== true;
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
    // That it stays where others put it is how it is to be.
    if (this.envelope.rules.isLeftToOthers === true) return null;
    return this.envelope.status.trouble;
  }
}
