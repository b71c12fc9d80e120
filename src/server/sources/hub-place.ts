import { posix } from 'node:path';
import { refusal } from './download.js';
import { fetchModel, type Wanted } from './fetch-file.js';
import type { HubLocation } from './location.js';
import { assertAvailable, patiently } from './passing.js';
import { SourceError } from './source-error.js';
import { MOST_CONFIG_BYTES, MOST_TOKENIZER_BYTES, TEXT_CONFIG_FILES, TOKENIZER_FILE } from '../text/text-files.js';
import type { FetchContext, FetchPlace } from './source.js';
import type { WebResponse } from './web-client.js';

/*
 * A file of a repository at Hugging Face. Its `resolve` address says in the head of its answer which commit the revision is, and which
 * bytes the file has: of a large file their SHA-256, of a small one the name of Git's blob. All files are fetched of that one commit.
 *
 * Where there is a tokenizer, what else says how the model takes text comes too, from beside the model's file or from the top of the repository,
 * where authors keep it when the file is in `onnx/`.
 */

const HUB = 'https://huggingface.co';

export function fetchHubPlace({ repository, revision, file, root, sha256, title }: HubLocation): FetchPlace {
  return async (known, context) => {
    const hub = hubUrl(context.env['HF_ENDPOINT']);
    const token = context.env['HF_TOKEN'] ?? '';
    const headersFor = ({ origin }: URL): Record<string, string> =>
      token !== '' && origin === hub.origin ? { Authorization: `Bearer ${token}` } : {};
    const refuse = (response: WebResponse): never => {
      throw hubRefusal(title, response, token !== '');
    };
    const look = async (path: string, at: string): Promise<Head> => {
      const url = resolveUrl(hub, repository, at, path);
      return headOf(await headAt(url, headersFor, title, context), refuse);
    };
    const toWanted = (path: string, at: string, head: Head, place: string, sum: string | null): Wanted => ({
      url: resolveUrl(hub, repository, head.commit ?? at, path),
      path: place,
      title: `hf://${repository}/${path}`,
      sha256: sum ?? head.sha256,
      gitBlob: head.gitBlob,
      bytes: head.bytes,
      etag: head.etag,
      headersFor,
      refuse,
    });
    const head = await look(file, revision);
    // A commit does not change.
    if (known !== null && head.commit !== null && head.commit === known.commit) return known;
    assertPromised(title, sha256, head.sha256);
    const at = head.commit ?? revision;
    const beside = async (path: string): Promise<Wanted> => {
      const full = posix.join(posix.dirname(file), path);
      return toWanted(full, at, await look(full, at), path, null);
    };
    /** The nearest of that name. */
    const textFile = async (name: string): Promise<Wanted | null> => {
      for (const folder of new Set([posix.dirname(file), '.'])) {
        const path = posix.join(folder, name);
        const found = await headIfThere(resolveUrl(hub, repository, at, path), headersFor, title, context, refuse);
        if (found === null) continue;
        const most = name === TOKENIZER_FILE ? MOST_TOKENIZER_BYTES : MOST_CONFIG_BYTES;
        if ((found.bytes ?? 0) > most)
          throw new SourceError(`hf://${repository}/${path} is larger than ${most / 1024 ** 2} MiB`);
        return toWanted(path, at, found, name, null);
      }
      return null;
    };
    const textFiles = async (): Promise<readonly Wanted[]> => {
      const tokenizer = await textFile(TOKENIZER_FILE);
      if (tokenizer === null) return [];
      return [tokenizer, ...(await Promise.all(TEXT_CONFIG_FILES.map(textFile))).filter((each) => each !== null)];
    };
    const model = toWanted(file, revision, head, root, sha256);
    return { files: await fetchModel(model, beside, known?.files ?? [], context, textFiles), commit: head.commit };
  };
}

/** Before anything is fetched in vain. */
function assertPromised(title: string, asked: string | null, told: string | null): void {
  if (asked === null || told === null || asked === told) return;
  throw new SourceError(
    `${title} is not what it should be: its SHA-256 is ${told}, not ${asked}; check the sum and the revision`,
  );
}

/** @throws SourceError */
function hubUrl(endpoint: string | undefined): URL {
  const text = endpoint === undefined || endpoint === '' ? HUB : endpoint;
  if (!URL.canParse(text) || !/^https?:/.test(text))
    throw new SourceError(`HF_ENDPOINT ${text} is no https:// address`);
  return new URL(text);
}

function resolveUrl(hub: URL, repository: string, revision: string, path: string): URL {
  const url = new URL(hub);
  const parts = [...repository.split('/'), 'resolve', revision, ...path.split('/')].map(encodeURIComponent);
  url.pathname = posix.join(hub.pathname, ...parts);
  return url;
}

interface Head {
  readonly commit: string | null;
  readonly sha256: string | null;
  readonly gitBlob: string | null;
  readonly bytes: number | null;
  readonly etag: string | null;
}

async function headAt(
  url: URL,
  headersFor: (url: URL) => Record<string, string>,
  title: string,
  context: FetchContext,
): Promise<WebResponse> {
  return patiently(title, context, async () => {
    const response = await context.client.ask({ method: 'HEAD', url, headersFor, staysOnHost: true }, context.signal);
    response.body.resume();
    assertAvailable(response);
    return response;
  });
}

/** Null where there is no such file. */
async function headIfThere(
  url: URL,
  headersFor: (url: URL) => Record<string, string>,
  title: string,
  context: FetchContext,
  refuse: (response: WebResponse) => never,
): Promise<Head | null> {
  const response = await headAt(url, headersFor, title, context);
  return response.status === 404 ? null : headOf(response, refuse);
}

function headOf(response: WebResponse, refuse: (response: WebResponse) => never): Head {
  const { status, headers } = response;
  if (status >= 400) refuse(response);
  const text = (name: string): string | null => {
    const value = headers[name];
    return typeof value === 'string' ? value : null;
  };
  const linked = text('x-linked-etag');
  const name = (linked ?? text('etag') ?? '').replace(/^W\//, '').replaceAll('"', '').toLowerCase();
  const commit = text('x-repo-commit');
  // Of a redirect the length is its own.
  const size = text('x-linked-size') ?? (status < 300 ? text('content-length') : null);
  return {
    commit: commit !== null && /^[\da-f]{40}$/.test(commit) ? commit : null,
    sha256: /^[\da-f]{64}$/.test(name) ? name : null,
    gitBlob: linked === null && /^[\da-f]{40}$/.test(name) ? name : null,
    bytes: size !== null && /^\d{1,15}$/.test(size) ? Number(size) : null,
    etag: linked ?? text('etag'),
  };
}

/** What the hub says is wrong, and what to do. A repository that one may not see looks like one that is not there. */
function hubRefusal(title: string, { status, headers }: WebResponse, hasToken: boolean): SourceError {
  const token = hasToken ? 'the token in HF_TOKEN may not read it' : 'set HF_TOKEN to a token that may read it';
  switch (headers['x-error-code']) {
    case 'GatedRepo':
      return new SourceError(`${title}: access to the repository is to be asked for at its page first; then ${token}`);
    case 'RepoNotFound':
      return new SourceError(
        `${title}: there is no such repository, or it is a private one: check the name, or ${token}`,
      );
    case 'RevisionNotFound':
      return new SourceError(`${title}: there is no such revision: check what follows @`);
    case 'EntryNotFound':
      return new SourceError(`${title}: the repository has no such file at that revision: check its path`);
    default:
      return refusal(title, status, token);
  }
}
