import { posix } from 'node:path';
import { refusal } from './download.js';
import { fetchModel, type Wanted } from './fetch-file.js';
import { titleOf, type WebLocation } from './location.js';
import type { FetchPlace } from './source.js';

/* One file at a URL, and those beside it that it keeps its weights in. */

const CREDENTIALS = 'put a user and a password, or a signed query, into the URL';

export function fetchWebPlace({ url, authorization, root, sha256, title }: WebLocation): FetchPlace {
  const wanted = (at: URL, path: string, sum: string | null): Wanted => ({
    url: at,
    path,
    title: titleOf(at),
    sha256: sum,
    gitBlob: null,
    bytes: null,
    etag: null,
    headersFor: ({ origin }) =>
      authorization !== null && origin === url.origin ? { Authorization: authorization } : {},
    refuse: ({ status }) => {
      throw refusal(titleOf(at), status, CREDENTIALS);
    },
  });
  return async (known, context) => {
    const isClear = url.protocol === 'http:' && !['localhost', '127.0.0.1', '[::1]'].includes(url.hostname);
    if (isClear && sha256 === null) {
      context.onNotice(
        `${title} comes in clear, and anybody on its way may change it: use https://, or add #sha256=<sum>`,
      );
    }
    const beside = (path: string): Promise<Wanted> => {
      const at = new URL(url);
      at.pathname = posix.join(posix.dirname(url.pathname), ...path.split('/').map(encodeURIComponent));
      return Promise.resolve(wanted(at, posix.join(posix.dirname(root), path), null));
    };
    const files = await fetchModel(wanted(url, root, sha256), beside, known?.files ?? [], context);
    return { files, commit: null };
  };
}
