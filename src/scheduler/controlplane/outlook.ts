/*
 * How much room there is for one more request, told to those who choose between several servers. It is asked of the state in which the
 * next plan would be made, with the same list scheduling that says whom a plan must give up (`list-schedule.ts`): what is told here as
 * room is what the planner will find. Nothing is kept from one outlook to the next, so it costs nothing while nobody asks; a window of
 * 256 requests takes some tens of microseconds.
 *
 * Earliest deadlines go first, so of the queue only this is told: for each batch, who is due from when on, when one more before the next
 * batch could start, and by how much everyone behind may be put off. Of many batches neighbours are told as one, by the later start.
 *
 * Rejected: one number, the predicted wait. With budgets from 50 ms to 5 s in one queue it is right for nobody: a request in a hurry goes
 * before all of it, and one that is not is behind all of it.
 */
import { MOST_MARKS, type ModelOutlook, type RoomMark } from '../domain/pod-report.js';
import { requestsPerBatch } from '../domain/request.js';
import { slowdownBeside } from '../perf-model/interference.js';
import { AllocationLatencies, DecisionLatencies } from './decision-latencies.js';
import { ListSchedule } from './list-schedule.js';
import { unsalvageableOf, queueOf, remainingMs, type PlannedQueue } from './planned-queue.js';
import type { PlannerView } from './planner.js';

const SPARE_WITHIN_MS = 1000;

/** @param readyInMs until there is a worker; 0 while there is */
export function outlookOf(view: PlannerView, readyInMs = 0): ModelOutlook {
  const { nowMs, arrivalModel, arrivalRowCount, limits, snapshot } = view;
  const cores = coresOf(view);
  const freeAtMs = freeInstancesAtMs(view, cores).map((each) => Math.max(each, nowMs + readyInMs));
  const firstFreeAtMs = Math.min(...freeAtMs);
  const queue = queueOf(view, unsalvageableOf(view, firstFreeAtMs), firstFreeAtMs);
  const maxRequests = requestsPerBatch(snapshot.maxBatchSize, arrivalRowCount);
  const onShare = new AllocationLatencies(arrivalModel, cores.shareMillicores, maxRequests, cores.slowdown);
  const marks = queue === null ? [firstMark(freeAtMs, null, nowMs)] : marksOf(queue, freeAtMs, cores, nowMs);
  const last = marks.at(-1)!;
  return {
    leastMs: arrivalModel.leastLatencyMs(1, limits.maxMillicores),
    aloneMs: arrivalModel.plannedLatencyMs(1, limits.maxMillicores),
    instanceCount: freeAtMs.length,
    requestMs: onShare.leastMsEach(maxRequests) / freeAtMs.length,
    marks,
    spareCoreSeconds: (Math.max(0, SPARE_WITHIN_MS - last.doneInMs) * cores.allMillicores) / 1e6,
  };
}

/** What batches are taken to run on. */
interface Cores {
  readonly allMillicores: number;
  readonly instanceCount: number;
  readonly shareMillicores: number;
  /** By what is busy beside a batch where all instances run. */
  readonly slowdown: number;
}

/** Equal shares of what can be had once others have ended what they run; or, where instances are alike, what each of them may have. */
function coresOf({ limits, instances, reachMillicores, interference, snapshot }: PlannerView): Cores {
  const { minMillicores, maxMillicores } = limits;
  if (instances.length === 1) {
    const instanceCount = Math.max(1, snapshot.instanceCount);
    const shareMillicores =
      instanceCount === 1 ? Math.max(minMillicores, Math.min(maxMillicores, reachMillicores)) : maxMillicores;
    return { allMillicores: instanceCount * shareMillicores, instanceCount, shareMillicores, slowdown: 1 };
  }
  const ready = instances.filter(({ isAway }) => !isAway).length;
  const instanceCount = Math.max(1, Math.min(ready, Math.floor(reachMillicores / minMillicores)));
  const shareMillicores = Math.min(maxMillicores, Math.max(minMillicores, reachMillicores / instanceCount));
  const slowdown = slowdownBeside(interference, reachMillicores - shareMillicores);
  return { allMillicores: reachMillicores, instanceCount, shareMillicores, slowdown };
}

/** Those that run when their batches end, the others now. */
function freeInstancesAtMs(view: PlannerView, { instanceCount, slowdown }: Cores): number[] {
  const { nowMs, snapshot, instances } = view;
  const busy = snapshot.running.map(({ instance }, index) => {
    const { requestedMillicores } = instances[instance] ?? instances[0]!;
    return nowMs + slowdown * remainingMs(view, index, Math.max(1, requestedMillicores));
  });
  while (busy.length < instanceCount) busy.push(nowMs);
  return busy;
}

/** A batch of a schedule of all that waits. */
export interface Step extends RoomMark {
  /** Of those of the batch itself. */
  readonly ownRoomMs: number;
}

function marksOf(queue: PlannedQueue, freeAtMs: readonly number[], cores: Cores, nowMs: number): RoomMark[] {
  const { allMillicores: budgetMillicores, shareMillicores, instanceCount, slowdown } = cores;
  const latencies = new DecisionLatencies(
    queue,
    (model, cpuMillicores, limit) => new AllocationLatencies(model, cpuMillicores, limit, slowdown),
  );
  const schedule = new ListSchedule({ ...queue, budgetMillicores }, latencies);
  const steps: Step[] = [];
  const freeInTheEnd = schedule.runAll(freeAtMs, shareMillicores, ({ head, endAtMs }, free) => {
    const dueAtMs = queue.dueAtMs[head]!;
    steps.push({
      dueInMs: Math.max(0, dueAtMs - nowMs),
      startInMs: Math.min(...free) - nowMs,
      doneInMs: meanOf(free) - nowMs,
      roomMs: null,
      // A batch is put off as far as its first allows.
      ownRoomMs: dueAtMs - endAtMs,
    });
  });
  const doneAtMs = meanOf(freeInTheEnd);
  const msEach = latencies.on(shareMillicores)[0]!.leastMsEach(latencies.limits[0]!) / instanceCount;
  for (const { place, dueAtMs } of queue.behind ?? []) {
    const endAtMs = doneAtMs + (place + 1 - queue.dueAtMs.length) * msEach;
    const endInMs = endAtMs - nowMs;
    const ownRoomMs = dueAtMs - endAtMs;
    steps.push({
      dueInMs: Math.max(0, dueAtMs - nowMs),
      startInMs: endInMs,
      doneInMs: endInMs,
      roomMs: null,
      ownRoomMs,
    });
  }
  return marksOfSteps(steps, freeAtMs, nowMs);
}

/** As they are told: of many neighbours as one, and before them who is free when. */
export function marksOfSteps(steps: readonly Step[], freeAtMs: readonly number[], nowMs: number): RoomMark[] {
  const marks = withRoom(merged(steps, MOST_MARKS - 1));
  return [firstMark(freeAtMs, marks[0]?.roomMs ?? null, nowMs), ...marks];
}

function firstMark(freeAtMs: readonly number[], roomMs: number | null, nowMs: number): RoomMark {
  return { dueInMs: 0, startInMs: Math.min(...freeAtMs) - nowMs, doneInMs: meanOf(freeAtMs) - nowMs, roomMs };
}

/** Neighbours as one, so that each is about as much work as the others: due as the first of them, done as the last. */
function merged(steps: readonly Step[], most: number): readonly Step[] {
  if (steps.length <= most) return steps;
  const fromMs = steps[0]!.doneInMs;
  const spanMs = steps.at(-1)!.doneInMs - fromMs;
  const groups: Step[] = [];
  let group = -1;
  for (const step of steps) {
    const own = spanMs > 0 ? Math.min(most - 1, Math.floor(((step.doneInMs - fromMs) / spanMs) * most)) : 0;
    const before = groups.at(-1);
    if (before === undefined || own > group) {
      group = own;
      groups.push(step);
    } else {
      const ownRoomMs = Math.min(before.ownRoomMs, step.ownRoomMs);
      groups[groups.length - 1] = { ...step, dueInMs: before.dueInMs, ownRoomMs };
    }
  }
  return groups;
}

/** Of each mark, the least room of those from it on. */
function withRoom(steps: readonly Step[]): RoomMark[] {
  let roomMs = Infinity;
  const marks: RoomMark[] = [];
  for (let index = steps.length - 1; index >= 0; index--) {
    const { ownRoomMs, dueInMs, startInMs, doneInMs } = steps[index]!;
    roomMs = Math.min(roomMs, ownRoomMs);
    marks.unshift({ dueInMs, startInMs, doneInMs, roomMs });
  }
  return marks;
}

function meanOf(values: readonly number[]): number {
  return values.reduce((sum, each) => sum + each, 0) / values.length;
}
