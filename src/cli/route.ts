import { Command } from 'commander';
import { SystemClock } from '../server/system-clock.js';
import { createLogger, type LogFormat, type LogLevel } from '../server/telemetry/logger.js';
import { joinedPods, namedPods, parseEndpoint, type PodSource } from '../server/route/pod-sources.js';
import { startRouter } from '../server/route/router.js';
import { ServerTls } from '../server/tls/server-tls.js';
import { addLogFlags } from './log-flags.js';
import { collected, port, UserError, withConfiguration } from './options.js';
import { firstStopSignal } from './stop-signal.js';
import { tokenOption } from './token-flag.js';
import { tlsFiles, type TlsFlags } from './tls-flags.js';

/* The picker behind Envoy: which of several servers gets a request, by what each has to spare. docs/routing.md. */

interface RouteFlags extends TlsFlags {
  readonly pod?: readonly string[];
  readonly service?: readonly string[];
  readonly podsGrpcPort?: number;
  /** The token itself. */
  readonly podsTokenFile?: string;
  readonly host: string;
  readonly port: number;
  readonly metricsPort: number;
  readonly logFormat: LogFormat;
  readonly logLevel: LogLevel;
}

export function routeCommand(): Command {
  const command = new Command('route')
    .description('tell Envoy which of several servers can meet a request by its deadline, before its body is sent')
    .option(
      '--pod <host:port>',
      'REST address of a server; a name stands for all its addresses, looked up again every 2 s (repeatable)',
      collected,
    )
    .option(
      '--service <namespace/name[:port]>',
      'a Service of Kubernetes: its pods as its EndpointSlices tell of them, at the port of that name (repeatable)',
      collected,
    )
    .option('--pods-grpc-port <number>', 'where servers speak gRPC (default: where each says)', port)
    .addOption(tokenOption('--pods-token-file', 'file with the token to read reports with, where servers ask for one'))
    .option('--host <address>', 'address to listen on; 0.0.0.0 for all', '127.0.0.1')
    .option('--port <number>', 'port for Envoy: external processing and health checks over gRPC; 0: any', port, 9002)
    .option('--metrics-port <number>', 'port of /metrics and /pods; 0: any', port, 9090)
    .option('--tls-cert <file>', 'certificate of the port for Envoy, PEM')
    .option('--tls-key <file>', 'its private key, PEM without a passphrase')
    .option('--tls-client-ca <file>', 'only for who shows a certificate of these CAs, PEM')
    .addHelpText(
      'after',
      `
Examples:
  sponge route --pod 127.0.0.1:8000 --pod 127.0.0.1:8100
  sponge route --pod sponge-pods.models.svc:8000 --host 0.0.0.0
  sponge route --service models/sponge-pods:http --host 0.0.0.0

Envoy files that go with it, and one for who wants no picker: deploy/envoy/ and docs/routing.md.`,
    )
    .action(route);
  return withConfiguration(addLogFlags(command));
}

async function route(flags: RouteFlags): Promise<void> {
  const { pod: endpoints = [], service: services = [] } = flags;
  if (endpoints.length + services.length === 0) {
    throw new UserError(
      'no servers: name at least one with --pod <host:port>, or a Service with --service <namespace/name>',
    );
  }
  for (const endpoint of endpoints) asFlag('--pod', () => parseEndpoint(endpoint));
  const logger = createLogger({ format: flags.logFormat, level: flags.logLevel });
  const files = tlsFiles(flags);
  const tls = files === null ? undefined : await ServerTls.open({ files, logger });
  const clock = new SystemClock();
  const onTrouble = (line: string): void => logger.warn(line);
  const router = await startRouter({
    source: joinedPods([
      ...(endpoints.length === 0 ? [] : [namedPods({ endpoints, onTrouble })]),
      ...(await podsOfServices(services, onTrouble)),
    ]),
    host: flags.host,
    port: flags.port,
    metricsPort: flags.metricsPort,
    grpcPort: flags.podsGrpcPort ?? null,
    token: flags.podsTokenFile ?? null,
    tls,
    logger,
    nowMs: () => clock.nowMs(),
  });
  const host = flags.host.includes(':') ? `[${flags.host}]` : flags.host;
  console.log(
    [
      `Sponge picks among ${[...endpoints, ...services].join(', ')}`,
      `  Envoy     ${host}:${router.port}${tls === undefined ? '' : ', TLS'}`,
      `  metrics   http://${host}:${router.metricsPort}/metrics`,
      `  pods      http://${host}:${router.metricsPort}/pods`,
    ].join('\n'),
  );
  process.send?.(
    { kind: 'picking', port: router.port, metricsPort: router.metricsPort },
    undefined,
    {},
    () => undefined,
  );
  await firstStopSignal();
  await router.close();
  tls?.close();
}

/** Nothing of Kubernetes is loaded without one. */
async function podsOfServices(
  services: readonly string[],
  onTrouble: (line: string) => void,
): Promise<readonly PodSource[]> {
  if (services.length === 0) return [];
  const { parseService, servicePods } = await import('../server/route/service-pods.js');
  const { ApiClient } = await import('../kubernetes/api-client.js');
  const { findClusterAccess } = await import('../kubernetes/cluster-access.js');
  const names = services.map((service) => asFlag('--service', () => parseService(service)));
  const client = new ApiClient(await findClusterAccess(), 'sponge-route');
  return names.map((name) => servicePods({ ...name, client, onTrouble }));
}

/** @throws UserError that names the flag */
function asFlag<T>(flag: string, parse: () => T): T {
  try {
    return parse();
  } catch (error) {
    throw new UserError(`${flag} ${(error as Error).message}`);
  }
}
