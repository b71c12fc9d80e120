import { readFileSync } from 'node:fs';
import type * as VegaLibrary from 'vega';
import type { compile } from 'vega-lite';

/*
 * The libraries that draw charts. Only who makes reports needs them, and they bring 18 MB of packages: they are optional peers, which
 * an installation from the registry leaves out.
 */

const packageFile = new URL('../../package.json', import.meta.url);

export interface Vega {
  readonly vega: typeof VegaLibrary;
  readonly compile: typeof compile;
}

/** Whoever is to draw after minutes of work asks before. @throws Error, one line with its remedy, where they are not installed */
export async function loadVega(): Promise<Vega> {
  try {
    const [vega, { compile }] = await Promise.all([import('vega'), import('vega-lite')]);
    return { vega, compile };
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ERR_MODULE_NOT_FOUND') throw error;
    throw new Error(`reports are drawn by packages that are not installed: npm install ${peers().join(' ')}`, {
      cause: error,
    });
  }
}

/** `name@version`, as in package.json. */
function peers(): readonly string[] {
  const text = readFileSync(packageFile, 'utf8');
  const { peerDependencies } = JSON.parse(text) as { peerDependencies: Readonly<Record<string, string>> };
  return Object.entries(peerDependencies).map(([name, version]) => `${name}@${version}`);
}
