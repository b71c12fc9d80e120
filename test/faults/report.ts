import { REASONS } from '../../src/scheduler/domain/outcome.js';
import type { Finding, Ledger } from './ledger.js';

/* What a run has shown, for somebody who has not read the code. */

export interface ScenarioResult {
  readonly name: string;
  /** The second, where there is one, of the part whose sums are compared. */
  readonly ledgers: readonly Ledger[];
  /** How often each fault struck. */
  readonly strikes: ReadonlyMap<string, number>;
  /** Faults that could not be tried here, and why. */
  readonly skipped: ReadonlyMap<string, string>;
}

const KINDS: readonly Finding['kind'][] = ['wrong', 'lost', 'late', 'unexpected', 'sums'];

const sum = (ledgers: readonly Ledger[], of: (ledger: Ledger) => number): number =>
  ledgers.reduce((total, ledger) => total + of(ledger), 0);

/** How requests ended, each counted once. */
function endsOf(ledgers: readonly Ledger[]): readonly (readonly [name: string, count: number])[] {
  const reasons = REASONS.map((reason) => [reason, sum(ledgers, ({ refused }) => refused.get(reason) ?? 0)] as const);
  return [
    ['right', sum(ledgers, ({ right }) => right)],
    ...reasons,
    ['without a reason', sum(ledgers, ({ reasonless }) => reasonless)],
    ['not ready after a restart', sum(ledgers, ({ notReady }) => notReady)],
    ['client left', sum(ledgers, ({ left }) => left)],
    ['connection broken', sum(ledgers, ({ brokenCount }) => brokenCount)],
    ['lost', sum(ledgers, (ledger) => ledger.countOf('lost'))],
    ['wrong', sum(ledgers, (ledger) => ledger.countOf('wrong'))],
  ];
}

function lineOf(ledgers: readonly Ledger[]): string {
  const shown = endsOf(ledgers).filter(([name, count]) => count > 0 || name === 'lost' || name === 'wrong');
  return `${sum(ledgers, ({ sent }) => sent)} sent = ${shown.map(([name, count]) => `${count} ${name}`).join(' + ')}`;
}

function latestText(ledgers: readonly Ledger[]): string {
  const latestMs = Math.max(...ledgers.map((ledger) => ledger.latestMs));
  const excused = sum(ledgers, ({ lateExcused }) => lateExcused);
  const latest = Number.isFinite(latestMs)
    ? `latest answer ${latestMs.toFixed(0)} ms behind its deadline`
    : 'no deadline';
  return excused === 0
    ? latest
    : `${latest}; ${excused} more than 1 s late because the router was away or the client busy`;
}

export function printScenario({ name, ledgers, strikes, skipped }: ScenarioResult): void {
  const struck = [...strikes].map(([fault, count]) => `${fault} ×${count}`).join(', ');
  console.log(`${name}${struck === '' ? '' : ` (${struck})`}`);
  console.log(`  ${lineOf(ledgers)}`);
  console.log(`  ${latestText(ledgers)}`);
  const edge = sum(ledgers, ({ refusedAtEdge }) => refusedAtEdge);
  if (edge > 0) console.log(`  of queue_full, ${edge} were refused at the edge`);
  for (const [fault, reason] of skipped) console.warn(`  SKIPPED ${fault}: ${reason}`);
  for (const ledger of ledgers) {
    for (const { kind, what } of ledger.findings) console.error(`  FOUND ${kind}: ${what}`);
    for (const kind of KINDS) {
      const more = ledger.countOf(kind) - ledger.findings.filter((each) => each.kind === kind).length;
      if (more > 0) console.error(`  FOUND ${kind}: ${more} more`);
    }
  }
}

/** @returns whether each request ended once and nothing was found, or, untimed, nothing but late answers */
export function printTotal(results: readonly ScenarioResult[], isUntimed: boolean): boolean {
  const ledgers = results.flatMap((result) => result.ledgers);
  console.log(`\nall\n  ${lineOf(ledgers)}\n  ${latestText(ledgers)}`);
  const found = KINDS.map((kind) => [kind, sum(ledgers, (ledger) => ledger.countOf(kind))] as const);
  console.log(`  findings: ${found.map(([kind, count]) => `${count} ${kind}`).join(', ')}`);
  const endCount = endsOf(ledgers).reduce((total, [, count]) => total + count, 0);
  const isEachCounted = endCount === sum(ledgers, ({ sent }) => sent);
  if (!isEachCounted) console.error(`  FOUND: the ends of requests are ${endCount} in all, which is not what was sent`);
  return isEachCounted && found.every(([kind, count]) => count === 0 || (isUntimed && kind === 'late'));
}
