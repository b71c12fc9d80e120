import type { CpuCounters, ResizeResult, Scaler } from '../../scheduler/controlplane/scaler.js';
import type { ClaimedGroup } from './cgroup-group.js';
import { GrowingCounters } from './growing-counters.js';
import type { JoinInstruction } from './join.js';
import type { ScalerHandle } from './scaler-handle.js';

/** A scaler by a CPU group. */
export interface GroupHandle extends Omit<ScalerHandle, 'rejoin'> {
  readonly group: Pick<ClaimedGroup, 'makeAgain' | 'assertUsable'>;
}

/**
 * A CPU group until it can hold no worker any more, then the next adapter for good: a model that is not limited as it should be is
 * better than one that no worker can be started for. Looked at where a worker is lost and another one is about to start; a
 * running one keeps what it has, and resizes of a group that only refuses to be written are refused.
 *
 * The limits stay the group's: they are what plans were made with. The next adapter gives what is nearest to them.
 */
export function withFallback(
  first: GroupHandle,
  openNext: () => ScalerHandle,
  onWarning: (message: string) => void,
): ScalerHandle {
  const { limits } = first.scaler;
  const counters = new GrowingCounters();
  let next: ScalerHandle | null = null;
  let latestMillicores = limits.maxMillicores;
  const current = (): Scaler => (next ?? first).scaler;

  function resize(cpuMillicores: number, onApplied: (result: ResizeResult) => void): void {
    latestMillicores = cpuMillicores;
    const { scaler } = next ?? first;
    scaler.resize(next === null ? cpuMillicores : nearest(cpuMillicores, scaler), onApplied);
  }

  function giveUp(reason: string): JoinInstruction {
    next = openNext();
    counters.startAnew();
    onWarning(`the CPU group cannot be used any more (${reason}): from now on ${next.description}`);
    resize(latestMillicores, () => undefined);
    return next.join;
  }

  return {
    scaler: {
      get kind() {
        return current().kind;
      },
      get isActuating() {
        return current().isActuating;
      },
      get idleMillicores() {
        return Math.min(current().idleMillicores, limits.minMillicores);
      },
      get expectedDelayMs() {
        return current().expectedDelayMs;
      },
      limits,
      resize,
      readCounters(): CpuCounters | null {
        const now = current().readCounters();
        return now === null ? null : counters.continuedBy(now);
      },
    },
    join: first.join,
    rejoin() {
      if (next !== null) return next.join;
      try {
        first.group.assertUsable();
        return first.join;
      } catch (error) {
        if (isOurShortage(error)) return first.join;
        // Gone, perhaps: then it can be made again.
      }
      try {
        first.group.makeAgain();
        first.group.assertUsable();
      } catch (error) {
        if (isOurShortage(error)) return first.join;
        return giveUp((error as Error).message);
      }
      resize(latestMillicores, () => undefined);
      return first.join;
    },
    description: first.description,
    attachProcess: (pid, inferenceTid) => (next ?? first).attachProcess(pid, inferenceTid),
    async close() {
      await next?.close();
      await first.close();
    },
  };
}

/** Nothing is wrong with the group; this process has no descriptors or memory left, so the start that this is for fails too. */
function isOurShortage(error: unknown): boolean {
  const { code, cause } = error as NodeJS.ErrnoException;
  return ['EMFILE', 'ENFILE', 'ENOMEM'].includes(code ?? '') || (cause !== undefined && isOurShortage(cause));
}

/** Of what another scaler can give: nothing less than asked for, where it can give that. */
function nearest(cpuMillicores: number, { idleMillicores, limits }: Scaler): number {
  if (cpuMillicores === 0) return idleMillicores;
  const { minMillicores, maxMillicores, stepMillicores } = limits;
  const steps = Math.ceil((cpuMillicores - minMillicores) / stepMillicores);
  return Math.max(minMillicores, Math.min(maxMillicores, minMillicores + steps * stepMillicores));
}
