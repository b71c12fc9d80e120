import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Disturbed, DISTURBED_EXIT_CODE } from './disturbed.js';

type End = () => Promise<void> | void;

/** What a bench with processes or files is given; everything added is ended in reverse order, whatever happens. */
export class Scope {
  readonly #ends: End[] = [];

  onEnd(end: End): void {
    this.#ends.push(end);
  }

  /** Keeps a part until the end. */
  use<T>(part: T, end: (part: T) => Promise<void> | void): T {
    this.onEnd(() => end(part));
    return part;
  }

  folder(): string {
    return this.use(mkdtempSync(join(tmpdir(), 'sponge-bench-')), (path) => rmSync(path, { recursive: true }));
  }

  async end(): Promise<void> {
    for (let end = this.#ends.pop(); end !== undefined; end = this.#ends.pop()) await end();
  }
}

/** Runs a bench and leaves nothing behind; also not when it is interrupted. */
export async function bench(measure: (scope: Scope) => Promise<void>): Promise<void> {
  const scope = new Scope();
  const interrupted = new Promise<never>((_, reject) => {
    for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => reject(new Error(signal)));
  });
  try {
    await Promise.race([measure(scope), interrupted]);
  } catch (error) {
    if (!(error instanceof Disturbed)) throw error;
    console.error(`disturbed: ${error.message}`);
    process.exitCode = DISTURBED_EXIT_CODE;
  } finally {
    await scope.end();
  }
  if (process.connected) process.disconnect();
}
