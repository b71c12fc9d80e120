import type { Sampling } from './sampling.js';

/*
 * Whether spans are made, of what, and where they go: by flags, and by the variables that OpenTelemetry specifies for every program
 * (https://opentelemetry.io/docs/specs/otel/configuration/sdk-environment-variables/). A flag wins.
 *
 * What is not here the exporter reads for itself: OTEL_EXPORTER_OTLP_[TRACES_]HEADERS, _TIMEOUT, _COMPRESSION, _CERTIFICATE, _CLIENT_KEY,
 * _CLIENT_CERTIFICATE; and the SDK's resource: OTEL_SERVICE_NAME, OTEL_RESOURCE_ATTRIBUTES.
 */

export interface TracingSettings extends Sampling {
  /** With the path. */
  readonly url: string;
}

export interface TracingFlags {
  readonly otlpEndpoint?: string;
  readonly traceRatio?: number;
}

type Environment = Readonly<Record<string, string | undefined>>;

const SAMPLERS: Readonly<Record<string, { readonly isParentBased: boolean; readonly ratio?: number }>> = {
  always_on: { isParentBased: false, ratio: 1 },
  always_off: { isParentBased: false, ratio: 0 },
  traceidratio: { isParentBased: false },
  parentbased_always_on: { isParentBased: true, ratio: 1 },
  parentbased_always_off: { isParentBased: true, ratio: 0 },
  parentbased_traceidratio: { isParentBased: true },
};

/** @returns null where no spans are made @throws Error of one line, with the remedy, where what is stated cannot be */
export function tracingSettings(flags: TracingFlags, environment: Environment): TracingSettings | null {
  // An empty variable is one that is not set, as the specification says.
  const read = (name: string): string | undefined => environment[name]?.trim() || undefined;
  const isFlagged = flags.otlpEndpoint !== undefined;
  if (!isFlagged && (read('OTEL_SDK_DISABLED')?.toLowerCase() === 'true' || read('OTEL_TRACES_EXPORTER') === 'none'))
    return null;
  const url = urlOf(flags, read);
  if (url === null) return null;
  checkProtocol(read);
  return { url, ...samplingOf(flags, read) };
}

function urlOf({ otlpEndpoint }: TracingFlags, read: (name: string) => string | undefined): string | null {
  const traces = read('OTEL_EXPORTER_OTLP_TRACES_ENDPOINT');
  if (otlpEndpoint === undefined && traces !== undefined)
    return checkedUrl(traces, 'OTEL_EXPORTER_OTLP_TRACES_ENDPOINT').href;
  const base = otlpEndpoint ?? read('OTEL_EXPORTER_OTLP_ENDPOINT');
  if (base === undefined) return null;
  const url = checkedUrl(base, otlpEndpoint === undefined ? 'OTEL_EXPORTER_OTLP_ENDPOINT' : '--otlp-endpoint');
  url.pathname = `${url.pathname.replace(/\/+$/, '')}/v1/traces`;
  return url.href;
}

function checkedUrl(text: string, name: string): URL {
  const url = URL.canParse(text) ? new URL(text) : null;
  if (url === null || !/^https?:$/.test(url.protocol))
    throw new Error(`${name}: expected http://host:4318 or https://…, OTLP over HTTP`);
  return url;
}

/** JSON is read by whoever reads protobuf at that port; gRPC is another port. */
function checkProtocol(read: (name: string) => string | undefined): void {
  const name = ['OTEL_EXPORTER_OTLP_TRACES_PROTOCOL', 'OTEL_EXPORTER_OTLP_PROTOCOL'].find(
    (each) => read(each) !== undefined,
  );
  if (name === undefined || read(name) !== 'grpc') return;
  throw new Error(
    `${name}=grpc: spans are sent over HTTP only; set it to http/protobuf, and the endpoint to port 4318`,
  );
}

function samplingOf({ traceRatio }: TracingFlags, read: (name: string) => string | undefined): Sampling {
  const name = read('OTEL_TRACES_SAMPLER') ?? 'parentbased_traceidratio';
  const sampler = SAMPLERS[name];
  if (sampler === undefined)
    throw new Error(`OTEL_TRACES_SAMPLER=${name.slice(0, 64)}: expected one of ${Object.keys(SAMPLERS).join(', ')}`);
  const { isParentBased } = sampler;
  return { isParentBased, ratio: traceRatio ?? sampler.ratio ?? statedRatio(read('OTEL_TRACES_SAMPLER_ARG')) };
}

function statedRatio(text: string | undefined): number {
  if (text === undefined) return 1;
  const ratio = Number(text);
  if (ratio >= 0 && ratio <= 1) return ratio;
  throw new Error(`OTEL_TRACES_SAMPLER_ARG=${text.slice(0, 64)}: expected a share of requests, 0 to 1`);
}
