import { hostname } from 'node:os';
import { parentPort, workerData } from 'node:worker_threads';
import { convertLegacyHttpOptions, createOtlpHttpExportDelegate } from '@opentelemetry/otlp-exporter-base/node-http';
import { defaultResource, detectResources, envDetector, resourceFromAttributes } from '@opentelemetry/resources';
import type { RecordEnvelope } from './record-buffer.js';
import { newSpanId } from './request-trace.js';
import { exportRequest, OtlpWriter, resourceBytes } from './otlp-writer.js';
import { SpanQueue, type EncodedSpans, type SpanCounts } from './span-queue.js';
import { writeSpans } from './spans.js';
import { readRecords } from './trace-records.js';

/*
 * The thread that makes spans of records and sends them: the only place that loads OpenTelemetry's SDK, and that speaks with a collector.
 * Whatever that does, it is not done to the router.
 */

export interface TraceThreadTask {
  /** Of OTLP over HTTP, with its path. */
  readonly url: string;
  readonly serviceName: string;
  readonly serviceVersion: string;
  readonly instanceId: string;
}

export type ToTraceThread =
  | { readonly kind: 'records'; readonly envelope: RecordEnvelope }
  /** Send what there is, and say when that is done. */
  | { readonly kind: 'close' };

export type FromTraceThread =
  /** An envelope was read. */
  | { readonly kind: 'taken' }
  | ({ readonly kind: 'counts' } & SpanCounts)
  /** The collector took nothing; the first time. */
  | { readonly kind: 'trouble'; readonly message: string }
  | { readonly kind: 'closed' };

/** About 1.5 s of 10,000 spans a second while a collector stands still; 10 MB. */
const MOST_WAITING_SPANS = 16_384;
const SPANS_AT_ONCE = 1024;
/** Of whole traces, so many or somewhat more are kept, sent or dropped together: each piece of memory costs as much as writing a span. */
const SPANS_TOGETHER = 64;
/** `ExportResultCode` of `@opentelemetry/core`. */
const SUCCESS = 0;
/** One that never ends its answer keeps a connection; two keep all there are. */
const MOST_IN_FLIGHT = 2;
/** What waits is sent this often, and counts are told. */
const SEND_EVERY_MS = 500;
const EXPORT_TIMEOUT_MS = 10_000;

function run({ url, serviceName, serviceVersion, instanceId }: TraceThreadTask): void {
  const own = {
    'service.name': serviceName,
    'service.version': serviceVersion,
    'service.instance.id': instanceId,
    'host.name': hostname(),
  };
  // OTEL_SERVICE_NAME and OTEL_RESOURCE_ATTRIBUTES have the last word.
  const stated = detectResources({ detectors: [envDetector] });
  const resource = defaultResource().merge(resourceFromAttributes(own)).merge(stated);
  const attributes = resourceBytes(resource.attributes);
  const scope = { name: 'sponge', version: serviceVersion };
  const exporter = createOtlpHttpExportDelegate<readonly EncodedSpans[], undefined>(
    // The exporters of the SDK are made by it too; what it reads of the environment nothing else does.
    // eslint-disable-next-line @typescript-eslint/no-deprecated
    convertLegacyHttpOptions(
      { url, ...(isTimeoutStated() ? {} : { timeoutMillis: EXPORT_TIMEOUT_MS }) },
      'TRACES',
      '',
      {
        'Content-Type': 'application/x-protobuf',
      },
    ),
    {
      serializeRequest: (spans) =>
        exportRequest(
          attributes,
          scope,
          spans.map(({ bytes }) => bytes),
        ),
      // What it says beside its status is nothing that could be acted on.
      deserializeResponse: () => undefined,
    },
    'otlp_http_span_exporter',
    { name: 'span', countItems: (spans) => spans.reduce((sum, { spanCount }) => sum + spanCount, 0) },
    undefined,
  );
  let isTroubleTold = false;
  const send = (spans: readonly EncodedSpans[]): Promise<boolean> =>
    new Promise((resolve) => {
      exporter.export(spans, ({ code, error }) => {
        const isTaken = (code as number) === SUCCESS;
        if (!isTaken && !isTroubleTold) {
          isTroubleTold = true;
          say({ kind: 'trouble', message: error?.message ?? 'not taken' });
        }
        resolve(isTaken);
      });
    });
  const queue = new SpanQueue({
    ...{ capacity: MOST_WAITING_SPANS, batchSize: SPANS_AT_ONCE, mostInFlight: MOST_IN_FLIGHT, send },
  });
  const writer = new OtlpWriter();
  const tellCounts = (): void => {
    const counts = queue.takeCounts();
    if (counts.exported + counts.failed + counts.dropped > 0) say({ kind: 'counts', ...counts });
  };
  setInterval(() => {
    queue.sendNext();
    tellCounts();
  }, SEND_EVERY_MS);
  parentPort!.on('message', (message: ToTraceThread) => {
    if (message.kind === 'close') {
      void queue.drained().then(() => {
        tellCounts();
        say({ kind: 'closed' });
      });
      return;
    }
    const { envelope } = message;
    for (const record of readRecords(envelope)) {
      writeSpans(writer, record, envelope.unixOffsetMs, newSpanId);
      if (writer.spanCount >= SPANS_TOGETHER) queue.push(writer.take());
    }
    if (writer.spanCount > 0) queue.push(writer.take());
    say({ kind: 'taken' });
  });
}

function isTimeoutStated(): boolean {
  const { OTEL_EXPORTER_OTLP_TIMEOUT, OTEL_EXPORTER_OTLP_TRACES_TIMEOUT } = process.env;
  return (OTEL_EXPORTER_OTLP_TIMEOUT ?? OTEL_EXPORTER_OTLP_TRACES_TIMEOUT) !== undefined;
}

function say(message: FromTraceThread): void {
  parentPort!.postMessage(message);
}

run(workerData as TraceThreadTask);
