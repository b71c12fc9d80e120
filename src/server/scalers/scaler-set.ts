import type { CpuCounters, ResizeResult, Scaler } from '../../scheduler/controlplane/scaler.js';
import type { ScalerHandle } from './scaler-handle.js';

/*
 * The CPU groups of several instances of one model as one scaler: a resize is one of every instance that is ready, and the
 * counters are those of all groups there ever were.
 *
 * A group is counted from its making and resized from its readiness on: a cold start runs at the allocation of an instance,
 * even while those that are ready have given theirs back.
 */

const NOTHING_USED: CpuCounters = { usedSeconds: 0, periods: 0, throttledPeriods: 0, throttledSeconds: 0 };

/** One instance's group in the set. */
export interface MemberScaler {
  /** From now on it is resized with the others; begins with what they have. */
  join(): void;
  /** Its last counters stay in the sum. Call it when nothing runs in the group any more; closes the handle. */
  leave(): Promise<void>;
}

interface Member {
  readonly scaler: Scaler;
  /** As they were read last. */
  counters: CpuCounters;
}

export class ScalerSet {
  readonly scaler: Scaler;
  readonly #onWarning: (message: string) => void;
  readonly #counted = new Set<Member>();
  readonly #resized = new Set<Scaler>();
  /** Those that refused last: said once, not at every resize. */
  readonly #refusing = new Set<Scaler>();
  /** Of groups that are gone. */
  #past = NOTHING_USED;
  #cpuMillicores: number;

  /**
   * @param first stays for good, and is closed by its owner
   * @param cpuMillicores in force in it
   * @param onWarning told, in one line, when a group does not take what the others have
   */
  constructor(first: Scaler, cpuMillicores: number, onWarning: (message: string) => void) {
    this.#cpuMillicores = cpuMillicores;
    this.#onWarning = onWarning;
    this.#counted.add({ scaler: first, counters: NOTHING_USED });
    this.#resized.add(first);
    this.scaler = {
      kind: first.kind,
      isActuating: first.isActuating,
      limits: first.limits,
      idleMillicores: first.limits.minMillicores,
      expectedDelayMs: first.expectedDelayMs,
      resize: (wanted, onApplied) => this.#resize(wanted, onApplied),
      readCounters: () => this.#readCounters(),
    };
  }

  add(handle: ScalerHandle): MemberScaler {
    const { scaler } = handle;
    const member: Member = { scaler, counters: NOTHING_USED };
    this.#counted.add(member);
    return {
      join: () => {
        this.#resized.add(scaler);
        scaler.resize(this.#cpuMillicores, (result) => this.#noteAnswer(scaler, result));
      },
      leave: () => {
        this.#resized.delete(scaler);
        this.#refusing.delete(scaler);
        this.#past = sumCounters(this.#past, read(member));
        this.#counted.delete(member);
        return handle.close();
      },
    };
  }

  /**
   * Answered when all have answered: what the largest has of those that took it, so that whoever asked knows what was done
   * to them; refused only if all have refused. One that keeps what it has is asked again with the next resize.
   */
  #resize(cpuMillicores: number, onApplied: (result: ResizeResult) => void): void {
    this.#cpuMillicores = cpuMillicores;
    const results: ResizeResult[] = [];
    const scalers = [...this.#resized];
    for (const scaler of scalers) {
      scaler.resize(cpuMillicores, (result) => {
        results.push(result);
        if (scalers.length > 1) this.#noteAnswer(scaler, result);
        if (results.length === scalers.length) onApplied(results.reduce(joint));
      });
    }
  }

  #noteAnswer(scaler: Scaler, result: ResizeResult): void {
    if (result.kind === 'applied') this.#refusing.delete(scaler);
    else if (this.#resized.has(scaler) && !this.#refusing.has(scaler)) {
      this.#refusing.add(scaler);
      this.#onWarning(`an instance keeps the allocation it has: ${result.message}`);
    }
  }

  #readCounters(): CpuCounters {
    let total = this.#past;
    for (const member of this.#counted) total = sumCounters(total, read(member));
    return total;
  }
}

/** A group that cannot be read counts as it did last: the sum never decreases. */
function read(member: Member): CpuCounters {
  member.counters = member.scaler.readCounters() ?? member.counters;
  return member.counters;
}

/** Of two groups. */
export function sumCounters(a: CpuCounters, b: CpuCounters): CpuCounters {
  return {
    usedSeconds: a.usedSeconds + b.usedSeconds,
    periods: a.periods + b.periods,
    throttledPeriods: a.throttledPeriods + b.throttledPeriods,
    throttledSeconds: a.throttledSeconds + b.throttledSeconds,
  };
}

function joint(a: ResizeResult, b: ResizeResult): ResizeResult {
  if (a.kind === 'refused') return b;
  if (b.kind === 'refused') return a;
  return {
    kind: 'applied',
    cpuMillicores: Math.max(a.cpuMillicores, b.cpuMillicores),
    isWritten: a.isWritten || b.isWritten,
    tookMs: Math.max(a.tookMs, b.tookMs),
  };
}
