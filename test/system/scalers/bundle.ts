import { buildSync } from 'esbuild';

/** Bundles one TypeScript program into one module that a bare `node` runs: worker threads and the guest have no loader. */
export function bundle(entryPoint: string, outfile: string): void {
  buildSync({
    entryPoints: [entryPoint],
    outfile,
    bundle: true,
    platform: 'node',
    format: 'esm',
    target: 'node20',
    logLevel: 'error',
  });
}
