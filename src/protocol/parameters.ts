/*
 * Request and response parameters: names, units and meaning, shared by REST and gRPC.
 *
 * | request parameter     | unit    | meaning                                                                    |
 * |-----------------------|---------|----------------------------------------------------------------------------|
 * | `timeout`             | µs      | total time budget, send to answer; 0 is absent (Triton's clients send it)  |
 * | `priority`            | –       | 1 is the highest; 0 is absent (Triton's meaning); breaks ties              |
 * | `best_effort`         | boolean | serve after all else instead of refusing                                   |
 * | `sponge_upload_us`    | µs      | how long the client took to send, as it measured it                        |
 * | `sponge_sent_unix_us` | Unix µs | when the client began to send, by its own clock                            |
 * | `sponge_client`       | –       | what the client calls itself; its address counts where it does not         |
 * | `sponge_least_accuracy`  | the model's | of a model with variants: the least accuracy that the request takes |
 * | `sponge_accuracy_weight` | 0 to 1  | of such a model: how much accuracy counts beside time                   |
 *
 * Those that begin with `sponge_` may also be sent as the HTTP header or gRPC metadata of that name with hyphens, such as
 * `sponge-upload-us`; a parameter wins over its header.
 */
import type { Outcome } from '../scheduler/domain/outcome.js';
import { invalid, type OipFailure } from './service.js';
import type { Explanation, InferCall, ParameterValue } from './service.js';

const US_PER_MS = 1000;

/** Parameters that ask for an extension we do not have; ignoring them would answer something else than was asked. */
export const UNSUPPORTED_PARAMETERS: ReadonlySet<string> = new Set(['shared_memory_region']);

/** @param owner whose parameter it is, such as `input 'x'` */
export function unsupportedParameter(owner: string, name: string): OipFailure {
  return invalid(`${owner}: parameter '${name}' is not supported`);
}

/**
 * A sequence's requests belong to one state of the model's, of which there is none here: each would be answered as if it were alone.
 * @throws OipFailure `invalid` where a request says that it is one of a sequence; an id of 0 or '' says that it is not (Triton's meaning)
 */
export function refuseSequence(parameters: Readonly<Record<string, ParameterValue>>): void {
  for (const name of ['sequence_id', 'sequence_start', 'sequence_end']) {
    const value = parameters[name];
    if (value === undefined || value === 0 || value === '' || value === false) continue;
    throw invalid(`parameter '${name}' is not supported: models here keep no state from one request to the next`);
  }
}

/** What a call says about its own deadline; nothing is judged credible or not yet. */
export interface DeadlineInputs {
  /** Every stated total budget, each > 0, ms. Empty: none was stated. */
  readonly statedBudgetsMs: readonly number[];
  /** ≥ 0. */
  readonly declaredUploadMs?: number;
  /** Milliseconds since 1970 by the client's clock, fractional; > 0. */
  readonly sentAtUnixMs?: number;
  /** 1 to 64 printable ASCII characters. */
  readonly client?: string;
  /** ≥ 1. */
  readonly priority?: number;
  readonly isBestEffort: boolean;
  /** ≥ 0. */
  readonly leastAccuracy?: number;
  /** From 0 to 1. */
  readonly accuracyWeight?: number;
}

/**
 * Reads the deadline parameters of a call.
 * @throws OipFailure `invalid` when one of them is negative, not an integer or of the wrong type
 */
export function readDeadlineInputs(call: InferCall): DeadlineInputs {
  const { parameters } = call;
  const timeoutUs = readInteger(parameters, 'timeout', 'microseconds');
  const uploadUs = readInteger(parameters, 'sponge_upload_us', 'microseconds');
  const sentUnixUs = readInteger(parameters, 'sponge_sent_unix_us', 'microseconds since 1970');
  const client = readClient(parameters);
  const priority = readInteger(parameters, 'priority', 'a level, 1 is the highest');
  const leastAccuracy = readNumber(parameters, 'sponge_least_accuracy', Infinity);
  const accuracyWeight = readNumber(parameters, 'sponge_accuracy_weight', 1);
  return {
    statedBudgetsMs:
      timeoutUs === undefined || timeoutUs === 0
        ? call.statedBudgetsMs
        : [...call.statedBudgetsMs, timeoutUs / US_PER_MS],
    isBestEffort: readBoolean(parameters, 'best_effort') ?? false,
    ...(uploadUs === undefined ? {} : { declaredUploadMs: uploadUs / US_PER_MS }),
    ...(sentUnixUs === undefined || sentUnixUs === 0 ? {} : { sentAtUnixMs: sentUnixUs / US_PER_MS }),
    ...(client === undefined ? {} : { client }),
    ...(priority === undefined || priority === 0 ? {} : { priority }),
    ...(leastAccuracy === undefined ? {} : { leastAccuracy }),
    ...(accuracyWeight === undefined ? {} : { accuracyWeight }),
  };
}

/** Parameters that may come as a header instead. */
const HEADER_OF_PARAMETER = {
  sponge_upload_us: 'sponge-upload-us',
  sponge_sent_unix_us: 'sponge-sent-unix-us',
  sponge_client: 'sponge-client',
  sponge_least_accuracy: 'sponge-least-accuracy',
  sponge_accuracy_weight: 'sponge-accuracy-weight',
} as const;

/** Those that are not microseconds: they are read where parameters are. */
const TEXT_PARAMETERS: ReadonlySet<string> = new Set([
  'sponge_client',
  'sponge_least_accuracy',
  'sponge_accuracy_weight',
]);

/**
 * Adds to `parameters` what was sent as a header; returns `parameters` itself when nothing was.
 * @param header looks one up by lower-case name
 */
export function withHeaderParameters(
  parameters: Readonly<Record<string, ParameterValue>>,
  header: (name: string) => string | undefined,
): Readonly<Record<string, ParameterValue>> {
  let merged = parameters;
  for (const [parameter, headerName] of Object.entries(HEADER_OF_PARAMETER)) {
    const text = header(headerName);
    if (text === undefined || parameter in parameters) continue;
    const isText = TEXT_PARAMETERS.has(parameter);
    if (!isText && !/^\d{1,16}$/.test(text)) {
      throw invalid(`header ${headerName}: expected microseconds, an integer ≥ 0`);
    }
    merged = { ...merged, [parameter]: isText ? text : Number(text) };
  }
  return merged;
}

/**
 * HTTP headers and gRPC metadata that say how long a request may take as a whole: ours, what Envoy tells those behind it, and what
 * gateways in front of models send.
 */
const TIMEOUT_HEADERS = [
  { name: 'request-timeout-ms', unit: 'milliseconds', unitMs: 1 },
  { name: 'x-envoy-expected-rq-timeout-ms', unit: 'milliseconds', unitMs: 1 },
  { name: 'x-request-timeout-seconds', unit: 'seconds', unitMs: 1000 },
  { name: 'x-llm-d-slo-ttft-ms', unit: 'milliseconds', unitMs: 1 },
] as const;

const NONE_STATED: readonly number[] = [];

/**
 * The total time budgets that headers state, ms; decimal numbers, which may be fractions.
 * @param header looks one up by lower-case name
 * @throws OipFailure `invalid` unless each is > 0
 */
export function headerBudgetsMs(header: (name: string) => string | undefined): readonly number[] {
  let budgetsMs = NONE_STATED;
  for (const { name, unit, unitMs } of TIMEOUT_HEADERS) {
    const text = header(name);
    if (text === undefined) continue;
    const timeoutMs = /^\s*\d+(\.\d+)?(e[+-]?\d+)?\s*$/i.test(text) ? Number(text) * unitMs : Number.NaN;
    if (!(timeoutMs > 0 && Number.isFinite(timeoutMs))) throw invalid(`header ${name}: expected ${unit}, a number > 0`);
    budgetsMs = [...budgetsMs, Math.min(timeoutMs, LONGEST_BUDGET_MS)];
  }
  return budgetsMs;
}

/** Thirty years: as good as for ever, and exact in microseconds. */
const LONGEST_BUDGET_MS = 1e12;

/** The units of `grpc-timeout` (grpc/doc/PROTOCOL-HTTP2.md), in ms. */
const GRPC_TIMEOUT_UNIT_MS: Readonly<Record<string, number>> = {
  H: 3_600_000,
  M: 60_000,
  S: 1000,
  m: 1,
  u: 1e-3,
  n: 1e-6,
};

/**
 * gRPC header `grpc-timeout`: up to eight digits and a unit, such as `250m`; in ms.
 * @throws OipFailure `invalid` when malformed or zero
 */
export function parseGrpcTimeout(text: string): number {
  const match = /^(\d{1,8})([HMSmun])$/.exec(text);
  const timeoutMs = match === null ? 0 : Number(match[1]) * GRPC_TIMEOUT_UNIT_MS[match[2]!]!;
  if (timeoutMs <= 0) throw invalid('grpc-timeout: expected one to eight digits > 0 and one of H, M, S, m, u, n');
  return timeoutMs;
}

/**
 * Response `parameters`: how the request was served. Integers, strings and booleans only: the `InferParameter` of
 * KServe and MLServer knows no other types.
 */
export function responseParameters(
  outcome: Extract<Outcome, { kind: 'completed' }>,
  explanation: Explanation,
): Readonly<Record<string, ParameterValue>> {
  const { service } = outcome;
  return {
    sponge_budget_us: toUs(explanation.budgetMs),
    sponge_network_delay_us: toUs(explanation.networkDelayMs),
    sponge_network_delay_source: explanation.networkDelaySource,
    sponge_queue_us: toUs(service.queuedMs),
    sponge_slack_us: toUs(service.slackAtDispatchMs),
    sponge_batch: service.batchSize,
    sponge_allocation_millicores: service.cpuMillicores,
    sponge_planned_us: toUs(service.plannedLatencyMs),
    sponge_actual_us: toUs(service.latencyMs),
    // Its name before it said what it is.
    sponge_predicted_us: toUs(service.plannedLatencyMs),
    ...(explanation.routerDelayMs === 0 ? {} : { sponge_router_delay_us: toUs(explanation.routerDelayMs) }),
    ...(outcome.isLate ? { sponge_late: true } : {}),
    ...(service.variant === undefined ? {} : { sponge_variant: service.variant }),
  };
}

function toUs(valueMs: number): number {
  return Math.round(valueMs * US_PER_MS);
}

function readInteger(
  parameters: Readonly<Record<string, ParameterValue>>,
  name: string,
  unit: string,
): number | undefined {
  if (!Object.hasOwn(parameters, name)) return undefined;
  const value = parameters[name];
  if (typeof value !== 'number' || !Number.isSafeInteger(value) || value < 0) {
    throw invalid(`parameter '${name}': expected an integer ≥ 0 (${unit})`);
  }
  return value;
}

/** As a number, or as decimal digits: not every client's library sends numbers that are no integers. */
function readNumber(
  parameters: Readonly<Record<string, ParameterValue>>,
  name: string,
  most: number,
): number | undefined {
  if (!Object.hasOwn(parameters, name)) return undefined;
  const stated = parameters[name];
  const isDigits = typeof stated === 'string' && /^\d{1,16}(\.\d{1,16})?$/.test(stated);
  const value = isDigits ? Number(stated) : stated;
  if (typeof value === 'number' && value >= 0 && value <= most && Number.isFinite(value)) return value;
  throw invalid(`parameter '${name}': expected a number ≥ 0${most === Infinity ? '' : ` and ≤ ${most}`}`);
}

function readBoolean(parameters: Readonly<Record<string, ParameterValue>>, name: string): boolean | undefined {
  if (!Object.hasOwn(parameters, name)) return undefined;
  const value = parameters[name];
  if (typeof value !== 'boolean') throw invalid(`parameter '${name}': expected true or false`);
  return value;
}

function readClient(parameters: Readonly<Record<string, ParameterValue>>): string | undefined {
  if (!Object.hasOwn(parameters, 'sponge_client')) return undefined;
  const value = parameters['sponge_client'];
  if (typeof value !== 'string' || !/^[\x20-\x7e]{1,64}$/.test(value)) {
    throw invalid("parameter 'sponge_client': expected 1 to 64 printable ASCII characters");
  }
  return value;
}
