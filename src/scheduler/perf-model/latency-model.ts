import { NO_LATENCY, type LatencyModel } from '../domain/latency.js';
import type { ShapeClass } from '../domain/request.js';
import { baseModel, type BaseModel } from './base-model.js';
import { ClassModel } from './class-model.js';
import { Correction, TAIL_WINDOW, type Prior } from './correction.js';
import { cellPoints } from './curve.js';
import { InterferenceEstimate } from './interference.js';
import type { LatencyModels, LatencyObservation } from './model-source.js';
import type { Profile } from './profile.js';
import { quantile } from './quantile.js';
import { RecentlyUsed } from './recently-used.js';
import { ShapeSurface } from './shape-surface.js';
import { shapeTerms } from './shape-terms.js';
import { SurfaceModel, type SharedBelief } from './surface-model.js';

/*
 * The latency models of one served model, a shape class each: profile → fit or table → corrected from every batch.
 *
 * Only one class is profiled, and has the profile's curve. All others have the surface over shapes (`shape-surface.ts`), which
 * they teach together: what one class took says what another will take. A class that is seen often gets a correction of its
 * own. Clients choose shapes, so what is kept for each is bounded; what they taught the surface stays.
 *
 * The surface speaks of the machine as it was profiled. How much slower it is now is one scale for all classes that were not
 * profiled, learnt from batches of the profiled class and of shapes that the surface is sure of.
 */

/**
 * What planning adds to the p99 of a quick profile, and to that of classes that were not profiled: 25 %. Five runs put a
 * cell's median about 4 % off (0.56 σ at σ = 7 %), a thin grid predicts unseen cells about 10 % off, and the largest of
 * some 60 residuals is not yet a p99. It goes as the batches that really run replace the profile's residuals.
 */
const THIN_EVIDENCE_LOG_MARGIN = Math.log(1.25);

/** Batches that must disagree before the profile's own class leaves the profile's level. Half a scale window, nearly. */
const PROFILED_STRENGTH = 9;
/** The same for the level of all other classes; two, so that a cold first run is not believed. */
const SHARED_STRENGTH = 2;

/** Classes remembered, about 0.6 KB each; only what is kept for one class alone is forgotten with it. */
const MOST_CLASSES = 1024;
/** Classes with a correction of their own, 3.5 KB each. */
const MOST_EXACT_CLASSES = 64;

/**
 * The surface counts as sure of a shape when it is taken to be at most half off: the batch then says how fast the machine is and
 * how much batches scatter, and otherwise what the shape costs.
 */
const SURE_LOG_DEVIATION = Math.log(1.5);
/** Of the typical allocation (of its logarithm), and of what is busy beside a batch, the share that the latest batch has. */
const LATEST_SHARE = 0.1;

/** Planning is with the p99: one in a hundred may be slower. */
export const DEFAULT_TARGET_MISS_RATE = 0.01;

/** What a profile gives to the classes. */
interface Base {
  readonly profile: Profile;
  readonly model: BaseModel;
  /** Pooled residuals at 1/200, 2/200, … 199/200. */
  readonly logResiduals: readonly number[];
  readonly profiled: ClassModel;
  readonly shared: Changing<SharedBelief>;
}

type Changing<T> = { -readonly [Key in keyof T]: T[Key] };

export class OnlineLatencyModels implements LatencyModels {
  #base: Base | null;
  readonly #classes = new RecentlyUsed<string, KnownClass>(MOST_CLASSES);
  readonly #exact = new RecentlyUsed<SurfaceModel, SurfaceModel>(MOST_EXACT_CLASSES, (model) => model.forgetOwn());
  readonly #targetMissRate: number;
  #interference: InterferenceEstimate;
  /** Of the latest batches, what was busy beside them. */
  #busyFraction = 0;
  #revision = 0;

  /**
   * @param profile null where nothing has been measured yet: every latency is then predicted to be 0 ms, so that admission
   *   refuses nothing and every plan is feasible, and `isProvisional` tells planning to grant the largest allocation
   * @param targetMissRate of batches that the plan expected to be in time, the share that may miss deadlines; in (0, 1)
   */
  constructor(profile: Profile | null, targetMissRate = DEFAULT_TARGET_MISS_RATE) {
    this.#targetMissRate = targetMissRate;
    this.#base = profile === null ? null : baseOf(profile, targetMissRate);
    this.#interference = new InterferenceEstimate(profile?.interference?.coefficient ?? null);
  }

  get isProvisional(): boolean {
    return this.#base === null;
  }

  /** The surface in use and how well it predicts; null while provisional. */
  get baseModel(): BaseModel | null {
    return this.#base?.model ?? null;
  }

  get revision(): number {
    return this.#revision;
  }

  get interference(): number {
    return this.#interference.coefficient;
  }

  get isInterferenceUntested(): boolean {
    return this.#interference.isUntested;
  }

  /** The same object for as long as the class is remembered; it is corrected, and changes profiles, in place. */
  forClass(shapeClass: ShapeClass): LatencyModel {
    return this.#known(shapeClass);
  }

  observe(observation: LatencyObservation): void {
    const { shapeClass, batchSize, cpuMillicores, actualToPredicted, missedFraction, busyFraction = 0 } = observation;
    if (this.#base === null || !(actualToPredicted > 0 && actualToPredicted < Infinity)) return;
    this.#revision += 1;
    const { model, rowCount } = this.#known(shapeClass);
    const { shared } = this.#base;
    const scale = Math.exp(model instanceof ClassModel ? model.logScale : shared.correction.logScale);
    if (model instanceof ClassModel) {
      shared.correction.follow(model.logScale + Math.log(actualToPredicted));
      model.observe(actualToPredicted, missedFraction);
    } else if (model instanceof SurfaceModel) {
      const rows = batchSize * rowCount;
      const latencyMs = actualToPredicted * model.predictedLatencyMs(rows, cpuMillicores);
      this.#learn(shared, model, { rows, cpuMillicores, latencyMs, missedFraction });
    }
    this.#learnInterference(shared, scale * actualToPredicted, busyFraction);
  }

  /**
   * Plans with another profile from now on. Models already handed out change with it. How other classes compare with the
   * profiled one is kept where the same class was profiled; what was learnt about the machine is in the new profile.
   */
  replaceProfile(profile: Profile): void {
    this.#revision += 1;
    const previous = this.#base;
    const base = baseOf(profile, this.#targetMissRate);
    if (previous !== null && isOfSameClass(previous.profile, profile)) {
      base.shared.surface.learnFrom(previous.shared.surface, Math.exp(previous.shared.correction.logScale));
      base.shared.typicalMillicores = previous.shared.typicalMillicores;
    }
    this.#base = base;
    if (profile.interference !== undefined)
      this.#interference = new InterferenceEstimate(profile.interference.coefficient);
    for (const known of this.#classes.values()) known.model = this.#modelOf(known.shapeClass);
  }

  /** @param ratio of its latency to the profile's, beside its neighbours as far as they were predicted to slow it down */
  #learnInterference({ correction }: SharedBelief, ratio: number, busyFraction: number): void {
    const previous = this.interference;
    this.#interference.observe(busyFraction, ratio * (1 + previous * busyFraction));
    this.#busyFraction += LATEST_SHARE * (busyFraction - this.#busyFraction);
    if (previous > 0 || this.interference === 0) return;
    // It has just become known: what it slowed the latest batches down by is no longer the machine's.
    const logSlowdown = Math.log(1 + this.interference * this.#busyFraction);
    correction.rebase(logSlowdown);
    this.#base!.profiled.rebase(logSlowdown);
  }

  #known(shapeClass: ShapeClass): KnownClass {
    let known = this.#classes.get(shapeClass.key);
    if (known === undefined) {
      known = new KnownClass(shapeClass, this.#modelOf(shapeClass));
      this.#classes.set(shapeClass.key, known);
    }
    return known;
  }

  #modelOf(shapeClass: ShapeClass): LatencyModel {
    if (this.#base === null) return NO_LATENCY;
    const { profile, profiled, shared } = this.#base;
    if (isProfiledClass(profile, shapeClass)) return profiled;
    return new SurfaceModel(
      shapeTerms(shapeClass, { elementCount: profile.elementCount, axisSizes: profile.axisSizes ?? [] }),
      shared,
    );
  }

  /** From a batch of a class that was not profiled. */
  #learn(
    shared: Changing<SharedBelief>,
    model: SurfaceModel,
    batch: {
      readonly rows: number;
      readonly cpuMillicores: number;
      readonly latencyMs: number;
      readonly missedFraction: number | null;
    },
  ): void {
    const { rows, cpuMillicores, latencyMs, missedFraction } = batch;
    const { surface, correction } = shared;
    const logRatio = Math.log(latencyMs / model.surfaceLatencyMs(rows, cpuMillicores));
    const isSure = surface.confidence * model.deviation <= SURE_LOG_DEVIATION;
    const machine = correction.predictedFactor;
    if (isSure && model.isExact) correction.follow(logRatio);
    else if (isSure) correction.observe(logRatio, missedFraction);
    model.observe(logRatio, missedFraction);
    if (model.isExact) this.#exact.set(model, model);
    surface.observe(model.terms, rows, cpuMillicores, latencyMs / machine);
    const latest = Math.log(cpuMillicores / shared.typicalMillicores);
    shared.typicalMillicores *= Math.exp(LATEST_SHARE * latest);
  }
}

/** A class while it is remembered: what is handed out for it. */
class KnownClass implements LatencyModel {
  readonly shapeClass: ShapeClass;
  readonly rowCount: number;
  /** Over rows. */
  model: LatencyModel;

  constructor(shapeClass: ShapeClass, model: LatencyModel) {
    this.shapeClass = shapeClass;
    this.rowCount = shapeClass.rowCount;
    this.model = model;
  }

  predictedLatencyMs(batchSize: number, cpuMillicores: number): number {
    return this.model.predictedLatencyMs(batchSize * this.rowCount, cpuMillicores);
  }

  plannedLatencyMs(batchSize: number, cpuMillicores: number): number {
    return this.model.plannedLatencyMs(batchSize * this.rowCount, cpuMillicores);
  }

  leastLatencyMs(batchSize: number, cpuMillicores: number): number {
    return this.model.leastLatencyMs(batchSize * this.rowCount, cpuMillicores);
  }
}

function baseOf(profile: Profile, targetMissRate: number): Base {
  const model = baseModel(profile);
  const logResiduals = Array.from({ length: TAIL_WINDOW }, (_, i) =>
    quantile(model.logResiduals, (i + 1) / (TAIL_WINDOW + 1)),
  );
  const priorOf = (strength: number, margin: number): Prior => ({
    logScale: 0,
    strength,
    logResiduals: logResiduals.map((residual) => residual + margin),
    targetMissRate,
  });
  const quickMargin = profile.quality === 'quick' ? THIN_EVIDENCE_LOG_MARGIN : 0;
  const largestMillicores = Math.max(...profile.cells.map((cell) => cell.cpuMillicores));
  return {
    profile,
    model,
    logResiduals,
    profiled: new ClassModel(model.curve, priorOf(PROFILED_STRENGTH, quickMargin)),
    shared: {
      surface: new ShapeSurface(cellPoints(profile, 'p50Ms'), model.coefficients),
      correction: new Correction(priorOf(SHARED_STRENGTH, THIN_EVIDENCE_LOG_MARGIN)),
      typicalMillicores: Math.min(1000, largestMillicores),
      largestMillicores,
      targetMissRate,
    },
  };
}

/** Published tables name no class: those of as many elements are taken for it. */
function isProfiledClass({ fingerprint, elementCount }: Profile, shapeClass: ShapeClass): boolean {
  return fingerprint === null
    ? shapeClass.elementCount === elementCount
    : shapeClass.rowKey === fingerprint.shapeClassKey;
}

function isOfSameClass(a: Profile, b: Profile): boolean {
  return a.fingerprint?.shapeClassKey === b.fingerprint?.shapeClassKey && a.elementCount === b.elementCount;
}
