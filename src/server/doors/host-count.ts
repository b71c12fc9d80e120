import type { IncomingMessage } from 'node:http';

/** Node keeps the first of several Host headers; a proxy in front may have gone by another. */
export function hostCountOf({ rawHeaders }: IncomingMessage): number {
  let count = 0;
  for (let at = 0; at < rawHeaders.length; at += 2) {
    const name = rawHeaders[at]!;
    if (name.length === 4 && name.toLowerCase() === 'host') count += 1;
  }
  return count;
}
