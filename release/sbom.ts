import type { Platform } from './manifests.js';

/*
 * What is in what is published, as CycloneDX: of the tree that npm has locked what the published dependencies lead to, and in place of the package with
 * ONNX Runtime for all platforms one for each. Not by `npm sbom --omit dev`: npm 10 and 11 leave out what is needed to serve and is a
 * peer of something that only development needs (zod, yaml).
 */

export interface Component {
  readonly 'bom-ref': string;
  readonly type: string;
  readonly name: string;
  readonly version: string;
  readonly [key: string]: unknown;
}

interface Dependency {
  readonly ref: string;
  readonly dependsOn: readonly string[];
}

/** As `npm sbom` prints it, as far as it is looked at. */
export interface Bom {
  readonly metadata: { readonly component: Component; readonly [key: string]: unknown };
  readonly components: readonly Component[];
  readonly dependencies: readonly Dependency[];
  readonly [key: string]: unknown;
}

/** A package that this release makes. */
export interface PlatformPackage extends Platform {
  readonly name: string;
  readonly version: string;
  /** Of its tarball, hexadecimal. */
  readonly sha512: string;
}

/** What is published, as far as it is looked at. */
interface Published {
  readonly name: string;
  /** By name, the version of each. */
  readonly dependencies: Readonly<Record<string, string>>;
}

/** @param bom of the whole clone @throws Error when a dependency is not in it */
export function publishedBom(bom: Bom, published: Published, platforms: readonly PlatformPackage[]): Bom {
  const root = bom.metadata.component['bom-ref'];
  const direct = Object.entries(published.dependencies).map(([name, version]) => `${name}@${version}`);
  const all = new Map(bom.dependencies.map(({ ref, dependsOn }) => [ref, dependsOn]));
  const unknown = direct.filter((ref) => !all.has(ref));
  if (unknown.length > 0) throw new Error(`npm lists no ${unknown.join(', ')}: run "npm ci"`);
  const kept = reachable(root, (ref) => (ref === root ? direct : (all.get(ref) ?? [])));
  const made = platforms.map(componentOf);
  const dependencies = bom.dependencies
    .filter(({ ref }) => kept.has(ref))
    .map(({ ref, dependsOn }) => ({
      ref,
      dependsOn: ref === root ? [...direct, ...made.map((component) => component['bom-ref'])] : dependsOn,
    }));
  return {
    ...bom,
    // npm calls it as its folder is called.
    metadata: { ...bom.metadata, component: { ...bom.metadata.component, name: published.name } },
    components: [...bom.components.filter((component) => kept.has(component['bom-ref'])), ...made],
    dependencies: [...dependencies, ...made.map((component) => ({ ref: component['bom-ref'], dependsOn: [] }))],
  };
}

/** Everything that is come to from here, itself included. */
function reachable(start: string, next: (ref: string) => readonly string[]): ReadonlySet<string> {
  const found = new Set([start]);
  for (const ref of found) for (const each of next(ref)) found.add(each);
  return found;
}

function componentOf({ name, version, os, cpu, sha512 }: PlatformPackage): Component {
  return {
    'bom-ref': `${name}@${version}`,
    type: 'library',
    name,
    version,
    scope: 'optional',
    description: `ONNX Runtime's library for ${os} ${cpu}, unchanged`,
    author: 'Microsoft Corporation',
    purl: `pkg:npm/${name}@${version}`,
    licenses: [{ license: { id: 'MIT' } }],
    hashes: [{ alg: 'SHA-512', content: sha512 }],
  };
}
