import type { FastifyInstance, HTTPMethods } from 'fastify';
import { OipFailure } from '../../../protocol/service.js';

/* A path that exists answers every method: what it has no use for with the list of those that it has. */

/** To be called before paths are registered, and what it returns behind the last of them. */
export function followMethods(app: FastifyInstance): () => void {
  const methodsOf = new Map<string, Set<HTTPMethods>>();
  let isOver = false;
  app.addHook('onRoute', ({ url, method }) => {
    if (isOver) return;
    const methods = methodsOf.get(url) ?? new Set();
    for (const each of [method].flat()) methods.add(each);
    methodsOf.set(url, methods);
  });
  return () => {
    isOver = true;
    for (const [url, methods] of methodsOf) answerOtherMethods(app, url, [...methods]);
  };
}

/** RFC 9110, sections 9.3.7 and 15.5.6. */
function answerOtherMethods(app: FastifyInstance, url: string, methods: readonly HTTPMethods[]): void {
  const allowed = [...methods, 'OPTIONS'].sort().join(', ');
  const others = app.supportedMethods.filter((method) => !methods.includes(method));
  app.route({
    method: others,
    url,
    exposeHeadRoute: false,
    // Before the body is read, which nobody has a use for.
    onRequest: (request, reply, next) => {
      void reply.header('allow', allowed);
      if (request.method === 'OPTIONS') void reply.code(204).send();
      else next(new OipFailure('wrong_method', `${request.method} is no method of this path, which has ${allowed}`));
    },
    handler: () => undefined,
  });
}
