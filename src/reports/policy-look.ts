import { parsePolicySpec } from '../simulator/policies/policy-spec.js';
import type { ColourName } from './chart.js';

/*
 * A policy looks the same in every report. Relatives share a colour and differ in the shape of their points; every chart
 * also names them, because fifteen colours cannot be told apart.
 */

export interface PolicyLook {
  readonly colour: ColourName;
  readonly shape: Shape;
  /** To write beside a point. */
  readonly label: string;
}

const SHAPES = ['circle', 'square', 'diamond', 'triangle-up', 'triangle-down', 'cross'] as const;
type Shape = (typeof SHAPES)[number];

/** By the first that fits. */
const FAMILIES: readonly (readonly [prefix: RegExp, colour: ColourName])[] = [
  [/^sponge\b/, 'ours'],
  [/^paper\b/, 'vermilion'],
  [/^released\b/, 'amber'],
  [/^(?:static|best-static)\b/, 'slate'],
  [/^fa2\b/, 'green'],
  [/^themis\b/, 'purple'],
  [/^vpa\b/, 'pink'],
];
const OTHERS: ColourName = 'brown';

/** In the order of the policies. @param policies as they were asked for, each once */
export function policyLooks(policies: readonly string[]): PolicyLook[] {
  const relatives = new Map<ColourName, number>();
  const labels = shortNames(policies);
  return policies.map((policy, index) => {
    const colour = FAMILIES.find(([prefix]) => prefix.test(policy))?.[1] ?? OTHERS;
    const older = relatives.get(colour) ?? 0;
    relatives.set(colour, older + 1);
    return { colour, shape: SHAPES[older % SHAPES.length]!, label: labels[index]! };
  });
}

const LONG = 18;

/** `static(cores=6,batch=4,order=edf)` → `static 6 4 edf`, unless two would then be the same. */
function shortNames(policies: readonly string[]): string[] {
  const short = policies.map((policy) => {
    if (policy.length <= LONG) return policy;
    const { name, parameters } = parsePolicySpec(policy);
    return [name, ...Object.values(parameters)].join(' ');
  });
  return short.map((label, index) => (short.indexOf(label) === short.lastIndexOf(label) ? label : policies[index]!));
}
