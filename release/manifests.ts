/* The package.json of what is published. */

/** As npm calls them. */
export interface Platform {
  readonly os: string;
  readonly cpu: string;
}

interface PackageJson {
  readonly name: string;
  readonly version: string;
  readonly [key: string]: unknown;
}

interface Manifest extends PackageJson {
  readonly files: readonly string[];
  readonly dependencies: Readonly<Record<string, string>>;
}

/** Where `server/onnx-runtime/c-api.ts` looks for it. */
function platformPackage({ os, cpu }: Platform): string {
  return `sponge-inference-onnxruntime-${os}-${cpu}`;
}

/** ONNX Runtime's library for one platform; its version is that of ONNX Runtime. */
export function platformManifest(platform: Platform, runtimeVersion: string): PackageJson {
  const { os, cpu } = platform;
  return {
    name: platformPackage(platform),
    version: runtimeVersion,
    description: `ONNX Runtime's library for ${os} ${cpu}, unchanged, as sponge-inference uses it`,
    license: 'MIT',
    author: 'Microsoft Corporation',
    homepage: 'https://onnxruntime.ai',
    os: [os],
    cpu: [cpu],
    // ONNX Runtime's is built for no other.
    ...(os === 'linux' ? { libc: ['glibc'] } : {}),
  };
}

/** Of a clone alone. */
const NOT_PUBLISHED = new Set(['devDependencies', 'scripts', 'overrides']);

/** A clone's, with a package for each platform in place of one for all of them. */
export function publishedManifest(
  manifest: Manifest,
  platforms: readonly Platform[],
  runtimeVersion: string,
): Manifest {
  const { 'onnxruntime-node': ofAllPlatforms, ...dependencies } = manifest.dependencies;
  if (ofAllPlatforms !== runtimeVersion)
    throw new Error(`package.json has onnxruntime-node ${ofAllPlatforms}, and ${runtimeVersion} is installed`);
  const published = Object.entries(manifest).filter(([key]) => !NOT_PUBLISHED.has(key));
  const optionalDependencies = Object.fromEntries(platforms.map((each) => [platformPackage(each), runtimeVersion]));
  const { name, version, files } = manifest;
  return { ...Object.fromEntries(published), name, version, files, dependencies, optionalDependencies };
}
