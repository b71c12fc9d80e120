import { createThreadUsage } from './inference-threads.js';
import type { AdapterOptions, ScalerHandle } from './scaler-handle.js';
import { assertWithinLimits, quotaLimits } from './scaler-handle.js';

/**
 * Only recommends. Nothing is limited, so what is in force is always the largest allocation: `resize` answers with that
 * rather than with what was asked, and latencies are predicted from it.
 */
export function openNone(options: AdapterOptions): ScalerHandle {
  const limits = quotaLimits(options);
  const usage = createThreadUsage();
  return {
    scaler: {
      kind: 'none',
      isActuating: false,
      limits,
      idleMillicores: limits.minMillicores,
      expectedDelayMs: 0,
      resize(cpuMillicores, onApplied) {
        assertWithinLimits(cpuMillicores, limits);
        const result = { kind: 'applied', cpuMillicores: limits.maxMillicores, isWritten: false, tookMs: 0 } as const;
        queueMicrotask(() => onApplied(result));
      },
      readCounters: () => ({ usedSeconds: usage.usedSeconds(), periods: 0, throttledPeriods: 0, throttledSeconds: 0 }),
    },
    join: { kind: 'none' },
    rejoin: () => ({ kind: 'none' }),
    description: 'none: allocations are recommended, nothing is limited',
    attachProcess: (pid) => usage.attach(pid),
    close: () => Promise.resolve(),
  };
}
