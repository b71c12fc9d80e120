import { InvalidArgumentError, type Command } from 'commander';
import type { ServerOptions } from '../server/server-options.js';
import { tracingSettings, type TracingFlags } from '../server/tracing/settings.js';
import { UserError } from './options.js';

export type TraceFlags = TracingFlags;

export function addTraceFlags(command: Command): Command {
  return command
    .optionsGroup('Traces:')
    .option(
      '--otlp-endpoint <url>',
      'where spans of requests are sent, OTLP over HTTP, e.g. http://collector:4318; without it, or ' +
        'OTEL_EXPORTER_OTLP_[TRACES_]ENDPOINT, none are made',
    )
    .option(
      '--trace-ratio <fraction>',
      'of requests whose caller has not decided, those whose spans are sent; of late, refused and failed ones always ' +
        '(default: OTEL_TRACES_SAMPLER_ARG, or 1)',
      ratio,
    );
}

function ratio(text: string): number {
  const value = Number(text);
  if (text.trim() === '' || !(value >= 0 && value <= 1))
    throw new InvalidArgumentError('expected a number from 0 to 1.');
  return value;
}

/** @throws UserError where what flags and environment state cannot be */
export function tracingOf(flags: TraceFlags): ServerOptions['tracing'] {
  try {
    return tracingSettings(flags, process.env);
  } catch (error) {
    throw new UserError((error as Error).message);
  }
}
