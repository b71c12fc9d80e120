import { describe, expect, it } from 'vitest';
import { encodedPath, encodedQuery, signed } from './sigv4.js';

/* The examples of AWS's manual for S3, "Signature Calculations for the Authorization Header", with its published key. */

const CREDENTIALS = {
  accessKeyId: 'AKIAIOSFODNN7EXAMPLE',
  secretAccessKey: 'wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY',
  sessionToken: null,
};
const COMMON = { region: 'us-east-1', credentials: CREDENTIALS, unixMs: Date.UTC(2013, 4, 24) } as const;

function signatureOf(path: string, headers: Readonly<Record<string, string>> = {}): string | undefined {
  const url = new URL(`https://examplebucket.s3.amazonaws.com${path}`);
  return /Signature=(\w+)$/.exec(signed({ ...COMMON, method: 'GET', url, headers })['authorization']!)?.[1];
}

describe('a signature', () => {
  it.each([
    [
      'an object’s first ten bytes',
      '/test.txt',
      { range: 'bytes=0-9' },
      'f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41',
    ],
    [
      'a parameter without a value',
      '/?lifecycle',
      {},
      'fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543',
    ],
    ['a listing', '/?max-keys=2&prefix=J', {}, '34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7'],
    [
      'a listing, its parameters in another order',
      '/?prefix=J&max-keys=2',
      {},
      '34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7',
    ],
  ])('of %s is the published one', (_, path, headers, signature) => {
    expect(signatureOf(path, headers)).toBe(signature);
  });

  it('names what it covers, a session’s token included', () => {
    const url = new URL('https://examplebucket.s3.amazonaws.com/test.txt');
    const headers = signed({
      ...{ ...COMMON, method: 'GET', url, headers: {} },
      credentials: { ...CREDENTIALS, sessionToken: 'token' },
    });
    expect(headers['x-amz-security-token']).toBe('token');
    expect(headers['authorization']).toContain(
      'SignedHeaders=host;x-amz-content-sha256;x-amz-date;x-amz-security-token,',
    );
  });
});

describe('names in a URL', () => {
  it('are written as the signature has them: all but unreserved characters, slashes of a path excepted', () => {
    expect(encodedPath("a b/ü(1)+'*!.onnx")).toBe('a%20b/%C3%BC%281%29%2B%27%2A%21.onnx');
    expect(encodedQuery({ prefix: 'a/b c', 'list-type': '2' })).toBe('prefix=a%2Fb%20c&list-type=2');
    // As the URL keeps them, so they are what is signed.
    expect(new URL(`https://h/${encodedPath("a b/ü(1)+'*!~.onnx")}`).pathname).toBe(
      '/a%20b/%C3%BC%281%29%2B%27%2A%21~.onnx',
    );
  });
});
