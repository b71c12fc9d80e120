import type { Logger } from 'pino';
import type { Door } from './doors/door.js';
import type { DoorSettings } from './doors/open-door.js';
import { startGrpcServer } from './edge/grpc/server.js';
import type { Arrivals } from './edge/arrivals.js';
import type { Intake } from './edge/intake.js';
import type { ReceiveBudget } from './edge/receive-budget.js';
import { restUrl, startRestServer, type RestServer } from './edge/rest/server.js';
import type { IoThreads } from './io-threads/io-threads.js';
import type { EdgeLimits, InferenceService } from '../protocol/service.js';
import type { Compat } from '../protocol/status.js';
import type { LiveFeed } from './telemetry/live-feed.js';
import { logControlOf } from './telemetry/logger.js';
import { startMetricsServer, type MetricsServer } from './telemetry/metrics-server.js';
import type { Telemetry } from './telemetry/metrics.js';
import { readPageFiles } from './telemetry/page-files.js';
import type { TlsFiles } from './tls/certificate-files.js';
import { ServerTls } from './tls/server-tls.js';
import type { Parts } from './served/parts.js';

/*
 * The three ports. Their libraries are half of what a server imports, and no worker waits for them: this file is imported while
 * the models load.
 */

export interface PortsOptions {
  readonly host: string;
  /** 0 for any free port; so for the others. */
  readonly port: number;
  readonly grpcPort: number;
  readonly metricsPort: number;
  /** Of all three; null: in clear. */
  readonly tls: TlsFiles | null;
  readonly door: Door;
  readonly service: InferenceService;
  readonly limits: EdgeLimits;
  readonly receiveBudget: ReceiveBudget;
  readonly jsonHeapBytes: number;
  readonly arrivals: Arrivals;
  readonly intake: Intake;
  readonly compat: Compat;
  readonly telemetry: Telemetry;
  readonly feed: LiveFeed;
  readonly logger: Logger;
  /** 0: both front ends are on this thread. */
  readonly ioThreads: number;
  /** Of threads, which open the door for themselves. */
  readonly doors: DoorSettings;
  /** How late this thread's event loop is, of late. */
  readonly loopDelayMs: () => number;
}

type Address = RestServer['address'];

export interface Ports {
  readonly rest: Pick<RestServer, 'url' | 'drain'>;
  readonly grpc: { readonly address: Address };
  readonly metrics: MetricsServer;
  /** Null where both front ends are on this thread. */
  readonly ioThreads: IoThreads | null;
}

/** @param parts what is opened is added to them @throws Error, in one line with its remedy, when one cannot be had */
export async function openPorts(options: PortsOptions, parts: Parts): Promise<Ports> {
  const { telemetry, feed, intake, logger } = options;
  const tls = options.tls === null ? undefined : await ServerTls.open({ files: options.tls, logger });
  if (tls !== undefined) parts.add(tls, (part) => part.close());
  const edge = { ...options, logControl: logControlOf(logger), tls };
  let ioThreads: IoThreads | null = null;
  const metrics = await startMetricsServer({
    ...edge,
    port: options.metricsPort,
    render: () => {
      ioThreads?.collectRefusals((protocol, cause, count) => telemetry.countEdgeRefusal(protocol, cause, count));
      return telemetry.render();
    },
    contentType: telemetry.contentType,
    page: await readPageFiles(),
    onRefused: (cause) => intake.count('metrics', cause),
  });
  parts.add(metrics, (part) => part.close());
  // Before the port it is heard at: subscribers are given the last records too.
  parts.add(feed, (part) => part.close());
  if (options.ioThreads > 0) {
    const { host } = options;
    const { IoThreads } = await import('./io-threads/io-threads.js');
    ioThreads = await IoThreads.start({ ...edge, count: options.ioThreads, tls: options.tls });
    parts.add(ioThreads, (part) => part.close());
    const url = restUrl(host, ioThreads.restPort, options.tls !== null);
    const threads = ioThreads;
    return {
      rest: { url, drain: () => threads.drain() },
      grpc: { address: { host, port: threads.grpcPort } },
      metrics,
      ioThreads,
    };
  }
  const rest = await startRestServer(edge);
  parts.add(rest, (part) => part.close());
  const grpc = await startGrpcServer({ ...edge, port: options.grpcPort });
  parts.add(grpc, (part) => part.close(1000));
  return { rest, grpc, metrics, ioThreads };
}
