import { allocationChart, hasInstances, instanceChart, resizeChart } from './allocation-charts.js';
import { batchChart, depthChart } from './batch-charts.js';
import type { Card } from './card.js';
import { knownRange } from './known-range.js';
import { hasLanes, laneChart } from './lane-chart.js';
import { modelCoresChart, withCores } from './model-cores-chart.js';
import { PipelinePanel } from './pipeline-panel.js';
import { PlanPanel } from './plan-panel.js';
import { QueueStrip } from './queue-strip.js';
import { budgetChart, latencyChart, outcomeChart } from './request-charts.js';
import { ScatterChart } from './scatter-chart.js';
import { SourcePanel } from './source-panel.js';
import { TimeChart, type Frame, type TimeChartEvents } from './time-chart.js';

/*
 * All panels, and who of them is drawn when. A frame of the screen is 16 ms for everything: each time, charts whose picture
 * would differ are drawn in turn until a few of those are spent, and the next ones wait for the next frame. At a window of a
 * minute a chart moves by a pixel some ten times a second, so waiting is not seen.
 */

/** A third of a frame: the browser has to paint it too. */
const FRAME_BUDGET_MS = 5;

interface Drawn {
  isStale(frame: Frame): boolean;
  draw(frame: Frame): void;
  invalidate(): void;
}

interface Told {
  tell(frame: Frame): void;
}

export class Board {
  readonly #charts: readonly (Drawn & Told)[];
  readonly #modelCores: TimeChart;
  readonly #lanes: TimeChart;
  readonly #instances: TimeChart;
  readonly #queue = new QueueStrip();
  readonly #plan = new PlanPanel();
  readonly #pipeline = new PipelinePanel();
  /** Of what has cores, which a pipeline has not. */
  readonly #ofModels: readonly { readonly card: Card }[];
  readonly #sources = new SourcePanel();
  #next = 0;
  /** Text is written a panel a frame, so that no frame pays for all of it. */
  #untold: (() => void)[] = [];

  constructor(root: HTMLElement, events: TimeChartEvents) {
    const chart = (spec: ConstructorParameters<typeof TimeChart>[0]): TimeChart => new TimeChart(spec, events);
    const allocation = chart(allocationChart);
    const [depth, outcomes, latency] = [chart(depthChart), chart(outcomeChart), chart(latencyChart)];
    const [budgets, batches, resizes] = [chart(budgetChart), chart(batchChart), chart(resizeChart)];
    const scatter = new ScatterChart();
    this.#modelCores = chart(modelCoresChart());
    this.#lanes = chart(laneChart);
    this.#instances = chart(instanceChart);
    const panels = [
      ...[this.#modelCores, this.#pipeline, allocation, this.#plan],
      ...[this.#lanes],
      ...[this.#queue, depth, outcomes],
      ...[latency, budgets, batches],
      ...[scatter, resizes, this.#sources, this.#instances],
    ];
    root.append(...panels.map(({ card }) => card.root));
    this.#ofModels = [allocation, this.#plan, batches, scatter, resizes];
    this.#charts = [
      this.#modelCores,
      allocation,
      this.#lanes,
      depth,
      outcomes,
      latency,
      budgets,
      batches,
      resizes,
      scatter,
      this.#instances,
    ];
  }

  /** @param instantMs of which the queue is shown */
  draw(frame: Frame, instantMs: number): void {
    const untilMs = performance.now() + FRAME_BUDGET_MS;
    this.#queue.draw(frame.model, instantMs);
    for (let visited = 0; visited < this.#charts.length && performance.now() < untilMs; visited++) {
      const chart = this.#charts[this.#next]!;
      this.#next = (this.#next + 1) % this.#charts.length;
      if (chart.isStale(frame)) chart.draw(frame);
    }
    this.#untold.pop()?.();
  }

  /** Writes what depends on the range, over the next frames. */
  tell(frame: Frame): void {
    const { run, model } = frame;
    const range = { fromMs: frame.range.fromMs, toMs: frame.untilMs };
    const isPipeline = model.pipeline !== null;
    this.#modelCores.card.root.hidden = withCores(run).length < 2;
    this.#pipeline.card.root.hidden = !isPipeline;
    for (const { card } of this.#ofModels) card.root.hidden = isPipeline;
    this.#lanes.card.root.hidden = isPipeline || !hasLanes(model);
    this.#instances.card.root.hidden = isPipeline || !hasInstances(model);
    this.#untold = [
      ...this.#charts.map((chart) => () => chart.tell(frame)),
      () => this.#sources.tell(model, range),
      // Taken from the end: it is the first.
      () => this.#pipeline.tell(model, knownRange(run, model, range)),
    ];
  }

  /** Writes what depends on the instant. @param when that is, for people */
  tellInstant({ model, range, untilMs }: Frame, instantMs: number, when: string): void {
    this.#plan.tell(model, { fromMs: range.fromMs, toMs: untilMs }, instantMs);
    this.#queue.tell(model, instantMs, when);
  }

  get isTelling(): boolean {
    return this.#untold.length > 0;
  }

  /** Everything anew: other data, other colours. */
  invalidate(): void {
    this.#queue.invalidate();
    for (const chart of this.#charts) chart.invalidate();
  }
}
