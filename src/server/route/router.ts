import { randomBytes } from 'node:crypto';
import type { Logger } from 'pino';
import { Picker } from '../../route/picker.js';
import type { Pick } from '../../route/request.js';
import type { ServerTls } from '../tls/server-tls.js';
import { destinationResponse, refusalResponse } from './answers.js';
import { startExtProcServer } from './extproc-server.js';
import type { ProcessingResponse } from './generated/external_processor.js';
import { jsonPage, metricsPage, startPageServer } from '../telemetry/page-server.js';
import { RouteMetrics } from './metrics.js';
import type { PodSource } from './pod-sources.js';
import { readReports } from './report-stream.js';
import type { RequestHead } from './request-head.js';

/*
 * A picker as a server: reads what pods report, and answers a proxy where each request goes. It holds nothing that matters: killed and
 * started again it knows everything within a report of each pod, and meanwhile the proxy does without it.
 */

/**
 * A pod is asked for reports so often; of many pods each less often, so that all together are about a thousand a second. Every 20 ms in place
 * of 50 two in a thousand fewer are lost at 0.6 of what three pods can do, none at 0.75 (`test/simulation/pods.ts`), for twice the CPU.
 */
const REPORT_EVERY_MS = 50;
const MOST_REPORT_EVERY_MS = 1000;
/** What a person is shown. */
const MOST_SHOWN_PODS = 1000;

export interface RouterOptions {
  readonly source: PodSource;
  readonly host: string;
  readonly port: number;
  readonly metricsPort: number;
  /** Where pods speak gRPC; null: where each says. */
  readonly grpcPort: number | null;
  readonly token: string | null;
  readonly tls: ServerTls | undefined;
  readonly logger: Logger;
  readonly nowMs: () => number;
}

export interface Router {
  readonly port: number;
  readonly metricsPort: number;
  close(): Promise<void>;
}

/** @throws Error of one line, with its remedy */
export async function startRouter(options: RouterOptions): Promise<Router> {
  const { nowMs, logger, host } = options;
  const picker = new Picker({ random: () => Math.random() });
  const name = randomBytes(6).toString('hex');
  const metrics = new RouteMetrics();
  const streams = new Map<string, () => void>();
  let isReady = false;
  const intervalMs = (): number => Math.min(MOST_REPORT_EVERY_MS, Math.max(REPORT_EVERY_MS, streams.size));

  const setPods = (pods: readonly string[]): void => {
    picker.setPods(pods);
    const wanted = new Set(pods);
    for (const [pod, end] of streams) {
      if (wanted.has(pod)) continue;
      end();
      streams.delete(pod);
      metrics.forget(pod);
      logger.info(`${pod} is no pod any more`);
    }
    for (const pod of wanted) if (!streams.has(pod)) streams.set(pod, follow(pod));
  };
  const follow = (pod: string): (() => void) => {
    let told = '';
    const tell = (line: string): void => {
      if (line !== told) logger.info(`${pod} ${line}`);
      told = line;
    };
    return readReports({
      pod,
      picker: name,
      intervalMs,
      token: options.token,
      onReport: (report) => {
        picker.hear(nowMs(), pod, report);
        isReady = true;
        tell(report.isDraining ? 'drains' : 'reports');
      },
      onContact: (contact, why) => {
        picker.lose(pod, contact);
        tell(`is ${contact}: ${why}`);
      },
    });
  };
  const decide = ({ request, isGrpc }: RequestHead): ProcessingResponse => {
    const startedAtMs = nowMs();
    const pick: Pick = request === null ? picker.pickAny(startedAtMs) : picker.pick(startedAtMs, request);
    metrics.count(pick, nowMs() - startedAtMs);
    if (pick.kind === 'refuse') return refusalResponse(pick, request?.budgetMs ?? 0, isGrpc);
    const endpoints = [pick.pod, ...pick.fallbacks].map((pod) => (isGrpc ? grpcEndpoint(pod) : pod));
    return destinationResponse(endpoints, `${name}.${pick.number}`);
  };
  const grpcEndpoint = (pod: string): string => {
    const port = options.grpcPort ?? picker.pod(pod)?.grpcPort ?? 0;
    return port === 0 ? pod : `${pod.slice(0, pod.lastIndexOf(':'))}:${port}`;
  };

  const end = options.source.follow(setPods);
  const stop = (): void => {
    end();
    for (const endStream of streams.values()) endStream();
  };
  try {
    const server = await startExtProcServer({ ...options, decide, isReady: () => isReady });
    const metricsServer = await startPageServer({
      host,
      port: options.metricsPort,
      portFlag: '--metrics-port',
      pages: {
        '/metrics': () => metricsPage(metrics.render(nowMs(), picker)),
        '/pods': () => jsonPage(describePods(picker, nowMs())),
      },
    }).catch(async (error: unknown) => {
      await server.close();
      throw error;
    });
    return {
      port: server.port,
      metricsPort: metricsServer.port,
      close: async () => {
        await server.close();
        stop();
        await metricsServer.close();
      },
    };
  } catch (error) {
    stop();
    throw error;
  }
}

function describePods(picker: Picker, nowMs: number): unknown {
  return picker.pods.slice(0, MOST_SHOWN_PODS).map((pod) => ({
    pod: pod.id,
    contact: pod.contact(nowMs),
    isDraining: pod.isDraining,
    reportAgeMs: Number.isFinite(pod.reportAgeMs(nowMs)) ? Math.round(pod.reportAgeMs(nowMs)) : null,
    onTheirWay: pod.pendingCount,
    models: pod.models.map(({ report }) => ({
      name: report.name,
      version: report.version,
      isReady: report.isReady,
      heldRequests: report.heldRequests,
      spareCoreSeconds: report.spareCoreSeconds,
      finishInMs: Math.round(report.marks.at(-1)!.startInMs + report.aloneMs),
    })),
  }));
}
