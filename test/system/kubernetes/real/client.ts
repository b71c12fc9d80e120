import { setTimeout as delay } from 'node:timers/promises';
import { http } from '../../server/clients.js';

/** Requests that come whether or not earlier ones have been answered, as those of cameras do. */
export class Client {
  readonly #url: () => string;
  readonly #body: Buffer;
  readonly #headers: Readonly<Record<string, string>>;
  readonly statuses: number[] = [];
  /** What was neither an answer nor a refusal in time. */
  readonly failures: string[] = [];
  readonly #open = new Set<Promise<void>>();
  #everyMs = Infinity;
  #isEnded = false;
  readonly #running: Promise<void>;

  /** @param url of `…/infer`, asked for each time   @param input one tensor, as the model has it */
  constructor(url: () => string, input: { name: string; shape: readonly number[]; data: Float32Array }, sloMs: number) {
    this.#url = url;
    const bytes = Buffer.from(input.data.buffer, input.data.byteOffset, input.data.byteLength);
    const { name, shape } = input;
    const tensor = { name, shape, datatype: 'FP32', parameters: { binary_data_size: bytes.length } };
    const head = Buffer.from(JSON.stringify({ inputs: [tensor], parameters: { binary_data_output: true } }));
    this.#body = Buffer.concat([head, bytes]);
    this.#headers = {
      'content-type': 'application/octet-stream',
      'inference-header-content-length': String(head.length),
      'request-timeout-ms': String(sloMs),
    };
    this.#running = this.#run();
  }

  /** @param perSecond 0: nothing is sent */
  setRate(perSecond: number): void {
    this.#everyMs = 1000 / perSecond;
  }

  async end(): Promise<void> {
    this.#isEnded = true;
    await this.#running;
    await Promise.all(this.#open);
  }

  async #run(): Promise<void> {
    let dueMs = performance.now();
    while (!this.#isEnded) {
      await delay(Math.min(20, Math.max(1, dueMs - performance.now())));
      if (this.#everyMs === Infinity) dueMs = performance.now();
      else if (performance.now() >= dueMs) {
        dueMs = Math.max(dueMs + this.#everyMs, performance.now() - 1000);
        const sent = this.#send().finally(() => this.#open.delete(sent));
        this.#open.add(sent);
      }
    }
  }

  async #send(): Promise<void> {
    try {
      const { status, json } = await http(this.#url(), { method: 'POST', body: this.#body, headers: this.#headers });
      this.statuses.push(status);
      if (![200, 429, 504].includes(status)) this.failures.push(`${status} ${json.error ?? ''}`);
    } catch (error) {
      this.failures.push((error as Error).message);
    }
  }
}
