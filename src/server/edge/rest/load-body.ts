import { OipFailure } from '../../../protocol/service.js';
import { parseJson } from './infer-request.js';

/*
 * The body of a call to load a model: JSON with parameters, of which files are base64 (Triton's model repository extension).
 */

/** A parameter of the call; a file as its bytes. */
export type LoadParameter = readonly [name: string, value: string | number | boolean | Uint8Array];

const FILE_PREFIX = 'file:';

/** @throws OipFailure `invalid`: no JSON object, or a file that is no base64 */
export function loadParametersIn(body: Uint8Array): readonly LoadParameter[] {
  if (body.length === 0) return [];
  const json = parseJson(body);
  if (typeof json !== 'object' || json === null || Array.isArray(json)) {
    throw new OipFailure('invalid', 'request body must be a JSON object');
  }
  return parametersOf(json as Readonly<Record<string, unknown>>).map(([name, value]) => {
    if (name.startsWith(FILE_PREFIX) && typeof value === 'string') return [name, bytesOf(name, value)];
    if (typeof value === 'string' || typeof value === 'number' || typeof value === 'boolean') return [name, value];
    throw new OipFailure('invalid', `parameter '${name.slice(0, 64)}' must be a string, a number, true or false`);
  });
}

/** Absent ones are none. @throws OipFailure `invalid` */
export function parametersOf(body: Readonly<Record<string, unknown>>): readonly (readonly [string, unknown])[] {
  const { parameters = {} } = body;
  if (typeof parameters === 'object' && parameters !== null && !Array.isArray(parameters))
    return Object.entries(parameters);
  throw new OipFailure('invalid', 'parameters must be a JSON object');
}

function bytesOf(name: string, text: string): Uint8Array {
  if (text.length % 4 !== 0 || !/^[A-Za-z0-9+/]*={0,2}$/.test(text)) {
    throw new OipFailure('invalid', `${name.slice(0, 64)} is not base64`);
  }
  // Memory of its own, that a thread can hand on.
  const bytes = new Uint8Array((text.length / 4) * 3);
  return bytes.subarray(0, Buffer.from(bytes.buffer).write(text, 'base64'));
}
