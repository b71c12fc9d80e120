import { Option, type Command } from 'commander';
import { resolve } from 'node:path';
import { isElsewhere } from '../server/sources/elsewhere.js';
import type { FetchedModels } from '../server/sources/fetched-models.js';
import type { Addressing } from '../server/sources/s3-bucket.js';
import { positiveNumber } from './options.js';

/** How models from elsewhere are fetched, as commander parses it. */
export interface SourceFlags {
  readonly modelCache?: string;
  readonly offline: boolean;
  readonly maxModelMib: number;
  readonly s3Endpoint?: string;
  readonly s3Addressing: Addressing;
}

const MIB = 1024 ** 2;
/** Larger ones are not served on CPU; a prefix that holds more is hardly the one that was meant. */
const DEFAULT_MAX_MODEL_MIB = 32_768;

export function addSourceFlags(command: Command): Command {
  return command
    .optionsGroup('Models from elsewhere (https://, hf://, s3://):')
    .option('--model-cache <folder>', 'where they are kept (default: $XDG_CACHE_HOME/sponge or ~/.cache/sponge)')
    .option('--offline', 'serve what the cache has, and ask nobody', false)
    .option('--max-model-mib <n>', 'most that is fetched from one place', positiveNumber, DEFAULT_MAX_MODEL_MIB)
    .option('--s3-endpoint <url>', 'of an S3 server that is not AWS (default: AWS_ENDPOINT_URL_S3, AWS_ENDPOINT_URL)')
    .addOption(
      new Option(
        '--s3-addressing <how>',
        'where the bucket stands; auto: before the host of AWS, in the path of others',
      )
        .choices(['auto', 'path', 'virtual'])
        .default('auto'),
    );
}

interface Telling {
  readonly onProgress: (message: string) => void;
  readonly onNotice: (line: string) => void;
  readonly interruption: AbortSignal;
}

/** Null for a path on this machine, for which nothing is loaded. @throws Error, in one line, where it cannot be fetched */
export async function fetchedFrom(path: string, flags: SourceFlags, telling: Telling): Promise<FetchedModels | null> {
  if (!isElsewhere(path)) return null;
  const [{ FetchedModels: Fetched }, { defaultCacheFolder }] = await Promise.all([
    import('../server/sources/fetched-models.js'),
    import('../server/sources/model-cache.js'),
  ]);
  return Fetched.open(path, {
    folder: resolve(flags.modelCache ?? defaultCacheFolder(process.env)),
    isOffline: flags.offline,
    maxBytes: flags.maxModelMib * MIB,
    bucket: { endpoint: flags.s3Endpoint ?? null, addressing: flags.s3Addressing },
    env: process.env,
    ...telling,
  });
}
