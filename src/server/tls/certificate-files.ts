import { createHash, createPrivateKey, X509Certificate, type KeyObject } from 'node:crypto';
import { readFile, stat } from 'node:fs/promises';
import { createSecureContext } from 'node:tls';

/*
 * Certificate, key and client CAs as they are in files, checked before anything is served with them. What is wrong is said
 * in one line that names the flag, the file and the remedy: OpenSSL's own words ("no start line") name none of them.
 */

export interface TlsFiles {
  /** PEM: the server's certificate, then those that lead to its CA. */
  readonly certPath: string;
  /** PEM, without a passphrase. */
  readonly keyPath: string;
  /** PEM: CAs of which clients must have a certificate; null where they need none. */
  readonly clientCaPath: string | null;
}

export interface Certificates {
  readonly cert: string;
  readonly key: string;
  /** Null where clients need no certificate. */
  readonly clientCa: string | null;
  /** Of all contents: two that are equal are the same files. */
  readonly digest: string;
  /** What does not keep them from being served, one line each: clients will refuse them. */
  readonly warnings: readonly string[];
}

/** Of one file. Chains are a few KiB; a device or a model by mistake is not read whole. */
const MAX_FILE_BYTES = 1024 * 1024;

/** @throws Error of one line with flag, file and remedy */
export async function readCertificates(
  { certPath, keyPath, clientCaPath }: TlsFiles,
  unixMs: number,
): Promise<Certificates> {
  const cert = await readPem('--tls-cert', certPath);
  const key = await readPem('--tls-key', keyPath);
  const clientCa = clientCaPath === null ? null : await readPem('--tls-client-ca', clientCaPath);
  const certificate = parseCertificate('--tls-cert', certPath, cert);
  if (!certificate.checkPrivateKey(parseKey(keyPath, key))) {
    throw new Error(
      `--tls-key ${keyPath} does not fit the first certificate of ${certPath}; give the key it was made with`,
    );
  }
  if (clientCaPath !== null) parseCertificate('--tls-client-ca', clientCaPath, clientCa!);
  try {
    createSecureContext({ cert, key, ...(clientCa === null ? {} : { ca: clientCa }) });
  } catch (error) {
    const files = [certPath, keyPath, ...(clientCaPath === null ? [] : [clientCaPath])].join(', ');
    throw new Error(`TLS cannot be served with ${files}: ${(error as Error).message}`, { cause: error });
  }
  const hash = createHash('sha256');
  for (const text of [cert, key, clientCa ?? '']) hash.update(text).update('\0');
  return { cert, key, clientCa, digest: hash.digest('hex'), warnings: warningsOf(certificate, certPath, unixMs) };
}

async function readPem(flag: string, path: string): Promise<string> {
  try {
    const { size } = await stat(path);
    if (size > MAX_FILE_BYTES) throw new Error(`is larger than ${MAX_FILE_BYTES} bytes: not a PEM file`);
    return await readFile(path, 'utf8');
  } catch (error) {
    throw new Error(`${flag} ${path}: ${explainReadError(error as NodeJS.ErrnoException)}`, { cause: error });
  }
}

function explainReadError({ code, message }: NodeJS.ErrnoException): string {
  switch (code) {
    case 'ENOENT':
      return 'no such file; check the path';
    case 'EACCES':
      return 'this process may not read it; change its mode or owner';
    case 'EISDIR':
      return 'is a folder; give the file in it';
    default:
      return message;
  }
}

function parseCertificate(flag: string, path: string, pem: string): X509Certificate {
  if (!pem.includes('-----BEGIN CERTIFICATE-----')) {
    throw new Error(`${flag} ${path} has no certificate in PEM ("-----BEGIN CERTIFICATE-----")${insteadOf(pem)}`);
  }
  try {
    return new X509Certificate(pem);
  } catch (error) {
    throw new Error(`${flag} ${path}: the certificate is damaged; copy it again`, { cause: error });
  }
}

function parseKey(path: string, pem: string): KeyObject {
  if (!/-----BEGIN [A-Z ]*PRIVATE KEY-----/.test(pem)) {
    throw new Error(`--tls-key ${path} has no private key in PEM ("-----BEGIN PRIVATE KEY-----")${insteadOf(pem)}`);
  }
  try {
    return createPrivateKey(pem);
  } catch (error) {
    const isEncrypted = pem.includes('ENCRYPTED');
    const remedy = isEncrypted ? 'has a passphrase; give it without one (openssl pkey)' : 'is damaged; copy it again';
    throw new Error(`--tls-key ${path} ${remedy}`, { cause: error });
  }
}

/** What the wrong file looks like: the usual mistakes are two files exchanged, and DER. */
function insteadOf(pem: string): string {
  const found = /-----BEGIN ([A-Z0-9 ]{1,40})-----/.exec(pem)?.[1];
  return found === undefined
    ? '; convert it with openssl if it is DER'
    : ` but a ${found.toLowerCase()}; are files exchanged?`;
}

function warningsOf({ validFrom, validTo }: X509Certificate, path: string, unixMs: number): string[] {
  if (Date.parse(validTo) < unixMs) return [`--tls-cert ${path} expired on ${validTo}: clients refuse it; renew it`];
  if (Date.parse(validFrom) > unixMs)
    return [`--tls-cert ${path} is valid from ${validFrom} on: clients refuse it until then`];
  return [];
}
