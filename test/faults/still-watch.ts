import { Scrape } from '../system/server/clients.js';
import type { Ledger } from './ledger.js';

/*
 * Looks for models that stand still: requests wait, a worker is there, and nothing of it ends. A hang of that kind would else be
 * silence, until nothing at all is answered any more: requests with a deadline still expire, and those of other models are served.
 */

/** Longer than anything takes that runs here, and than what is long overdue waits for its turn beside others. */
const STILL_MS = 30_000;
const LOOK_MS = 1000;

/** What is known of a model. */
interface Still {
  readonly endedCount: number;
  readonly sinceMs: number;
}

/** Judges one look at the metrics after the other. */
export class StillModels {
  readonly #models = new Map<string, Still>();

  /** @returns a line for each model that has stood still for too long, once */
  look(nowMs: number, metrics: string): string[] {
    const scrape = new Scrape(metrics);
    const names = new Set([...metrics.matchAll(/^sponge_queue_depth\{.*?model="([^"]*)"/gm)].map((match) => match[1]!));
    return [...names].flatMap((model) => {
      const sum = (name: string): number => (scrape.names.has(name) ? scrape.sum(name, { model }) : 0);
      const waitingCount = sum('sponge_queue_depth');
      const endedCount = sum('sponge_batches_total');
      const before = this.#models.get(model);
      // Only several instances say so; one alone is not away for so long.
      const isAway = scrape.names.has('sponge_instance_ready') && sum('sponge_instance_ready') === 0;
      const mayStand = waitingCount === 0 || isAway;
      if (mayStand || before?.endedCount !== endedCount) {
        this.#models.set(model, { endedCount, sinceMs: nowMs });
        return [];
      }
      if (nowMs - before.sinceMs < STILL_MS) return [];
      this.#models.set(model, { endedCount, sinceMs: Infinity });
      return [`${waitingCount} requests of ${model} wait, and no batch ended for ${STILL_MS / 1000} s`];
    });
  }

  /** The server is another one, or was not there. */
  forget(): void {
    this.#models.clear();
  }
}

/** Until it is stopped; each model that stands still is a finding. */
export function watchForStill(metricsUrl: () => string, ledger: Ledger): { stop(): void } {
  const models = new StillModels();
  const look = async (): Promise<void> => {
    try {
      const metrics = await (await fetch(metricsUrl())).text();
      for (const line of models.look(performance.now(), metrics)) ledger.find('lost', line);
    } catch {
      models.forget();
    }
  };
  const timer = setInterval(() => void look(), LOOK_MS);
  return { stop: () => clearInterval(timer) };
}
