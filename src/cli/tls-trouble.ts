/**
 * Why a call came to nothing, for people: a certificate that is not trusted is mended otherwise than a server that is not
 * there. Null where nobody answers.
 */
export function tlsTrouble(error: unknown, url: URL): string | null {
  const { code = '', message } = error as NodeJS.ErrnoException;
  if (UNTRUSTED.has(code))
    return `${url.origin} has a certificate that is not trusted here: give its CA with --ca <file>`;
  if (code === 'ERR_TLS_CERT_ALTNAME_INVALID') return `${url.origin} has a certificate of another name: ${message}`;
  if (code === 'CERT_HAS_EXPIRED') return `${url.origin} has a certificate that has expired; renew it at the server`;
  if (/CERTIFICATE_REQUIRED/.test(code)) {
    return `${url.origin} asks for a client certificate: give one with --cert <file> --key <file>`;
  }
  if (/^ERR_SSL_|^EPROTO$/.test(code))
    return `${url.origin}: no TLS connection came about (${code}); does it speak https?`;
  return null;
}

const UNTRUSTED = new Set([
  'DEPTH_ZERO_SELF_SIGNED_CERT',
  'SELF_SIGNED_CERT_IN_CHAIN',
  'UNABLE_TO_GET_ISSUER_CERT',
  'UNABLE_TO_GET_ISSUER_CERT_LOCALLY',
  'UNABLE_TO_VERIFY_LEAF_SIGNATURE',
]);
