/*
 * Who is given up where not everyone can be met, once it is decided how instances are used (`divideOverload`).
 *
 * Where everyone costs the same, whoever is given up among those due until the first that would be late makes as much room as any
 * other of them (Moore and Hodgson, 1968, whose choice of the victim is then free). So it is the newest: mostly the one whose
 * arrival made it too much, who is told at once and can go elsewhere, instead of one that has waited half of its time for nothing. Those of
 * clients that have less than their floor (`client-shares.ts`) come last.
 *
 * That needs the first that would be late to be one of the last. So, unless that gives more up, a batch that would be late for its first is
 * smaller rather than without it (`SlotFilling`): else, where a batch had taken longer than foreseen, nobody but the head could be given up.
 */
import { DecisionLatencies } from './decision-latencies.js';
import { ListSchedule, type ScheduledQueue, type SlotFilling } from './list-schedule.js';

/** Above so many looks at a request the slots' own choice is taken: whoever does not fit. */
const MOST_LOOKS = 50_000;

export interface VictimsQuestion {
  readonly queue: ScheduledQueue;
  /** Of its models, where the decision has looked at some already. */
  readonly latencies?: DecisionLatencies | undefined;
  /** Of each instance. */
  readonly freeAtMs: readonly number[];
  readonly cpuMillicores: number;
  readonly batchSize: number;
  readonly cautionDeviations: number;
  readonly filling: SlotFilling;
  /** By place in the queue: when it came; larger is later. */
  readonly sequenceOf: (place: number) => number;
  /** Its client has less than it is to have at least. */
  readonly isBelowFloor: (place: number) => boolean;
}

/** Places in the queue. */
export function chooseVictims(question: VictimsQuestion): readonly number[] {
  const { queue, freeAtMs, cpuMillicores, batchSize, cautionDeviations, filling } = question;
  const { latencies = new DecisionLatencies(queue) } = question;
  const victims: number[] = [];
  let kept = queue.dueAtMs.map((_, place) => place);
  for (let looks = kept.length; ; looks += kept.length) {
    const schedule = new ListSchedule(only(queue, kept), latencies);
    const left = schedule.leftBy(schedule.slotsOn(freeAtMs, cpuMillicores), batchSize, cautionDeviations, filling);
    const [late] = left;
    if (late === undefined) return victims;
    if (looks + left.length * kept.length > MOST_LOOKS) return [...victims, ...left.map((index) => kept[index]!)];
    const victim = leastDeserving(kept.slice(0, late + 1), question);
    victims.push(victim);
    kept = kept.filter((place) => place !== victim);
  }
}

function leastDeserving(places: readonly number[], { sequenceOf, isBelowFloor }: VictimsQuestion): number {
  return places.reduce((worst, place) => {
    const [isPoor, isWorstPoor] = [isBelowFloor(place), isBelowFloor(worst)];
    if (isPoor !== isWorstPoor) return isPoor ? worst : place;
    return sequenceOf(place) > sequenceOf(worst) ? place : worst;
  });
}

function only(queue: ScheduledQueue, places: readonly number[]): ScheduledQueue {
  return {
    ...queue,
    dueAtMs: places.map((place) => queue.dueAtMs[place]!),
    classIndexes: queue.classIndexes === null ? null : places.map((place) => queue.classIndexes![place]!),
  };
}
