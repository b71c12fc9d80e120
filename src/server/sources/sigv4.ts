import { createHash, createHmac } from 'node:crypto';

/*
 * Signatures of AWS, version 4, as far as reading from S3 needs them: GET and HEAD, no body. The rules are those of AWS's manual
 * "Authenticating Requests (AWS Signature Version 4)", whose examples are the tests. Pure.
 */

export interface Credentials {
  readonly accessKeyId: string;
  readonly secretAccessKey: string;
  /** Of temporary ones; null without. */
  readonly sessionToken: string | null;
}

export interface ToSign {
  readonly method: 'GET' | 'HEAD';
  /** Path and query written as RFC 3986 has them: see `encodedPath` and `encodedQuery`. */
  readonly url: URL;
  /** To be signed besides `host`, the date and the body's hash; names in lower case. */
  readonly headers: Readonly<Record<string, string>>;
  readonly region: string;
  readonly credentials: Credentials;
  readonly unixMs: number;
}

const EMPTY_SHA256 = 'e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855';
const SERVICE = 's3';

/** All headers to send, `host` excepted. */
export function signed({ method, url, headers, region, credentials, unixMs }: ToSign): Record<string, string> {
  const timestamp = new Date(unixMs).toISOString().replace(/[-:]|\.\d+/g, '');
  const date = timestamp.slice(0, 8);
  const own: Record<string, string> = { ...headers, 'x-amz-content-sha256': EMPTY_SHA256, 'x-amz-date': timestamp };
  if (credentials.sessionToken !== null) own['x-amz-security-token'] = credentials.sessionToken;
  const all = Object.entries({ ...own, host: url.host }).sort(([a], [b]) => (a < b ? -1 : 1));
  const names = all.map(([name]) => name).join(';');
  const canonical = [
    method,
    url.pathname,
    canonicalQuery(url.search),
    ...all.map(([name, value]) => `${name}:${value.trim().replaceAll(/ +/g, ' ')}`),
    '',
    names,
    EMPTY_SHA256,
  ].join('\n');
  const scope = `${date}/${region}/${SERVICE}/aws4_request`;
  const toSign = ['AWS4-HMAC-SHA256', timestamp, scope, createHash('sha256').update(canonical).digest('hex')].join(
    '\n',
  );
  const key = [date, region, SERVICE, 'aws4_request'].reduce<Buffer | string>(
    (secret, part) => hmac(secret, part),
    `AWS4${credentials.secretAccessKey}`,
  );
  const signature = hmac(key, toSign).toString('hex');
  return {
    ...own,
    authorization: `AWS4-HMAC-SHA256 Credential=${credentials.accessKeyId}/${scope},SignedHeaders=${names},Signature=${signature}`,
  };
}

function hmac(key: Buffer | string, text: string): Buffer {
  return createHmac('sha256', key).update(text).digest();
}

/** Of `?a=b&c`: by name, and a parameter without a value has an empty one. */
function canonicalQuery(search: string): string {
  const parts = search
    .slice(1)
    .split('&')
    .filter((part) => part !== '');
  return parts
    .map((part) => (part.includes('=') ? part : `${part}=`))
    .sort((a, b) => (a < b ? -1 : Number(a > b)))
    .join('&');
}

/** RFC 3986: all but letters, digits and `-._~`. */
function encoded(text: string): string {
  return encodeURIComponent(text).replaceAll(/[!'()*]/g, (char) => `%${char.charCodeAt(0).toString(16).toUpperCase()}`);
}

export function encodedPath(key: string): string {
  return key.split('/').map(encoded).join('/');
}

export function encodedQuery(parameters: Readonly<Record<string, string>>): string {
  return Object.entries(parameters)
    .map(([name, value]) => `${encoded(name)}=${encoded(value)}`)
    .join('&');
}
