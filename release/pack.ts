import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { cpSync, existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { platformManifest, publishedManifest, type Platform } from './manifests.js';
import { publishedBom, type Bom, type PlatformPackage } from './sbom.js';

/*
 * Makes the packages that are published, each a tarball: one for each platform with ONNX Runtime's library, and Sponge, which has them
 * as optional dependencies, so that npm installs the one that fits. `onnxruntime-node`, which a clone uses, has them all: 301 MB of
 * which one platform needs 25 to 70. What is in them is said by a software bill of materials (CycloneDX), inside and beside.
 *
 *   npm run release                      all of them, into release/tarballs/
 *   … release/pack.ts --here --to <dir>  this platform's only, to try on this machine
 */

const ROOT = fileURLToPath(new URL('../', import.meta.url));
/** The binding of `onnxruntime-node`, which Sponge does without: it calls the library itself. */
const UNUSED_FILE = 'onnxruntime_binding.node';
/** In the package; `files` of package.json has it too. */
const BOM_FILE = 'sbom.cdx.json';

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
const platformPackages = platforms.map((platform): PlatformPackage => {
  const folder = join(libraries, platform.os, platform.cpu);
  const files = readdirSync(folder).filter((name) => name !== UNUSED_FILE && !isSecondName(name));
  const made = platformManifest(platform, runtimeVersion);
  const tarball = pack(made, folder, files);
  const sha512 = createHash('sha512').update(readFileSync(tarball)).digest('hex');
  return { ...platform, name: made.name, version: made.version, sha512 };
});
const published = publishedManifest(manifest, platforms, runtimeVersion);
const bom = `${JSON.stringify(publishedBom(listedByNpm(), published, platformPackages), null, 2)}\n`;
const bomPath = join(to, `${published.name}-${published.version}.cdx.json`);
pack(
  published,
  ROOT,
  manifest.files.filter((path) => isPath(path) && path !== BOM_FILE),
  { [BOM_FILE]: bom },
);
writeFileSync(bomPath, bom);
console.log(bomPath);

/** Of all that is locked, whether it is installed or not. */
function listedByNpm(): Bom {
  const args = ['sbom', '--sbom-format', 'cyclonedx', '--package-lock-only'];
  return JSON.parse(execFileSync('npm', args, { cwd: ROOT, encoding: 'utf8', maxBuffer: 2 ** 26 })) as Bom;
}

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

/** A tarball of these files and texts, with this as its package.json. @returns its path */
function pack(
  packageJson: object,
  folder: string,
  files: readonly string[],
  texts: Readonly<Record<string, string>> = {},
): string {
  const stage = mkdtempSync(join(tmpdir(), 'sponge-pack-'));
  try {
    for (const name of files) cpSync(join(folder, name), join(stage, name), { recursive: true });
    for (const [name, text] of Object.entries(texts)) writeFileSync(join(stage, name), text);
    writeFileSync(join(stage, 'package.json'), `${JSON.stringify(packageJson, null, 2)}\n`);
    const made = execFileSync('npm', ['pack', '--silent', '--pack-destination', to], { cwd: stage, encoding: 'utf8' });
    const path = join(to, made.trim());
    console.log(path);
    return path;
  } finally {
    rmSync(stage, { recursive: true });
  }
}

function readJson(path: string): unknown {
  return JSON.parse(readFileSync(path, 'utf8'));
}
