import { readFileSync } from 'node:fs';
import { createSecureContext } from 'node:tls';
import type { Command } from 'commander';
import type { TlsFiles } from '../server/tls/certificate-files.js';
import type { ClientTls } from '../protocol/client/http.js';
import { UserError } from './options.js';

/* TLS as flags say it, of a server and of a client. Files of a server are read, and read again, by `server/tls`. */

export interface TlsFlags {
  readonly tlsCert?: string;
  readonly tlsKey?: string;
  readonly tlsClientCa?: string;
}

/** Null for ports in clear. @throws UserError where only a part of it is given */
export function tlsFiles({ tlsCert, tlsKey, tlsClientCa }: TlsFlags): TlsFiles | null {
  if (tlsCert !== undefined && tlsKey !== undefined)
    return { certPath: tlsCert, keyPath: tlsKey, clientCaPath: tlsClientCa ?? null };
  if (tlsCert !== undefined) throw new UserError('--tls-cert needs --tls-key <file>, the private key it was made with');
  if (tlsKey !== undefined) throw new UserError('--tls-key needs --tls-cert <file>, the certificate made with it');
  if (tlsClientCa !== undefined) throw new UserError('--tls-client-ca needs --tls-cert <file> and --tls-key <file>');
  return null;
}

/** As commander parses `--ca`, `--cert` and `--key`. */
export interface ClientTlsFlags {
  readonly ca?: string;
  readonly cert?: string;
  readonly key?: string;
}

/** Gives a client's command its flags of TLS. */
export function withClientTls(command: Command): Command {
  return command
    .optionsGroup('TLS, where the address is https://:')
    .option('--ca <file>', "CAs of the server's certificate, PEM (default: those that Node knows)")
    .option('--cert <file>', 'certificate to show a server that asks for one, PEM')
    .option('--key <file>', 'its private key, PEM without a passphrase');
}

/** @throws UserError for a file that cannot be used, and a certificate without its key */
export function clientTls({ ca, cert, key }: ClientTlsFlags): ClientTls {
  if ((cert === undefined) !== (key === undefined)) throw new UserError('--cert and --key belong together; give both');
  const tls: ClientTls = {
    ...(ca === undefined ? {} : { ca: readPem('--ca', ca) }),
    ...(cert === undefined ? {} : { cert: readPem('--cert', cert) }),
    ...(key === undefined ? {} : { key: readPem('--key', key) }),
  };
  try {
    createSecureContext(tls);
  } catch (error) {
    throw new UserError(`--ca, --cert and --key cannot be used together: ${(error as Error).message}`);
  }
  return tls;
}

function readPem(flag: string, path: string): string {
  let text: string;
  try {
    text = readFileSync(path, 'utf8');
  } catch (error) {
    throw new UserError(`${flag} ${path}: ${(error as Error).message}`);
  }
  if (!text.includes('-----BEGIN ')) throw new UserError(`${flag} ${path} is not PEM ("-----BEGIN …")`);
  return text;
}
