/*
 * Live and ready, asked through the Open Inference Protocol and through grpc.health.v1. The latter knows the server as
 * a whole (the empty name and the inference service's) and every model by name.
 */
import { OipFailure } from '../../../protocol/service.js';
import type { InferenceService } from '../../../protocol/service.js';
import { decodeMessage, framed, replyToError, statusOf, unary } from './answers.js';
import type { AnswerContext, UnaryHandler } from './answers.js';
import {
  HealthCheckRequest,
  HealthCheckResponse,
  HealthCheckResponse_ServingStatus as ServingStatus,
  HealthDefinition,
} from '../../../protocol/grpc/generated/health.js';
import { GRPCInferenceServiceDefinition } from '../../../protocol/grpc/generated/open_inference.js';
import { versionOf } from './versions.js';

/** How soon a watcher is told of a change. Only watched services are looked at. */
const WATCH_PERIOD_MS = 200;

const SERVER_NAMES: ReadonlySet<string> = new Set(['', 'inference.GRPCInferenceService']);

const INFERENCE = GRPCInferenceServiceDefinition.methods;
const HEALTH = HealthDefinition.methods;

export function readinessHandlers(service: InferenceService, context: AnswerContext) {
  return {
    serverLive: unary(context, INFERENCE.serverLive, () => ({ live: service.isLive() })),
    serverReady: unary(context, INFERENCE.serverReady, () => ({ ready: service.isReady() })),
    modelReady: unary(context, INFERENCE.modelReady, ({ name, version }) => {
      // As Triton has it: a model that does not exist is not ready, and asking is no error.
      return { ready: isModelServing(service, name, versionOf(version)) === true };
    }),
  };
}

/** @param closing aborted when the server begins to close: watchers are told NOT_SERVING and let go */
export function healthHandlers(
  service: InferenceService,
  context: AnswerContext,
  closing: AbortSignal,
): { readonly check: UnaryHandler; readonly watch: UnaryHandler } {
  const watch: UnaryHandler = (call, frame) => {
    let watched: string;
    try {
      watched = decodeMessage(HealthCheckRequest, frame.bytes).service;
    } catch (error) {
      call.fail(statusOf(replyToError(error, context), context.intake));
      return;
    }
    let told: ServingStatus | null = null;
    const tell = (status: ServingStatus): void => {
      if (status === told) return;
      told = status;
      call.send([framed(HealthCheckResponse, { status })]);
    };
    const look = (): void => tell(servingStatus(service, watched));
    const letGo = (): void => {
      clearInterval(timer);
      tell(ServingStatus.NOT_SERVING);
      call.succeed();
    };
    const timer = setInterval(look, WATCH_PERIOD_MS);
    closing.addEventListener('abort', letGo);
    call.onceOver(() => {
      clearInterval(timer);
      closing.removeEventListener('abort', letGo);
    });
    look();
  };
  return {
    check: unary(context, HEALTH.check, (request) => {
      const status = servingStatus(service, request.service);
      if (status === ServingStatus.SERVICE_UNKNOWN) {
        throw new OipFailure('not_found', `'${request.service}' is neither a model nor a service of this server`);
      }
      return { status };
    }),
    watch,
  };
}

function servingStatus(service: InferenceService, name: string): ServingStatus {
  const isServing = SERVER_NAMES.has(name) ? service.isReady() : isModelServing(service, name);
  if (isServing === null) return ServingStatus.SERVICE_UNKNOWN;
  return isServing ? ServingStatus.SERVING : ServingStatus.NOT_SERVING;
}

/** Null where there is no such model. */
function isModelServing(service: InferenceService, name: string, version?: string): boolean | null {
  try {
    return service.model(name, version).state === 'READY';
  } catch (error) {
    if (error instanceof OipFailure && error.error.kind === 'not_found') return null;
    throw error;
  }
}
