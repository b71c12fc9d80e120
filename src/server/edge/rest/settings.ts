import type { FastifyInstance } from 'fastify';
import { assertMaySetLogs, changeLogSettings, logSettings } from '../log-settings.js';
import { OipFailure } from '../../../protocol/service.js';
import { TRACE_SETTINGS, checkTraceChanges } from '../trace-settings.js';
import type { ModelParams, RestContext } from './context.js';
import { objectIn } from './object-body.js';

/** Triton's trace and logging extensions. */
export function registerSettings(app: FastifyInstance, { service, logControl, door }: RestContext): void {
  for (const path of ['/v2/trace/setting', '/v2/models/:model/trace/setting']) {
    const assertModel = ({ model }: Partial<ModelParams>): void => {
      if (model !== undefined) service.model(model);
    };
    app.get<{ Params: Partial<ModelParams> }>(path, (request, reply) => {
      assertModel(request.params);
      return reply.send(traceSettingsJson());
    });
    app.post<{ Params: Partial<ModelParams> }>(path, (request, reply) => {
      assertModel(request.params);
      const changes = Object.entries(objectIn(request)).map(([name, value]) => [name, textsOf(name, value)] as const);
      checkTraceChanges(new Map(changes));
      return reply.send(traceSettingsJson());
    });
  }
  app.get('/v2/logging', (_request, reply) => reply.send(logSettings(logControl)));
  app.post('/v2/logging', (request, reply) => {
    assertMaySetLogs(door);
    changeLogSettings(logControl, objectIn(request));
    return reply.send(logSettings(logControl));
  });
}

/** A list for the level, which may be several, and text for all else. */
function traceSettingsJson(): Record<string, unknown> {
  const entries = [...TRACE_SETTINGS].map(
    ([name, values]) => [name, name === 'trace_level' ? values : values[0]] as const,
  );
  return Object.fromEntries(entries);
}

/** Null clears a setting. */
function textsOf(name: string, value: unknown): readonly string[] {
  const texts: readonly unknown[] = value === null ? [] : [value].flat();
  const isText = (each: unknown): each is string => typeof each === 'string';
  if (texts.every(isText)) return texts;
  throw new OipFailure('invalid', `${name.slice(0, 64)}: expected a string, or a list of them`);
}
