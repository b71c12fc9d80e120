/*
 * Who may call what over REST: every request passes here before anything else is done for it.
 */
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import type { IncomingMessage } from 'node:http';
import { CHALLENGE } from '../../doors/door.js';
import type { Door, Right } from '../../doors/door.js';
import type { Identity } from '../../doors/tokens.js';
import { hostCountOf } from '../../doors/host-count.js';
import { clientOf } from '../connections.js';
import type { Intake } from '../intake.js';
import { describeError } from '../../../protocol/status.js';
import type { Compat } from '../../../protocol/status.js';
import { sendError } from './context.js';

/** Probes are answered to everybody: an orchestrator has no token. */
const PROBES: ReadonlySet<string> = new Set([
  '/v2/health/live',
  '/v2/health/ready',
  '/v2/models/:model/ready',
  '/v2/models/:model/versions/:version/ready',
]);
/** Triton's way to ask which models there are. */
const INDEX = '/v2/repository/index';

/** What a page of another site may read of an answer beside its body. */
const EXPOSED_HEADERS = 'Inference-Header-Content-Length, Retry-After, X-Request-Id, X-Sponge-Reason';
/** How long a browser may rely on what it was told. */
const PREFLIGHT_SECONDS = 600;
const MAX_REQUESTED_HEADERS = 1024;

/** Of requests with a valid token, whose it is. */
const identities = new WeakMap<IncomingMessage, Identity>();

export function guardCalls(app: FastifyInstance, door: Door, intake: Intake, compat: Compat): void {
  app.addHook('onRequest', (request, reply, next) => {
    const { method, headers, raw } = request;
    const head = { method, headers, host: headers.host, hostCount: hostCountOf(raw) };
    const isPreflight = method === 'OPTIONS' && headers['access-control-request-method'] !== undefined;
    const verdict = door.admit(head, isPreflight ? 'none' : rightFor(method, request.routeOptions.url));
    if (verdict.corsOrigin !== null) {
      void reply.header('access-control-allow-origin', verdict.corsOrigin).header('vary', 'Origin');
      void reply.header('access-control-expose-headers', EXPOSED_HEADERS);
    }
    if (verdict.kind === 'refused') {
      if (verdict.cause === 'unauthenticated') void reply.header('www-authenticate', CHALLENGE);
      void sendError(reply, describeError({ kind: verdict.cause, message: verdict.message }, compat), intake);
    } else if (isPreflight && verdict.corsOrigin !== null) {
      void answerPreflight(request, reply);
    } else {
      if (verdict.identity !== null) identities.set(raw, verdict.identity);
      next();
    }
  });
}

/** Whose token a request showed; undefined for none. */
export function tokenNameOf(request: FastifyRequest): string | undefined {
  return identities.get(request.raw)?.name;
}

/** Whether what a request showed is for looking only. */
export function isReadOnly(request: FastifyRequest): boolean {
  return identities.get(request.raw)?.isReadOnly === true;
}

/** Whom a request is counted as: whose token it is, else the connection's address. */
export function clientOfCall(request: FastifyRequest): string {
  const name = tokenNameOf(request);
  return name === undefined ? clientOf(request.raw.socket) : `token ${name}`;
}

/**
 * By the route that answers, never by the URL as it was sent: the router ends a path at `#`, and a reading of our own that did
 * not would take `/v2/models/m#/ready` for a probe.
 * @param route as it was registered; undefined where there is none
 */
function rightFor(method: string, route = ''): Right {
  if (method === 'OPTIONS') return 'read';
  if (method === 'GET' || method === 'HEAD') return PROBES.has(route) ? 'none' : 'read';
  return route === INDEX ? 'read' : 'full';
}

function answerPreflight(request: FastifyRequest, reply: FastifyReply): FastifyReply {
  const asked = request.headers['access-control-request-headers'];
  void reply
    .code(204)
    .header('vary', 'Origin, Access-Control-Request-Headers, Access-Control-Request-Private-Network')
    .header('access-control-allow-methods', 'GET, POST')
    .header('access-control-max-age', PREFLIGHT_SECONDS);
  if (typeof asked === 'string' && asked.length <= MAX_REQUESTED_HEADERS && /^[\w, -]+$/.test(asked)) {
    void reply.header('access-control-allow-headers', asked);
  }
  if (request.headers['access-control-request-private-network'] === 'true') {
    void reply.header('access-control-allow-private-network', 'true');
  }
  return reply.send();
}
