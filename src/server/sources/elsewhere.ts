/*
 * Whether a path is a place elsewhere. Alone in its file: what fetches from there is loaded only where there is something to fetch.
 */

/** `https://…`, `hf://…`, `s3://…`: whatever has a scheme, so that an unknown one is not taken for the name of a file. */
export function isElsewhere(path: string): boolean {
  return /^[a-z][a-z\d+.-]*:\/\//i.test(path);
}

/** Of what somebody typed: without user, password and query, where it is a place elsewhere. */
export function withoutSecrets(text: string): string {
  return isElsewhere(text) ? text.replace(/\/\/[^/@]*@/, '//').replace(/\?[^#]*/s, '') : text;
}
