import { CORE_MILLICORES } from '../controlplane/baselines/allocations.js';
import type { Preference } from '../controlplane/program-planner.js';
import type { Policy } from '../system.js';
import type { PolicyDeclaration, PolicyParameters, PolicySetting, Scaling } from './declaration.js';
import { dispatchRule, KNOBS, type DispatchKnobs } from './dispatch-knobs.js';
import { PARTS, type Part } from './own-policies.js';
import { AUTHORS_WAIT_MS, POLICIES } from './registry.js';

/* One of the policies, with its parameters: what `serve` has from its flags, and `simulate` from `name(key=value,…)`. */

const PREFERENCES = ['cpu', 'latency'] as const satisfies readonly Preference[];

export interface ChosenPolicy {
  readonly name: string;
  readonly scaling: Scaling;
  readonly knobs: DispatchKnobs;
  readonly parameters: PolicyParameters;
  /** Parameters that were given; the others are its own. */
  readonly stated: ReadonlySet<string>;
  readonly declaration: PolicyDeclaration;
}

export interface PolicyTitle {
  readonly name: string;
  readonly title: string;
}

export function registeredTitles(): readonly PolicyTitle[] {
  return Object.entries(POLICIES).map(([name, { title }]) => ({ name, title }));
}

/**
 * @param others names that the caller has besides, to tell who gives one that nobody has
 * @throws Error, one line, for an unknown name or parameter
 */
export function choosePolicy(
  name: string,
  given: Readonly<Record<string, string>>,
  others: readonly string[] = [],
): ChosenPolicy {
  const declaration = Object.hasOwn(POLICIES, name) ? POLICIES[name] : undefined;
  if (declaration === undefined) {
    const names = [...Object.keys(POLICIES), ...others];
    throw new Error(`no policy is called ${name}; there are ${names.join(', ')}`);
  }
  const { parameters = {}, hasParts = false, hasPreference = false } = declaration;
  const knobs: Record<keyof DispatchKnobs, string> = { ...declaration.dispatch };
  const numbers: Record<string, number> = { ...parameters };
  let without: Part = 'none';
  let prefer: Preference = 'cpu';
  for (const [key, value] of Object.entries(given)) {
    if (isKnob(key)) knobs[key] = oneOf(KNOBS[key], key, value);
    else if (key === 'without' && hasParts) without = oneOf(PARTS, key, value);
    else if (key === 'prefer' && hasPreference) prefer = oneOf(PREFERENCES, key, value);
    else if (Object.hasOwn(numbers, key)) numbers[key] = positive(key, value);
    else {
      const own = [...Object.keys(parameters), ...(hasParts ? ['without'] : [])];
      const known = [...own, ...Object.keys(KNOBS), ...(hasPreference ? ['prefer'] : [])];
      throw new Error(`policy ${name} has no parameter ${key}; it has ${known.join(', ')}`);
    }
  }
  return {
    name,
    scaling: declaration.scaling,
    knobs: knobs as DispatchKnobs,
    parameters: { numbers, without, prefer },
    stated: new Set(Object.keys(given)),
    declaration,
  };
}

/** Of each replica, as asked for: what can be granted may be less. */
export function unitMillicoresOf({ parameters }: ChosenPolicy): number {
  return Math.max(1, Math.round((parameters.numbers['unit'] ?? 1) * CORE_MILLICORES));
}

export interface BuiltPolicy {
  readonly policy: Policy;
  /** Whether latency models are to follow the batches that really run. */
  readonly learns: boolean;
  /** Warm instances that it is to have. */
  readonly instances: number;
}

/** A fresh one for each model and run: some remember. */
export function builtPolicy(chosen: ChosenPolicy, setting: PolicySetting): BuiltPolicy {
  const { name, scaling, knobs, parameters, declaration } = chosen;
  const { planner, observe, isAllocationFixed, learns = true, instances = 1 } = declaration.cpu(setting, parameters);
  const waitMs = parameters.numbers['waitMs'] ?? AUTHORS_WAIT_MS;
  const { dispatch, observe: observeDispatch } = dispatchRule(knobs, { waitMs, sloMs: setting.sloMs });
  const observers = [observe, observeDispatch].filter((each) => each !== undefined);
  return {
    policy: {
      name,
      dispatch,
      planner,
      isAllocationFixed: isAllocationFixed ?? scaling.kind === 'fixed',
      ...(observers.length === 0 ? {} : { observe: (event) => observers.forEach((each) => each(event)) }),
    },
    learns,
    instances,
  };
}

function isKnob(key: string): key is keyof DispatchKnobs {
  return Object.hasOwn(KNOBS, key);
}

function oneOf<const T extends string>(allowed: readonly T[], key: string, value: string): T {
  const found = allowed.find((each) => each === value);
  if (found === undefined) throw new Error(`policy parameter ${key}=${value}: give one of ${allowed.join(', ')}`);
  return found;
}

function positive(key: string, value: string): number {
  const number = Number(value);
  if (!(number > 0 && number < Infinity)) throw new Error(`policy parameter ${key}=${value}: give a number > 0`);
  return number;
}
