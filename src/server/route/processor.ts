import type { Frame } from '../edge/grpc/answers.js';
import { decodeMessage, framed, plainStatus } from '../edge/grpc/answers.js';
import type { Call, StreamHandler } from '../edge/grpc/call.js';
import { GRPC_CODE } from '../../protocol/status.js';
import { passingResponse } from './answers.js';
import {
  ProcessingRequest,
  ProcessingResponse,
  type HeaderMap,
  type HttpHeaders,
} from './generated/external_processor.js';
import { readHead, type RequestHead } from './request-head.js';

/*
 * Envoy's external processing: one stream a request, its head in, a destination or an answer out. Everything else that Envoy is set to
 * send is passed on as it is.
 */

/** Envoy itself takes 100 by default. */
const MAX_HEADERS = 256;

export type Decide = (head: RequestHead) => ProcessingResponse;

export function processStream(decide: Decide): (call: Call) => StreamHandler {
  return (call) => {
    const bodyModes = { request: 0, response: 0 };
    return {
      onMessage: ({ bytes }: Frame) => {
        let message: ProcessingRequest;
        try {
          message = decodeMessage(ProcessingRequest, bytes);
        } catch {
          call.fail(plainStatus(GRPC_CODE.INVALID_ARGUMENT, 'not a ProcessingRequest'));
          return;
        }
        const { request, protocolConfig } = message;
        if (protocolConfig !== undefined) {
          bodyModes.request = protocolConfig.requestBodyMode;
          bodyModes.response = protocolConfig.responseBodyMode;
        }
        const bodyMode = request?.$case === 'requestBody' ? bodyModes.request : bodyModes.response;
        const response =
          request?.$case === 'requestHeaders'
            ? decide(readHead(lookupIn(request.value)))
            : passingResponse(request, bodyMode);
        if (response !== null) call.send([framed(ProcessingResponse, response)]);
      },
      onHalfClose: () => call.succeed(),
    };
  };
}

function lookupIn({ headers: map }: HttpHeaders): (name: string) => string | undefined {
  const values = valuesOf(map);
  return (name) => values.get(name);
}

function valuesOf(map: HeaderMap | undefined): ReadonlyMap<string, string> {
  const values = new Map<string, string>();
  for (const { key, value, rawValue } of map?.headers.slice(0, MAX_HEADERS) ?? [])
    values.set(key, rawValue.length > 0 ? Buffer.from(rawValue).toString('latin1') : value);
  return values;
}
