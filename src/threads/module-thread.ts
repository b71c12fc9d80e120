import { createRequire } from 'node:module';
import { fileURLToPath } from 'node:url';
import { Worker, type WorkerOptions } from 'node:worker_threads';

/**
 * Runs a module in a thread of its own, named as the asking module would import it. As built that is a plain `Worker`; in a
 * checkout, where tests and research run TypeScript as it stands, the thread learns to read that first: `--import tsx` does not
 * reach worker threads.
 * @param from the asking module's `import.meta.url`
 * @param specifier relative, `./x.js`; its module awaits nothing at its top
 */
export function startModuleThread(from: string, specifier: `./${string}.js`, options: WorkerOptions = {}): Worker {
  const built = new URL(specifier, from);
  if (!from.endsWith('.ts')) return new Worker(built, options);
  const loader = createRequire(import.meta.url).resolve('tsx/cjs/api');
  const file = fileURLToPath(built).replace(/\.js$/, '.ts');
  const script = `require(${JSON.stringify(loader)}).register(); require(${JSON.stringify(file)});`;
  return new Worker(script, { ...options, eval: true });
}
