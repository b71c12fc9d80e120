import { startEcho, type EchoServer } from '../harness/oip-echo.js';
import { serveRequests } from '../harness/helper.js';

/* The echo of the protocol in a process of its own; asked for again, it is another one with another delay. */

export interface EchoUrls {
  readonly restUrl: string;
  readonly grpcUrl: string;
}

let server: EchoServer | null = null;

serveRequests(async ({ delayMs }: { readonly delayMs: number }): Promise<EchoUrls> => {
  await server?.close();
  server = await startEcho({ delayMs, keeps: false });
  return { restUrl: server.restUrl, grpcUrl: server.grpcUrl };
});
