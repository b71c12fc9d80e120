import { get } from 'node:http';
import { serveRequests } from '../harness/helper.js';

/* Somebody who watches the live feed, as fast as it comes. */

export interface SubscriberRequest {
  readonly url: string;
  readonly durationMs: number;
}

export interface SubscriberResult {
  readonly byteCount: number;
}

serveRequests(
  ({ url, durationMs }: SubscriberRequest): Promise<SubscriberResult> =>
    new Promise((resolve, reject) => {
      let byteCount = 0;
      const request = get(url, (response) => {
        response.on('data', (bytes: Buffer) => (byteCount += bytes.length));
        setTimeout(() => {
          request.destroy();
          resolve({ byteCount });
        }, durationMs);
      });
      request.on('error', reject);
    }),
);
