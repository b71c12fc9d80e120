import type { ApiAnswer } from './api-client.js';

/*
 * What an API server's refusal means to whoever runs us: one line, cause and remedy.
 */

type Failure = Exclude<ApiAnswer, { kind: 'ok' }>;

/**
 * @param verb and resource, as RBAC names them: `patch pods/resize`
 * @param what was to be done, for people: `resize pod a/b`
 * @param rights what to do where there is no right to it
 */
export function explainRefusal(
  failure: Failure,
  verb: string,
  what: string,
  rights = "apply deploy/kubernetes/rbac.yaml for this pod's service account",
): string {
  if (failure.kind === 'unreachable') {
    return `cannot ${what}: the API server does not answer (${failure.message}); it is asked again`;
  }
  const { status, message } = failure;
  switch (status) {
    case 401:
      return `cannot ${what}: the API server does not know who we are (401); is the service account's token mounted and fresh?`;
    case 403:
      return message.includes('exceeded quota') ||
        message.includes('LimitRange') ||
        message.includes('maximum cpu usage')
        ? `cannot ${what}: a ResourceQuota or LimitRange forbids it (${message}); raise it, or give --max-cores`
        : `cannot ${what}: no right to ${verb} (403); ${rights}`;
    case 404:
      return `cannot ${what}: there is no such thing (404 ${message}); pods/resize needs Kubernetes 1.33 or later`;
    case 409:
      return `cannot ${what}: others keep changing it at the same moment (409); it is asked again`;
    case 422:
      return `cannot ${what}: the API server finds it invalid (${message})`;
    case 429:
      return `cannot ${what}: the API server has too much to do (429); it is asked again later`;
    default:
      return `cannot ${what}: the API server answers ${status} (${message})`;
  }
}
