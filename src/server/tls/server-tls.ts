import type { Server as TlsServer, TlsOptions } from 'node:tls';
import { readCertificates, type Certificates, type TlsFiles } from './certificate-files.js';
import { boundHandshakes } from './handshakes.js';

/*
 * TLS of the three ports, with one set of files. They are read again every two seconds and compared by content: what
 * Kubernetes mounts is swapped by a symbolic link far above the file, which watching the file would not see. Connections
 * that are open keep what they began with; new ones get the new certificate, and must satisfy the new CAs.
 */

const RELOAD_INTERVAL_MS = 2000;

/** A client that has not said who it is by then is let go; it counts as a connection meanwhile. */
const HANDSHAKE_TIMEOUT_MS = 10_000;

/** A pair is replaced one file after the other: what is wrong is said only once it has stayed so until the next look. */
const SIGHTINGS_BEFORE_WARNING = 2;

export interface TlsLogger {
  info(line: string): void;
  warn(line: string): void;
}

export interface ServerTlsOptions {
  readonly files: TlsFiles;
  readonly logger: TlsLogger;
}

export class ServerTls {
  readonly #options: ServerTlsOptions;
  readonly #servers = new Set<TlsServer>();
  #certificates: Certificates;
  /** What the files were last found to be where they could not be served. */
  #trouble = { reason: '', sightings: 0 };
  #timer: NodeJS.Timeout | null = null;

  /** @throws Error of one line with flag, file and remedy */
  static async open(options: ServerTlsOptions): Promise<ServerTls> {
    const certificates = await readCertificates(options.files, Date.now());
    for (const line of certificates.warnings) options.logger.warn(line);
    return new ServerTls(options, certificates);
  }

  private constructor(options: ServerTlsOptions, certificates: Certificates) {
    this.#options = options;
    this.#certificates = certificates;
    this.#lookAgainLater();
  }

  /** To make a server with; give it to `attach` then. */
  get serverOptions(): TlsOptions {
    return {
      ...this.#contextOptions(),
      requestCert: this.#certificates.clientCa !== null,
      rejectUnauthorized: true,
      handshakeTimeout: HANDSHAKE_TIMEOUT_MS,
    };
  }

  /** Keeps a server on the newest files until it is closed, and ends handshakes that fail, or are under way when it closes. */
  attach(server: TlsServer): void {
    this.#servers.add(server);
    server.once('close', () => this.#servers.delete(server));
    boundHandshakes(server);
  }

  /** Serves new connections with what is in the files now, where that can be served. Never rejects. */
  async reload(): Promise<void> {
    const { files, logger } = this.#options;
    try {
      const certificates = await readCertificates(files, Date.now());
      this.#trouble = { reason: '', sightings: 0 };
      if (certificates.digest === this.#certificates.digest) return;
      this.#certificates = certificates;
      // A context of its own keys: tickets of clients that the old CAs vouched for are of no use with it.
      for (const server of this.#servers) server.setSecureContext(this.#contextOptions());
      logger.info('TLS: new certificate files are in use for new connections');
      for (const line of certificates.warnings) logger.warn(line);
    } catch (error) {
      const reason = (error as Error).message;
      const sightings = reason === this.#trouble.reason ? this.#trouble.sightings + 1 : 1;
      this.#trouble = { reason, sightings };
      if (sightings === SIGHTINGS_BEFORE_WARNING) logger.warn(`TLS stays with the certificate it has: ${reason}`);
    }
  }

  close(): void {
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#timer = null;
  }

  #contextOptions(): Pick<TlsOptions, 'cert' | 'key' | 'ca' | 'minVersion'> {
    const { cert, key, clientCa } = this.#certificates;
    return { cert, key, ...(clientCa === null ? {} : { ca: clientCa }), minVersion: 'TLSv1.2' };
  }

  #lookAgainLater(): void {
    const timer = setTimeout(() => {
      void this.reload().then(() => {
        if (this.#timer === timer) this.#lookAgainLater();
      });
    }, RELOAD_INTERVAL_MS);
    this.#timer = timer.unref();
  }
}
