/*
 * The planning program of one shape class as a mixed-integer linear program in CPLEX LP text, for a general solver. The
 * replay is not computed here: which request is in which batch, how large and how long each batch is, and when it ends
 * are all the solver's variables. Shares no code with `src/`.
 *
 *   x_c_b    the plan is allocation step c and batch size b
 *   y_i_k    request i is in batch k
 *   z_k_s_c  batch k has s members and runs at allocation step c (none of them: the batch does not exist)
 */
import { allocationsOf, unsalvageableOf, type PlanInstance } from './exhaustive-plan.js';

export interface MilpText {
  readonly text: string;
  /** Reads the plan out of the values of the solver's columns. */
  readonly planOf: (valueOf: (column: string) => number) => { cpuMillicores: number; batchSize: number };
}

/** Unsalvageable requests are left out first, as the program says. */
export function planAsMilp(instance: PlanInstance): MilpText {
  const unsalvageable = unsalvageableOf(instance);
  const dueInMs = instance.queue.filter((_, i) => !unsalvageable.includes(i)).map((r) => r.dueAtMs - instance.nowMs);
  const allocations = allocationsOf(instance);
  const requests = range(0, dueInMs.length);
  const batches = requests; // at most one batch a request
  const steps = range(0, allocations.length);
  const sizes = range(1, instance.maxBatchSize + 1);
  const latencyMs = (size: number, step: number): number => instance.latencyMs(0, size, allocations[step]!);

  const plans = steps.flatMap((c) => sizes.map((b) => ({ c, b, name: `x_${c}_${b}` })));
  const runs = (k: number) => sizes.flatMap((s) => steps.map((c) => ({ s, c, name: `z_${k}_${s}_${c}` })));
  const membersOf = (k: number, factor: number): Term[] => requests.map((i) => [factor, `y_${i}_${k}`]);
  const sizeOf = (k: number): Term[] => runs(k).map((z) => [z.s, z.name]);
  const exists = (k: number, factor: number): Term[] => runs(k).map((z) => [factor, z.name]);
  const minusPlannedSize = plans.map((x): Term => [-x.b, x.name]);

  const rows: string[] = [];
  rows.push(`${sum(plans.map((x) => [1, x.name]))} = 1`);
  // Keeps up with arrivals: b · 1000 ≥ λ · l(b, c).
  rows.push(`${sum(plans.map((x) => [1000 * x.b - instance.arrivalRatePerSec * latencyMs(x.b, x.c), x.name]))} >= 0`);
  for (const i of requests) rows.push(`${sum(batches.map((k) => [1, `y_${i}_${k}`]))} = 1`);
  for (const k of batches) {
    // A batch has one size, at the planned allocation; as many members as its size; no more than planned.
    rows.push(`${sum([...membersOf(k, -1), ...sizeOf(k)])} = 0`);
    rows.push(`${sum(exists(k, 1))} <= 1`);
    for (const c of steps) {
      const here = runs(k)
        .filter((z) => z.c === c)
        .map((z): Term => [1, z.name]);
      const chosen = plans.filter((x) => x.c === c).map((x): Term => [-1, x.name]);
      rows.push(`${sum([...here, ...chosen])} <= 0`);
    }
    rows.push(`${sum([...sizeOf(k), ...minusPlannedSize])} <= 0`);
    if (k + 1 === batches.length) continue;
    // Full unless it is the last one: size ≥ b − B · (1 − next exists). And no gaps.
    const limit = instance.maxBatchSize;
    rows.push(`${sum([...sizeOf(k), ...minusPlannedSize, ...exists(k + 1, -limit)])} >= ${-limit}`);
    rows.push(`${sum([...exists(k + 1, 1), ...exists(k, -1)])} <= 0`);
  }
  // EDF: a request is never in a later batch than its successor.
  for (const i of requests.slice(0, -1)) {
    const earlier = batches.map((k): Term => [k, `y_${i}_${k}`]);
    const later = batches.map((k): Term => [-k, `y_${i + 1}_${k}`]);
    rows.push(`${sum([...earlier, ...later])} <= 0`);
  }
  // The end of batch k is at or before the deadline of each member: end_k ≤ due_i + M · (1 − y_i_k).
  const inFlight = plans.map((x): Term => [instance.inFlightMs(allocations[x.c]!), x.name]);
  const horizonMs =
    instance.inFlightMs(allocations[0]!) +
    dueInMs.length * latencyMs(instance.maxBatchSize, 0) +
    Math.max(0, ...dueInMs);
  for (const k of batches) {
    const durations = range(0, k + 1).flatMap((j) => runs(j).map((z): Term => [latencyMs(z.s, z.c), z.name]));
    for (const i of requests) {
      rows.push(`${sum([...inFlight, ...durations, [horizonMs, `y_${i}_${k}`]])} <= ${dueInMs[i]! + horizonMs}`);
    }
  }

  const binaries = [
    ...plans.map((x) => x.name),
    ...requests.flatMap((i) => batches.map((k) => `y_${i}_${k}`)),
    ...batches.flatMap((k) => runs(k).map((z) => z.name)),
  ];
  // Least allocation first, then least batch size.
  const objective = sum(plans.map((x) => [x.c * (instance.maxBatchSize + 1) + x.b, x.name]));
  const text = [
    'Minimize',
    ` cost: ${objective}`,
    'Subject To',
    ...rows.map((row, index) => ` r${index}: ${row}`),
    'Binary',
    ...binaries.map((name) => ` ${name}`),
    'End',
  ].join('\n');
  return {
    text,
    planOf: (valueOf) => {
      const chosen = plans.find((x) => valueOf(x.name) > 0.5);
      if (chosen === undefined) throw new Error('the solver chose no plan');
      return { cpuMillicores: allocations[chosen.c]!, batchSize: chosen.b };
    },
  };
}

type Term = readonly [factor: number, column: string];

/** LP text of a linear expression; a column may occur more than once. */
function sum(terms: readonly Term[]): string {
  const factors = new Map<string, number>();
  for (const [factor, column] of terms) factors.set(column, (factors.get(column) ?? 0) + factor);
  return [...factors].map(([column, factor]) => `${factor < 0 ? '-' : '+'} ${Math.abs(factor)} ${column}`).join(' ');
}

function range(from: number, to: number): number[] {
  return Array.from({ length: Math.max(0, to - from) }, (_, index) => from + index);
}
