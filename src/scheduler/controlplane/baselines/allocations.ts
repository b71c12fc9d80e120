import type { AllocationLimits } from '../../domain/plan.js';

/* Allocations that may be granted are min, min + step, … and max; these controllers think in whole cores, or in shares. */

export const CORE_MILLICORES = 1000;

/** The least that may be granted and is no less; the largest where none is. */
export function grantable(cpuMillicores: number, limits: AllocationLimits): number {
  const { minMillicores, maxMillicores, stepMillicores } = limits;
  const steps = Math.max(0, Math.ceil((cpuMillicores - minMillicores) / stepMillicores));
  return Math.min(maxMillicores, minMillicores + steps * stepMillicores);
}

/** The limits of an instance that may take no more than so much; the least allocation it may always have. */
export function limitsWithin(cpuMillicores: number, limits: AllocationLimits): AllocationLimits {
  const { minMillicores, maxMillicores, stepMillicores } = limits;
  if (cpuMillicores >= maxMillicores) return limits;
  const steps = Math.max(0, Math.floor((cpuMillicores - minMillicores) / stepMillicores));
  return { ...limits, maxMillicores: minMillicores + steps * stepMillicores };
}

/** 1, 2, … whole cores as far as they go, as they may be granted; the largest allocation where there is not even one. */
export function wholeCores(limits: AllocationLimits): number[] {
  const count = Math.max(1, Math.floor(limits.maxMillicores / CORE_MILLICORES));
  return Array.from({ length: count }, (_, index) => grantable((index + 1) * CORE_MILLICORES, limits));
}
