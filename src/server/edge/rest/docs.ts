import type { FastifyInstance, FastifyRequest } from 'fastify';
import { mayChangeModels, repositoryOf } from '../../../protocol/repository.js';
import type { RestContext } from './context.js';
import { isReadOnly } from './doorway.js';
import { docsPage } from './docs-page.js';
import { openApiDocument } from './openapi.js';

/** The page has no script and loads nothing. */
const CONTENT_POLICY =
  "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/** What is served, described: for programs and for people. */
export function registerDocs(app: FastifyInstance, { service, door }: RestContext): void {
  const areOpen = repositoryOf(service).isOpenToClients && mayChangeModels(door);
  const mayChange = (request: FastifyRequest): boolean => areOpen && !isReadOnly(request);
  app.get('/v2/openapi.json', (request, reply) => reply.send(openApiDocument(service, mayChange(request))));
  app.get('/v2/docs', (request, reply) => {
    const page = docsPage(service, `${request.protocol}://${request.host}`, mayChange(request));
    void reply.header('content-security-policy', CONTENT_POLICY).header('x-content-type-options', 'nosniff');
    return reply.type('text/html; charset=utf-8').send(page);
  });
}
