import type { LatencyModel } from '../domain/latency.js';
import type { ShapeClass } from '../domain/request.js';
import { baseModel, type BaseModel } from './base-model.js';
import { ClassModel, TAIL_WINDOW, type Prior } from './class-model.js';
import type { LatencyCurve } from './curve.js';
import type { LatencyModels, LatencyObservation } from './model-source.js';
import type { Profile } from './profile.js';
import { quantile } from './quantile.js';

/*
 * The latency models of one served model, a shape class each: profile → fit or table → corrected from every batch.
 *
 * Only one class is profiled. Any other starts as the profiled one, scaled by element count and by what has been learnt
 * about this machine since, and is believed little: three batches of its own overrule it.
 */

/**
 * What planning adds to the p99 of a quick profile, and to that of a class that was not profiled: 25 %. Five runs put a
 * cell's median about 4 % off (0.56 σ at σ = 7 %), a thin grid predicts unseen cells about 10 % off, and the largest of
 * some 60 residuals is not yet a p99. It goes as the batches that really run replace the profile's residuals.
 */
const THIN_EVIDENCE_LOG_MARGIN = Math.log(1.25);

/** Batches that must disagree before the profile's own class leaves the profile's level. Half a scale window, nearly. */
const PROFILED_STRENGTH = 9;
/** The same for other classes; two, so that a cold first run is not believed. */
const UNPROFILED_STRENGTH = 2;

/** Classes remembered, 3.5 KB each; the least recently used is forgotten. Clients choose shapes, so it must be bounded. */
const MOST_CLASSES = 64;

/** Planning is with the p99: one in a hundred may be slower. */
export const DEFAULT_TARGET_MISS_RATE = 0.01;

interface KnownClass {
  readonly model: ClassModel;
  readonly shapeClass: ShapeClass;
  lastUse: number;
}

/** What a profile gives to the classes. */
interface Base {
  readonly profile: Profile;
  readonly model: BaseModel;
  /** Pooled residuals at 1/200, 2/200, … 199/200. */
  readonly logResiduals: readonly number[];
}

export class OnlineLatencyModels implements LatencyModels {
  #base: Base | null;
  readonly #classes = new Map<string, KnownClass>();
  #uses = 0;
  readonly #targetMissRate: number;

  /**
   * @param profile null where nothing has been measured yet: every latency is then predicted to be 0 ms, so that admission
   *   refuses nothing and every plan is feasible, and `isProvisional` tells planning to grant the largest allocation
   * @param targetMissRate of batches that the plan expected to be in time, the share that may miss deadlines; in (0, 1)
   */
  constructor(profile: Profile | null, targetMissRate = DEFAULT_TARGET_MISS_RATE) {
    this.#targetMissRate = targetMissRate;
    this.#base = profile === null ? null : baseOf(profile);
  }

  get isProvisional(): boolean {
    return this.#base === null;
  }

  /** The surface in use and how well it predicts; null while provisional. */
  get baseModel(): BaseModel | null {
    return this.#base?.model ?? null;
  }

  /** The same object for as long as the class is remembered; it is corrected, and changes profiles, in place. */
  forClass(shapeClass: ShapeClass): LatencyModel {
    return this.#classModel(shapeClass);
  }

  observe({ shapeClass, actualToPredicted, missedFraction }: LatencyObservation): void {
    if (this.#base === null || !(actualToPredicted > 0 && actualToPredicted < Infinity)) return;
    this.#classModel(shapeClass).observe(actualToPredicted, missedFraction);
  }

  /**
   * Plans with another profile from now on. Models already handed out change with it. How other classes compare with the
   * profiled one is kept where the same class was profiled; what was learnt about the machine is in the new profile.
   */
  replaceProfile(profile: Profile): void {
    const previous = this.#base;
    const previousLogScale = this.#profiledLogScale();
    this.#base = baseOf(profile);
    const isComparable = previous !== null && isOfSameClass(previous.profile, profile);
    for (const { model, shapeClass } of this.#classes.values()) {
      const prior = this.#prior(shapeClass, 0);
      const isProfiled = isProfiledClass(profile, shapeClass);
      model.restart(isComparable && !isProfiled ? { ...prior, logScale: model.logScale - previousLogScale } : prior);
    }
  }

  #classModel(shapeClass: ShapeClass): ClassModel {
    let known = this.#classes.get(shapeClass.key);
    if (known === undefined) {
      if (this.#classes.size >= MOST_CLASSES) this.#forgetOne();
      known = { model: new ClassModel(this.#prior(shapeClass, this.#profiledLogScale())), shapeClass, lastUse: 0 };
      this.#classes.set(shapeClass.key, known);
    }
    known.lastUse = ++this.#uses;
    return known.model;
  }

  #forgetOne(): void {
    const unused = [...this.#classes.values()].reduce((a, b) => (a.lastUse <= b.lastUse ? a : b));
    this.#classes.delete(unused.shapeClass.key);
  }

  /** @param machineLogScale ln(latency of the profiled class now / its profile) */
  #prior(shapeClass: ShapeClass, machineLogScale: number): Prior {
    const targetMissRate = this.#targetMissRate;
    if (this.#base === null) return { ...PROVISIONAL_PRIOR, targetMissRate };
    const { profile, model, logResiduals } = this.#base;
    const isProfiled = isProfiledClass(profile, shapeClass);
    const margin = isProfiled && profile.quality !== 'quick' ? 0 : THIN_EVIDENCE_LOG_MARGIN;
    const elementRatio = Math.max(1, shapeClass.elementCount) / profile.elementCount;
    const logScale = isProfiled ? 0 : Math.log(elementRatio) + machineLogScale;
    return {
      curve: model.curve,
      logScale,
      strength: isProfiled ? PROFILED_STRENGTH : UNPROFILED_STRENGTH,
      logResiduals: logResiduals.map((residual) => residual + margin),
      targetMissRate,
    };
  }

  /** What has been learnt about the profiled class since; 0 while it has not been seen. */
  #profiledLogScale(): number {
    if (this.#base === null) return 0;
    for (const { model, shapeClass } of this.#classes.values()) {
      if (isProfiledClass(this.#base.profile, shapeClass)) return model.logScale;
    }
    return 0;
  }
}

const NO_LATENCY: LatencyCurve = { latencyMs: () => 0 };
const PROVISIONAL_PRIOR: Omit<Prior, 'targetMissRate'> = {
  curve: NO_LATENCY,
  logScale: 0,
  strength: PROFILED_STRENGTH,
  logResiduals: new Array<number>(TAIL_WINDOW).fill(0),
};

function baseOf(profile: Profile): Base {
  const model = baseModel(profile);
  const logResiduals = Array.from({ length: TAIL_WINDOW }, (_, i) =>
    quantile(model.logResiduals, (i + 1) / (TAIL_WINDOW + 1)),
  );
  return { profile, model, logResiduals };
}

/** Published tables name no class: those of as many elements are taken for it. */
function isProfiledClass({ fingerprint, elementCount }: Profile, shapeClass: ShapeClass): boolean {
  return fingerprint === null ? shapeClass.elementCount === elementCount : shapeClass.key === fingerprint.shapeClassKey;
}

function isOfSameClass(a: Profile, b: Profile): boolean {
  return a.fingerprint?.shapeClassKey === b.fingerprint?.shapeClassKey && a.elementCount === b.elementCount;
}
