import type { ErrorReply } from '../status.js';

/*
 * Errors of `/v1` in OpenAI's shape, with our reason as their code and our details beside it. Stock clients try again after 429 and 5xx; what
 * cannot be met in its time is not worth that, which their `x-should-retry` says.
 */

/** Paths whose errors have that shape. */
export function isTextPath(url: string): boolean {
  return url.startsWith('/v1/');
}

export function textErrorBody({ message, reason, edgeCause, details, status }: ErrorReply): object {
  const code = reason ?? (edgeCause === 'not_found' ? 'model_not_found' : edgeCause);
  return { error: { message, type: typeOf(status.http), param: null, code, ...details } };
}

export function textErrorHeaders({ status }: ErrorReply): Readonly<Record<string, string>> {
  return status.http === 504 ? { 'x-should-retry': 'false' } : {};
}

function typeOf(http: number): string {
  switch (http) {
    case 401:
      return 'authentication_error';
    case 403:
      return 'permission_error';
    case 429:
      return 'rate_limit_error';
    default:
      return http < 500 ? 'invalid_request_error' : 'server_error';
  }
}
