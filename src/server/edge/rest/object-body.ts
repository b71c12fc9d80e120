import type { FastifyRequest } from 'fastify';
import { OipFailure } from '../../../protocol/service.js';
import { takeBody } from './context.js';
import { parseJson } from './infer-request.js';

/** The body of a call that takes a JSON object; empty where there is none. @throws OipFailure where it is anything else */
export function objectIn(request: FastifyRequest): Readonly<Record<string, unknown>> {
  const bytes = takeBody(request)?.bytes;
  if (bytes === undefined || bytes.length === 0) return {};
  const json = parseJson(bytes);
  if (typeof json === 'object' && json !== null && !Array.isArray(json)) return json as Record<string, unknown>;
  throw new OipFailure('invalid', 'request body must be a JSON object');
}
