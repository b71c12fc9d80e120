import { withoutSecrets } from './elsewhere.js';
import { SourceError } from './source-error.js';

/*
 * Places that models are fetched from, as they are written on a command line:
 *
 *   https://host/path/model.onnx          one file; #sha256=<hex> says which bytes it must be
 *   hf://org/name[@revision]/file.onnx    one file of a repository at Hugging Face
 *   s3://bucket/path/model.onnx           one object
 *   s3://bucket[/prefix]                  a whole model repository, or one model's folder
 */

export type Location = WebLocation | HubLocation | BucketLocation;

/** Of all of them. */
interface Place {
  /** As it may be shown: nothing secret is in it. */
  readonly title: string;
  /** What the folder or the file is called here, and so its model. */
  readonly root: string;
  /** What its bytes must be, lower-case hex; null where nobody says. */
  readonly sha256: string | null;
}

export interface WebLocation extends Place {
  readonly kind: 'web';
  /** Without a fragment; its user and password are in `authorization`. */
  readonly url: URL;
  /** Basic, from the URL; for its own origin alone. Null without. */
  readonly authorization: string | null;
}

export interface HubLocation extends Place {
  readonly kind: 'hub';
  /** `org/name` */
  readonly repository: string;
  readonly revision: string;
  /** Path in the repository. */
  readonly file: string;
}

export interface BucketLocation extends Place {
  readonly kind: 'bucket';
  readonly bucket: string;
  /** An object's whole key; or a prefix that ends with a slash, or is '' for the whole bucket. */
  readonly key: string;
  readonly isFile: boolean;
}

const MODEL = /\.onnx$/i;
const EXPECTED = 'use https://host/path/model.onnx, hf://org/name[@revision]/file.onnx or s3://bucket/prefix';
/** As S3 has it: 3 to 63 characters, and for older buckets capitals and underscores too. */
const BUCKET = /^[a-z\d][a-z\d._-]{1,253}[a-z\d]$/i;

/** @throws SourceError for a place that cannot be */
export function parseLocation(text: string): Location {
  const [place, sha256] = withoutChecksum(text);
  const scheme = place.slice(0, place.indexOf(':')).toLowerCase();
  switch (scheme) {
    case 'https':
    case 'http':
      return webLocation(place, sha256);
    case 'hf':
      return hubLocation(place, sha256);
    case 's3':
      return bucketLocation(place, sha256);
    default:
      throw new SourceError(`${scheme}:// is not known; ${EXPECTED}`);
  }
}

function withoutChecksum(text: string): [string, string | null] {
  const at = text.indexOf('#');
  if (at === -1) return [text, null];
  const match = /^sha256=([\da-f]{64})$/i.exec(text.slice(at + 1));
  if (match === null) {
    throw new SourceError(
      `${withoutSecrets(text.slice(0, at))}: after # stands sha256= and 64 hexadecimal digits, or nothing`,
    );
  }
  return [text.slice(0, at), match[1]!.toLowerCase()];
}

function webLocation(text: string, sha256: string | null): WebLocation {
  let url: URL;
  try {
    url = new URL(text);
  } catch {
    throw new SourceError(`${withoutSecrets(text)} is no URL; ${EXPECTED}`);
  }
  const title = titleOf(url);
  const { username, password } = url;
  const authorization =
    username === '' && password === ''
      ? null
      : `Basic ${Buffer.from(`${decoded(username)}:${decoded(password)}`).toString('base64')}`;
  url.username = '';
  url.password = '';
  const root = decoded(url.pathname.split('/').at(-1)!);
  if (!MODEL.test(root)) {
    throw new SourceError(`${title} does not end in .onnx: name the model's file (folders come from s3:// alone)`);
  }
  assertName(root, title);
  return { kind: 'web', title, root, sha256, url, authorization };
}

/** Of a URL, what may be shown of it. */
export function titleOf(url: URL): string {
  return `${url.protocol}//${url.host}${url.pathname}`;
}

function decoded(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

function hubLocation(text: string, sha256: string | null): HubLocation {
  const match = /^hf:\/\/([\w.-]+\/[\w.-]+?)(?:@([^/@]+))?\/(.+)$/i.exec(text);
  if (match === null) throw new SourceError(`${text} is not hf://org/name[@revision]/file.onnx`);
  const [, repository, revision = 'main', file] = match;
  if (!MODEL.test(file!))
    throw new SourceError(`${text} does not end in .onnx: name the model's file in the repository`);
  const parts = [...repository!.split('/'), ...file!.split('/')];
  for (const part of parts) assertName(part, text);
  return {
    kind: 'hub',
    title: text,
    root: parts.at(-1)!,
    sha256,
    repository: repository!,
    revision: decoded(revision),
    file: file!,
  };
}

function bucketLocation(text: string, sha256: string | null): BucketLocation {
  const [bucket = '', ...rest] = text.slice('s3://'.length).split('/');
  if (!BUCKET.test(bucket)) throw new SourceError(`${text}: "${bucket}" is no bucket's name; use s3://bucket/prefix`);
  const path = rest.join('/').replace(/\/+$/, '');
  const isFile = MODEL.test(path) && !text.endsWith('/');
  if (!isFile && sha256 !== null) {
    throw new SourceError(`${text}: #sha256= is of one file; a folder has many`);
  }
  const root = path.split('/').at(-1)! || bucket;
  assertName(root, text);
  const key = isFile || path === '' ? path : `${path}/`;
  return { kind: 'bucket', title: text, root, sha256, bucket, key, isFile };
}

function assertName(name: string, title: string): void {
  if (whyNoName(name) !== null) throw new SourceError(`${title}: "${name}" ${whyNoName(name)!}`);
}

/** Longer ones no file system takes. */
const LONGEST_NAME_BYTES = 255;

/** Why one part of a path that somebody else chose is not to be the name of a file here; null where it may. */
export function whyNoName(name: string): string | null {
  if (name === '' || name === '.' || name === '..') return 'would lead out of its folder';
  if (/[\\/\p{Cc}]/u.test(name)) return 'has a character that no name of a file has';
  if (Buffer.byteLength(name) > LONGEST_NAME_BYTES) return `is longer than ${LONGEST_NAME_BYTES} bytes`;
  return null;
}
