import { jointPlanner, type JointPart } from '../controlplane/joint-planner.js';
import { pricedPlanner } from '../controlplane/priced-planner.js';
import type { Preference } from '../controlplane/program-planner.js';
import type { CpuRule, PolicyParameters, PolicySetting } from './declaration.js';

/*
 * Our own CPU rules: the priced planner of one worker, the joint one of several warm instances, which also plans the one
 * instance of a model that shares its cores.
 */

/** What can be left out of the planner of one worker, and of that of several instances, to see what it is worth. */
const SINGLE_PARTS = ['none', 'slowing', 'learning', 'forecast', 'losses', 'events'] as const;
const JOINT_PARTS = ['none', 'price', 'waiting', 'behind', 'vertical', 'learning', 'forecast', 'losses'] as const;
export const PARTS = [...new Set([...SINGLE_PARTS, ...JOINT_PARTS])] as const;
export type Part = (typeof PARTS)[number];

/** As many as any machine is simulated with. */
const MOST_INSTANCES = 64;

/** @throws Error, one line, for what several instances do not know */
export function sponge(setting: PolicySetting, { numbers, without, prefer }: PolicyParameters): CpuRule {
  // 0: the planner's own, and the setting's.
  const { safety = 0, instances = 0 } = numbers;
  const count = instancesOf(setting, instances);
  if (count === 1 && !setting.sharesCores) return single(prefer, safety, partOf(SINGLE_PARTS, without, 'one instance'));
  if (safety !== 0) throw new Error('policy sponge: safety is of one instance only');
  const part = partOf(JOINT_PARTS, without, 'several instances');
  const learns = part !== 'learning';
  return { planner: jointPlanner(prefer, learns ? (part satisfies JointPart) : 'none'), instances: count, learns };
}

function partOf<T extends Part>(parts: readonly T[], without: Part, whose: string): T {
  const part = parts.find((each) => each === without);
  if (part === undefined) throw new Error(`policy sponge: of ${whose} one of ${parts.join(', ')} can be left out`);
  return part;
}

/** @param asked 0: the setting's */
export function instancesOf({ instances }: PolicySetting, asked: number): number {
  const count = asked === 0 ? instances : asked;
  if (Number.isInteger(count) && count <= MOST_INSTANCES) return count;
  throw new Error(`policy parameter instances=${asked}: give an integer from 1 to ${MOST_INSTANCES}`);
}

/** The planner without one of its parts. */
function single(prefer: Preference, safety: number, without: (typeof SINGLE_PARTS)[number]): CpuRule {
  const planner = pricedPlanner({
    prefer,
    ...(safety === 0 ? {} : { safety }),
    usesForecast: without !== 'forecast',
    holdsAllocation: without === 'slowing',
    ...(without === 'losses' ? { lossCoreMs: 0 } : {}),
    ...(without === 'events' ? { everyMs: 1000 } : {}),
  });
  return { planner, learns: without !== 'learning', isAllocationFixed: without === 'slowing' };
}
