import type { Outcome } from '../../scheduler/domain/outcome.js';
import type { Refused } from '../../route/request.js';
import { PICK_HEADER } from '../../protocol/reports.js';
import { describeRefusal, errorBody, errorHeaders, errorTrailers } from '../../protocol/status.js';
import type { HeaderMutation, ProcessingRequest, ProcessingResponse } from './generated/external_processor.js';

/*
 * What Envoy is told: where a request goes, by the endpoint picker protocol 1.0 as header and as dynamic metadata, or the answer that its
 * client gets at once, which is word for word what a pod would say.
 */

const DESTINATION = 'x-gateway-destination-endpoint';
const METADATA_NAMESPACE = 'envoy.lb';

const OVERWRITE = 2;
const FULL_DUPLEX = 4;

/** @param endpoints `address:port`, the first to be tried first */
export function destinationResponse(endpoints: readonly string[], pick: string): ProcessingResponse {
  const destination = endpoints.join(',');
  return {
    response: {
      $case: 'requestHeaders',
      value: {
        response: {
          headerMutation: setHeaders({ [DESTINATION]: destination, [PICK_HEADER]: pick }),
          bodyMutation: undefined,
        },
      },
    },
    dynamicMetadata: { [METADATA_NAMESPACE]: { [DESTINATION]: destination } },
  };
}

/** @param sloMs what the client stated; 0 where it stated nothing */
export function refusalResponse(refused: Refused, sloMs: number, isGrpc: boolean): ProcessingResponse {
  const explanation = {
    sloMs,
    budgetMs: sloMs,
    networkDelayMs: 0,
    networkDelaySource: 'none' as const,
    routerDelayMs: 0,
    isDeadlineDefaulted: false,
  };
  const reply = describeRefusal(outcomeOf(refused), explanation, 'none');
  const headers = isGrpc ? errorTrailers(reply) : { ...errorHeaders(reply), 'content-type': 'application/json' };
  const body = isGrpc ? reply.message : JSON.stringify(errorBody(reply));
  return {
    response: {
      $case: 'immediateResponse',
      value: {
        status: { code: isGrpc ? 200 : reply.status.http },
        headers: setHeaders(headers),
        body: Buffer.from(body),
        grpcStatus: isGrpc ? { status: reply.status.grpc } : undefined,
        details: `sponge_route_${refused.reason}`,
      },
    },
    dynamicMetadata: undefined,
  };
}

/** To what is of no interest here: as it is. Each piece of a body that is to be sent back is. */
export function passingResponse(request: ProcessingRequest['request'], bodyMode: number): ProcessingResponse | null {
  const common = { headerMutation: undefined, bodyMutation: undefined };
  switch (request?.$case) {
    case 'requestHeaders':
    case 'responseHeaders':
      return passing({ $case: request.$case, value: { response: common } });
    case 'requestBody':
    case 'responseBody': {
      if (bodyMode !== FULL_DUPLEX) return passing({ $case: request.$case, value: { response: common } });
      const { body, endOfStream } = request.value;
      const bodyMutation = { streamedResponse: { body, endOfStream } };
      return passing({ $case: request.$case, value: { response: { headerMutation: undefined, bodyMutation } } });
    }
    case 'requestTrailers':
    case 'responseTrailers':
      return passing({ $case: request.$case, value: { headerMutation: undefined } });
    case undefined:
      return null;
  }
}

function passing(response: ProcessingResponse['response']): ProcessingResponse {
  return { response, dynamicMetadata: undefined };
}

function setHeaders(headers: Readonly<Record<string, string>>): HeaderMutation {
  return {
    setHeaders: Object.entries(headers).map(([key, value]) => ({
      header: { key, value: '', rawValue: Buffer.from(value) },
      appendAction: OVERWRITE,
    })),
    removeHeaders: [],
  };
}

function outcomeOf(refused: Refused): Exclude<Outcome, { kind: 'completed' }> {
  switch (refused.reason) {
    case 'infeasible_at_max_cores': {
      const { bestCaseMs, remainingBudgetMs } = refused;
      return { kind: 'rejected-infeasible', reason: 'infeasible_at_max_cores', bestCaseMs, remainingBudgetMs };
    }
    case 'queue_overload': {
      const { bestCaseMs, remainingBudgetMs, earliestFinishMs, retryAfterMs } = refused;
      const facts = { bestCaseMs, remainingBudgetMs, earliestFinishMs, retryAfterMs };
      return { kind: 'rejected-overload', reason: 'queue_overload', ...facts };
    }
    case 'draining':
    case 'model_unavailable': {
      const message =
        refused.reason === 'draining'
          ? 'every server that has the model is shutting down; try again in a moment'
          : 'no server is there that could run the model now; try again in a moment';
      return { kind: 'failed', reason: refused.reason, message, retryAfterMs: refused.retryAfterMs };
    }
  }
}
