import { describe, expect, it } from 'vitest';
import { proxyFor } from './proxies.js';

const S3 = new URL('https://s3.example.com/b');
const PLAIN = new URL('http://files.example.com:8080/m.onnx');

describe('the proxy', () => {
  it('is the one for the scheme, in either spelling, else the one for all', () => {
    expect(proxyFor(S3, {})).toBeNull();
    expect(proxyFor(S3, { HTTPS_PROXY: 'http://p:3128' })?.host).toBe('p:3128');
    expect(proxyFor(S3, { https_proxy: 'p:3128', HTTP_PROXY: 'http://q' })?.host).toBe('p:3128');
    expect(proxyFor(PLAIN, { HTTPS_PROXY: 'http://p:3128' })).toBeNull();
    expect(proxyFor(PLAIN, { ALL_PROXY: 'http://p:3128' })?.host).toBe('p:3128');
  });

  it.each<[string, URL, boolean]>([
    ['example.com', S3, true],
    ['.example.com', S3, true],
    ['*.example.com', S3, true],
    ['localhost, s3.example.com', S3, true],
    ['*', S3, true],
    ['ample.com', S3, false],
    ['files.example.com:8080', PLAIN, true],
    ['files.example.com:9090', PLAIN, false],
    ['[::1]', new URL('https://[::1]:8443/'), true],
    ['::1', new URL('https://[::1]:8443/'), true],
    ['127.0.0.1', new URL('https://127.0.0.1:8443/'), true],
  ])('is none where NO_PROXY is %s, for %s: %s', (list, url, isExempt) => {
    const env = { ALL_PROXY: 'http://p', NO_PROXY: list };
    expect(proxyFor(url, env) === null).toBe(isExempt);
  });

  it('is refused where it is none that is understood', () => {
    expect(() => proxyFor(S3, { HTTPS_PROXY: 'socks5://p' })).toThrow(/is not http:\/\/host:port/);
  });
});
