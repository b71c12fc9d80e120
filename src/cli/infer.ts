import { readFileSync } from 'node:fs';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { Command } from 'commander';
import { noiseInputs } from '../protocol/noise-inputs.js';
import { OipFailure } from '../protocol/service.js';
import { encodeJsonData, jsonDataText } from '../protocol/tensor-codec.js';
import { Client, InferenceError, Unreachable, type InferAnswer } from '../protocol/client/rest-client.js';
import type { Tensor, TensorSpec } from '../scheduler/domain/tensor.js';
import { positiveNumber, shape, UserError, withConfiguration } from './options.js';
import { clientTls, withClientTls, type ClientTlsFlags } from './tls-flags.js';
import { tlsTrouble } from './tls-trouble.js';
import { authorization, tokenOption } from './token-flag.js';

/*
 * Sends one real request, binary tensors both ways, and says what became of it: the answer, and how its time was spent.
 */

interface InferFlags extends ClientTlsFlags {
  readonly url: string;
  /** The token itself: see `tokenOption`. */
  readonly tokenFile?: string;
  readonly data?: string;
  readonly shape?: Readonly<Record<string, readonly number[]>>;
  readonly slo?: number;
  readonly bestEffort?: true;
  readonly json?: true;
}

const SHOWN_VALUES = 8;

export function inferCommand(): Command {
  const command = new Command('infer')
    .description('send one request to a running server and show the answer, and how its time was spent')
    .argument('<model>', 'name of the model')
    .option('--url <url>', 'REST address of the server', 'http://127.0.0.1:8000')
    .addOption(tokenOption())
    .option(
      '--data <@file.json>',
      'inputs as JSON: {"x": [[…]]} or a protocol request {"inputs": […]}; default: seeded noise',
    )
    .option('--shape <input=sizes>', 'shape of an input that is sent as noise, e.g. x=1,3,48,320 (repeatable)', shape)
    .option('--slo <ms>', 'time budget, send to answer', positiveNumber)
    .option('--best-effort', 'rather late than refused')
    .option('--json', 'print the whole answer as JSON');
  withClientTls(command)
    .addHelpText(
      'after',
      `
Examples:
  sponge infer ocr --shape x=1,3,48,320 --slo 250
  sponge infer simple --data '{"INPUT0": [[1, 2, 3]]}' --json`,
    )
    .action(infer);
  return withConfiguration(command);
}

async function infer(model: string, flags: InferFlags): Promise<void> {
  const client = new Client(baseUrl(flags.url), { ...authorization(flags.tokenFile), tls: clientTls(flags) });
  const answer = await explained(client.url, async () => {
    const { inputs: specs } = await client.describe(model);
    const inputs = flags.data === undefined ? noiseInputs(specs, flags.shape ?? {}) : given(specs, flags.data);
    // The connection is free again at the end of the turn; without this the request would open, and time, another one.
    await nextTurn();
    const stated = flags.slo === undefined ? {} : { sloMs: flags.slo };
    return client.infer({ model, inputs, isBestEffort: flags.bestEffort === true, ...stated });
  });
  print(answer, flags);
}

function baseUrl(text: string): URL {
  if (/^https?:/.test(text) && URL.canParse(text)) return new URL(text);
  throw new UserError(`--url ${text}: expected an address such as http://127.0.0.1:8000`);
}

/** What goes wrong between here and the server, in a line with its remedy. */
async function explained<Result>(url: URL, call: () => Promise<Result>): Promise<Result> {
  try {
    return await call();
  } catch (error) {
    if (error instanceof InferenceError) throw new UserError(error.message);
    if (!(error instanceof Unreachable)) throw error;
    const nobody = `no server answers at ${url.origin}; start one with "sponge serve", or give --url`;
    throw new UserError(tlsTrouble(error.cause, url) ?? nobody);
  }
}

function parseJson(text: string, what: string): Record<string, unknown> {
  try {
    return JSON.parse(text) as Record<string, unknown>;
  } catch {
    throw new UserError(`${what} is not JSON`);
  }
}

function given(specs: readonly TensorSpec[], source: string): Tensor[] {
  const json = parseJson(source.startsWith('@') ? readText(source.slice(1)) : source, '--data');
  const listed = json['inputs'];
  if (Array.isArray(listed)) {
    return (listed as (Pick<Tensor, 'name' | 'datatype' | 'shape'> & { data: unknown })[]).map(
      ({ name, datatype, shape: sizes, data }) => ({
        name,
        datatype,
        shape: sizes,
        data: encodeJsonData(name, datatype, sizes, data),
      }),
    );
  }
  const sent = specs.filter(({ name, isOptional }) => isOptional !== true || name in json);
  return sent.map(({ name, datatype }) => {
    if (!(name in json)) throw new UserError(`--data has no "${name}"`);
    const sizes = nestedShape(json[name]);
    return { name, datatype, shape: sizes, data: encodeJsonData(name, datatype, sizes, json[name]) };
  });
}

function readText(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch (error) {
    throw new UserError(`--data @${path}: ${(error as Error).message}`);
  }
}

/** [[1, 2, 3]] → [1, 3]. */
function nestedShape(value: unknown): number[] {
  return Array.isArray(value) ? [value.length, ...(value.length === 0 ? [] : nestedShape(value[0]))] : [];
}

/** Flat, as JSON would carry them; what JSON cannot carry is told by its size. */
function valuesOf(output: Tensor): unknown[] {
  try {
    return JSON.parse(jsonDataText(output)) as unknown[];
  } catch (error) {
    if (!(error instanceof OipFailure)) throw error;
    return [`${output.data.byteLength} bytes of ${output.datatype}`];
  }
}

/** Late: the server says so, or it took longer than the SLO as seen from here. */
function print({ header, outputs, elapsedMs }: InferAnswer, { slo, json: isJson }: InferFlags): void {
  const explanation = header.parameters ?? {};
  if (isJson === true) {
    const data = outputs.map((output) => ({ ...output, data: valuesOf(output) }));
    console.log(JSON.stringify({ ...header, outputs: data, elapsedMs }, null, 2));
    return;
  }
  for (const output of outputs) {
    const values = valuesOf(output);
    const more = values.length > SHOWN_VALUES ? `, … ${values.length - SHOWN_VALUES} more` : '';
    console.log(
      `${output.name} ${output.datatype} [${output.shape.join(', ')}]: ${values.slice(0, SHOWN_VALUES).join(', ')}${more}`,
    );
  }
  const isLate = elapsedMs > (slo ?? Infinity) || explanation['sponge_late'] === true;
  const ms = (key: string): string => `${(Number(explanation[key] ?? 0) / 1000).toFixed(1)} ms`;
  console.log(
    [
      `answered in ${elapsedMs.toFixed(1)} ms${isLate ? ', LATE' : ''}`,
      `budget ${ms('sponge_budget_us')} (network ${ms('sponge_network_delay_us')}, ${explanation['sponge_network_delay_source'] ?? 'none'})`,
      `queued ${ms('sponge_queue_us')}`,
      `batch of ${explanation['sponge_batch'] ?? '?'}`,
      `${Number(explanation['sponge_allocation_millicores'] ?? 0) / 1000} cores`,
      `planned ${ms('sponge_planned_us')}, took ${ms('sponge_actual_us')}`,
    ].join(' · '),
  );
}
