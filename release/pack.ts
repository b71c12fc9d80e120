import { execFileSync } from 'node:child_process';
import { cpSync, existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { platformManifest, publishedManifest, type Platform } from './manifests.js';

/*
 * Makes the packages that are published, each a tarball: one for each platform with ONNX Runtime's library, and Sponge, which has them
 * as optional dependencies, so that npm installs the one that fits. `onnxruntime-node`, which a clone uses, has them all: 301 MB of
 * which one platform needs 25 to 70.
 *
 *   npm run release                      all of them, into release/tarballs/
 *   … release/pack.ts --here --to <dir>  this platform's only, to try on this machine
 */

const ROOT = fileURLToPath(new URL('../', import.meta.url));
/** The binding of `onnxruntime-node`, which Sponge does without: it calls the library itself. */
const UNUSED_FILE = 'onnxruntime_binding.node';

const { values: flags } = parseArgs({
  options: {
    here: { type: 'boolean', default: false },
    to: { type: 'string', default: join(ROOT, 'release/tarballs') },
  },
});

const runtime = dirname(createRequire(import.meta.url).resolve('onnxruntime-node/package.json'));
const { version: runtimeVersion } = readJson(join(runtime, 'package.json')) as { version: string };
const libraries = join(runtime, 'bin/napi-v6');
const platforms = platformsIn(libraries).filter((platform) => !flags.here || isThis(platform));
const manifest = readJson(join(ROOT, 'package.json')) as Parameters<typeof publishedManifest>[0];
if (!existsSync(join(ROOT, 'dist'))) throw new Error('nothing is built: run "npm run build" first');

const to = resolve(flags.to);
mkdirSync(to, { recursive: true });
for (const platform of platforms) {
  const folder = join(libraries, platform.os, platform.cpu);
  const files = readdirSync(folder).filter((name) => name !== UNUSED_FILE && !isSecondName(name));
  pack(platformManifest(platform, runtimeVersion), folder, files);
}
pack(publishedManifest(manifest, platforms, runtimeVersion), ROOT, manifest.files.filter(isPath));

function platformsIn(folder: string): readonly Platform[] {
  return readdirSync(folder).flatMap((os) => readdirSync(join(folder, os)).map((cpu) => ({ os, cpu })));
}

function isThis({ os, cpu }: Platform): boolean {
  return os === process.platform && cpu === process.arch;
}

/** macOS has the library twice: `libonnxruntime.1.30.0.dylib` is the same bytes. */
function isSecondName(name: string): boolean {
  return name.endsWith(`.${runtimeVersion}.dylib`);
}

/** The others of `files` say what is left out. */
function isPath(pattern: string): boolean {
  return !pattern.startsWith('!');
}

/** A tarball of these files, with this as its package.json. */
function pack(packageJson: object, folder: string, files: readonly string[]): void {
  const stage = mkdtempSync(join(tmpdir(), 'sponge-pack-'));
  try {
    for (const name of files) cpSync(join(folder, name), join(stage, name), { recursive: true });
    writeFileSync(join(stage, 'package.json'), `${JSON.stringify(packageJson, null, 2)}\n`);
    const made = execFileSync('npm', ['pack', '--silent', '--pack-destination', to], { cwd: stage, encoding: 'utf8' });
    console.log(join(to, made.trim()));
  } finally {
    rmSync(stage, { recursive: true });
  }
}

function readJson(path: string): unknown {
  return JSON.parse(readFileSync(path, 'utf8'));
}
