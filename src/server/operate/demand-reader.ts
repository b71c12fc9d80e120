import http from 'node:http';
import type { PodDemandReport } from '../../scheduler/domain/demand-report.js';
import { parseDemand } from './demand-schema.js';

/* Asks pods what is asked of them: one short request each, over connections that stay. Bounded in time, bytes and number. */

const TIMEOUT_MS = 800;
const MOST_BYTES = 4 << 20;
const MOST_SOCKETS = 64;

export class DemandReader {
  readonly #agent = new http.Agent({ keepAlive: true, maxTotalSockets: MOST_SOCKETS, maxSockets: 1 });
  readonly #token: string | null;

  /** @param token shown to pods that ask for one; null: none */
  constructor(token: string | null) {
    this.#token = token;
  }

  /** Null where it does not say. @param host an address */
  read(host: string, port: number): Promise<PodDemandReport | null> {
    return new Promise((resolve) => {
      const request = http.get(
        {
          ...{ host, port, agent: this.#agent, path: '/v2/sponge/demand' },
          headers: this.#token === null ? {} : { authorization: `Bearer ${this.#token}` },
          signal: AbortSignal.timeout(TIMEOUT_MS),
        },
        (response) => {
          const chunks: Buffer[] = [];
          let byteCount = 0;
          response.on('data', (chunk: Buffer) => {
            byteCount += chunk.length;
            if (byteCount > MOST_BYTES) request.destroy();
            else chunks.push(chunk);
          });
          response.on('error', () => resolve(null));
          response.on('close', () => resolve(null));
          response.on('end', () => {
            resolve(response.statusCode === 200 ? parseDemand(Buffer.concat(chunks).toString()) : null);
          });
        },
      );
      request.on('error', () => resolve(null));
    });
  }

  close(): void {
    this.#agent.destroy();
  }
}
