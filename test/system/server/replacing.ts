import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { slow } from '../../../research/load-models/tiny-graphs.js';
import { http } from './clients.js';
import type { RunningServer, TestBench } from './harness.js';
import { SteadyClient, type Tally } from './steady-client.js';

/* One version after another of a model takes the place of the one before it, while a client calls it all the time. */

/** 20 requests a second, with less than a third of a second each. */
const CLIENT = { model: 'slow', everyMs: 50, sloMs: 300 };

/** Version n of the model has n + 1 steps, by which it is known. */
export function placeOf(version: number): number {
  return version + 1;
}

export class Replacing {
  readonly #bench: TestBench;
  readonly #repository: string;
  #version = 0;

  constructor(bench: TestBench, repository: string) {
    this.#bench = bench;
    this.#repository = repository;
  }

  /** Serves the first version. */
  async serve(): Promise<RunningServer> {
    this.#writeNext();
    const flags = ['--model-control', 'explicit', '--load-model', CLIENT.model, '--instances', 'auto'];
    return this.#bench.serve(this.#bench.path(this.#repository), flags);
  }

  /** @returns what became of the client's requests meanwhile @throws Error where a version is not served when that was said */
  async replace(server: RunningServer, count: number): Promise<Tally> {
    const client = new SteadyClient(server, CLIENT);
    for (let replaced = 0; replaced < count; replaced++) {
      this.#writeNext();
      const { status, json } = await http(`${server.rest}/v2/repository/models/slow/load`, { method: 'POST' });
      if (status !== 200) throw new Error(`version ${this.#version}: ${status} ${json.error ?? ''}`);
      // So that each of them is called.
      await delay(4 * CLIENT.everyMs);
    }
    return client.end();
  }

  /** The same client, while nothing else happens. */
  async rest(server: RunningServer, durationMs: number): Promise<Tally> {
    const client = new SteadyClient(server, CLIENT);
    await delay(durationMs);
    return client.end();
  }

  #writeNext(): void {
    this.#version += 1;
    const path = join(this.#repository, CLIENT.model, String(this.#version), 'model.onnx');
    this.#bench.file(path, slow(placeOf(this.#version)).toModel());
  }
}

/** For people. */
export function tallyText({ sent, late, failures, p50Ms, p99Ms, mostMs }: Tally): string {
  const times = `median ${p50Ms.toFixed(1)} ms, p99 ${p99Ms.toFixed(1)} ms, most ${mostMs.toFixed(1)} ms`;
  return `${sent} requests, ${failures.length} failed, ${late} late or refused for their deadline; ${times}`;
}
