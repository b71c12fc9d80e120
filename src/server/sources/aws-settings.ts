import { readFile } from 'node:fs/promises';
import { homedir } from 'node:os';
import { join } from 'node:path';
import type { Credentials } from './sigv4.js';
import { SourceError } from './source-error.js';

/*
 * Who asks S3, and where: from the environment, else from the files that AWS's own tools write, by profile. Names and their order are
 * those of AWS's tools. Without any credentials S3 is asked anonymously.
 */

type Environment = Readonly<Record<string, string | undefined>>;
type Section = Readonly<Record<string, string>>;

export interface AwsSettings {
  /** Null: anonymous. */
  readonly credentials: Credentials | null;
  /** Null where nobody says. */
  readonly region: string | null;
  /** Of another server than AWS's; null for AWS. */
  readonly endpoint: string | null;
  /** What there is and is not read, for whoever is refused; null for nothing. */
  readonly unused: string | null;
}

/** @throws SourceError where a profile that is asked for is not there, or is half a one */
export async function readAwsSettings(env: Environment): Promise<AwsSettings> {
  const folder = join(env['HOME'] ?? homedir(), '.aws');
  const profile = env['AWS_PROFILE'] ?? env['AWS_DEFAULT_PROFILE'] ?? null;
  const name = profile ?? 'default';
  const secrets = await sectionsIn(env['AWS_SHARED_CREDENTIALS_FILE'] ?? join(folder, 'credentials'));
  const settings = await sectionsIn(env['AWS_CONFIG_FILE'] ?? join(folder, 'config'));
  const secret = secrets.get(name);
  const setting = settings.get(name === 'default' ? name : `profile ${name}`);
  if (profile !== null && secret === undefined && setting === undefined) {
    throw new SourceError(`AWS_PROFILE ${profile}: there is no such profile in the files of credentials`);
  }
  const section = { ...setting, ...secret };
  return {
    credentials: credentialsIn(env) ?? credentialsOf(section, name),
    region: env['AWS_REGION'] ?? env['AWS_DEFAULT_REGION'] ?? section['region'] ?? null,
    endpoint: env['AWS_ENDPOINT_URL_S3'] ?? env['AWS_ENDPOINT_URL'] ?? section['endpoint_url'] ?? null,
    unused: unusedIn(env, section),
  };
}

function credentialsIn(env: Environment): Credentials | null {
  const section = {
    aws_access_key_id: env['AWS_ACCESS_KEY_ID'] ?? '',
    aws_secret_access_key: env['AWS_SECRET_ACCESS_KEY'] ?? '',
    aws_session_token: env['AWS_SESSION_TOKEN'] ?? '',
  };
  return credentialsOf(section, 'of the environment');
}

function credentialsOf(section: Section, name: string): Credentials | null {
  const id = section['aws_access_key_id'] ?? '';
  const secret = section['aws_secret_access_key'] ?? '';
  if (id === '' && secret === '') return null;
  if (id === '' || secret === '') {
    throw new SourceError(`the credentials ${name} are half ones: a key's id and its secret are needed, or neither`);
  }
  return { accessKeyId: id, secretAccessKey: secret, sessionToken: section['aws_session_token'] || null };
}

/** Ways to credentials that are not taken. */
function unusedIn(env: Environment, section: Section): string | null {
  if (env['AWS_WEB_IDENTITY_TOKEN_FILE'] !== undefined) return 'AWS_WEB_IDENTITY_TOKEN_FILE';
  if (env['AWS_CONTAINER_CREDENTIALS_FULL_URI'] !== undefined) return 'AWS_CONTAINER_CREDENTIALS_FULL_URI';
  if (env['AWS_CONTAINER_CREDENTIALS_RELATIVE_URI'] !== undefined) return 'AWS_CONTAINER_CREDENTIALS_RELATIVE_URI';
  return ['sso_session', 'sso_start_url', 'role_arn', 'credential_process'].find((key) => key in section) ?? null;
}

const MOST_BYTES = 1024 ** 2;

/** Of a file as AWS's tools write it; of none, none. */
async function sectionsIn(path: string): Promise<ReadonlyMap<string, Section>> {
  const text = await readFile(path, 'utf8').catch(() => '');
  return text.length > MOST_BYTES ? new Map() : parseSections(text);
}

/** `[name]` and the `key = value` lines under it; indented lines belong to the one above and are not read. */
function parseSections(text: string): ReadonlyMap<string, Section> {
  const sections = new Map<string, Record<string, string>>();
  let current: Record<string, string> | null = null;
  for (const line of text.split(/\r?\n/)) {
    const heading = /^\[\s*([^\]]+?)\s*\]/.exec(line);
    const entry = /^([^\s=#;][^=]*?)\s*=\s*(.*?)\s*$/.exec(line);
    if (heading !== null) {
      const name = heading[1]!.replace(/\s+/g, ' ');
      current = sections.get(name) ?? {};
      sections.set(name, current);
    } else if (entry !== null && current !== null) {
      current[entry[1]!.toLowerCase()] = entry[2]!;
    }
  }
  return sections;
}
