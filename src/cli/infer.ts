import { readFileSync } from 'node:fs';
import type { IncomingMessage } from 'node:http';
import { buffer } from 'node:stream/consumers';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { Command } from 'commander';
import { noiseInputs } from '../adapters/oip/noise-inputs.js';
import { OipFailure } from '../adapters/oip/service.js';
import { encodeJsonData, jsonDataText } from '../adapters/oip/tensor-codec.js';
import { DATATYPES, type Datatype, type Tensor, type TensorSpec } from '../domain/tensor.js';
import { positiveNumber, shape, UserError, withConfiguration } from './options.js';
import { requestServer, tlsTrouble, type ServerRequest } from './server-request.js';
import { clientTls, withClientTls, type ClientTlsFlags } from './tls-flags.js';
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

/** A tensor of a model's metadata, as `oip/rest/metadata.ts` writes it. */
interface TensorMetadata {
  readonly name: string;
  readonly datatype: Datatype;
  readonly shape: readonly number[];
  readonly parameters?: { readonly sponge_optional?: boolean; readonly sponge_any_rank?: boolean };
}

interface ReplyHeader {
  readonly model_name: string;
  readonly model_version?: string;
  readonly parameters?: Readonly<Record<string, string | number | boolean>>;
  readonly outputs: readonly {
    readonly name: string;
    readonly shape: readonly number[];
    readonly datatype: Datatype;
    readonly parameters: { readonly binary_data_size: number };
  }[];
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
  const tls = clientTls(flags);
  const base = `${flags.url.replace(/\/$/, '')}/v2/models/${encodeURIComponent(model)}`;
  const metadata = (await exchange(base, { method: 'GET', headers: authorization(flags.tokenFile), tls })).json as {
    readonly inputs: readonly TensorMetadata[];
  };
  const specs = metadata.inputs.map(toSpec);
  const inputs = flags.data === undefined ? noiseInputs(specs, flags.shape ?? {}) : given(specs, flags.data);
  const head = JSON.stringify({
    inputs: inputs.map(({ name, shape: sizes, datatype, data }) => ({
      name,
      shape: sizes,
      datatype,
      parameters: { binary_data_size: data.byteLength },
    })),
    parameters: { binary_data_output: true, ...(flags.bestEffort === true ? { best_effort: true } : {}) },
  });
  const body = Buffer.concat([Buffer.from(head), ...inputs.map(({ data }) => data)]);
  // The connection is free again at the end of the turn; without this the request would open, and time, another one.
  await nextTurn();
  const answer = await exchange(`${base}/infer`, {
    method: 'POST',
    headers: {
      ...authorization(flags.tokenFile),
      'content-type': 'application/octet-stream',
      // Compressed, an output would take the server 20 ms a megabyte.
      'accept-encoding': 'identity',
      'inference-header-content-length': String(Buffer.byteLength(head)),
      ...(flags.slo === undefined ? {} : { 'request-timeout-ms': String(flags.slo) }),
    },
    body,
    tls,
  });
  print(answer.json as unknown as ReplyHeader, answer, flags);
}

function toSpec({ name, datatype, shape: declared, parameters = {} }: TensorMetadata): TensorSpec {
  const isOptional = parameters.sponge_optional === true;
  return { name, datatype, shape: parameters.sponge_any_rank === true ? null : declared, isOptional };
}

interface Answer {
  readonly json: Record<string, unknown>;
  /** The outputs' bytes, after the JSON head. */
  readonly tail: Buffer;
  /** From sending until the last byte was here. */
  readonly elapsedMs: number;
}

async function exchange(address: string, request: ServerRequest): Promise<Answer> {
  const url = parseUrl(address);
  try {
    const startMs = performance.now();
    const response = await requestServer(url, request);
    const body = await buffer(response);
    return readAnswer(url, response, body, performance.now() - startMs);
  } catch (error) {
    if (error instanceof UserError) throw error;
    const nobody = `no server answers at ${url.origin}; start one with "sponge serve", or give --url`;
    throw new UserError(tlsTrouble(error, url) ?? nobody);
  }
}

function parseUrl(address: string): URL {
  if (/^https?:/.test(address) && URL.canParse(address)) return new URL(address);
  throw new UserError(`--url ${address}: expected an address such as http://127.0.0.1:8000`);
}

function readAnswer(url: URL, response: IncomingMessage, body: Buffer, elapsedMs: number): Answer {
  const length = Number(response.headers['inference-header-content-length'] ?? body.length);
  const json = parseJson(body.toString('utf8', 0, length), `the answer of ${url.href}`);
  if (response.statusCode !== 200) {
    const cause = typeof json['error'] === 'string' ? json['error'] : response.statusMessage;
    throw new UserError(`${response.statusCode}: ${cause}`);
  }
  return { json, tail: body.subarray(length), elapsedMs };
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
function print(reply: ReplyHeader, { tail, elapsedMs }: Answer, { slo, json: isJson }: InferFlags): void {
  let offset = 0;
  const outputs = reply.outputs.map(({ name, shape: sizes, datatype, parameters }) => {
    // A copy, so that elements are aligned.
    const data = Uint8Array.from(tail.subarray(offset, (offset += parameters.binary_data_size)));
    if (!DATATYPES.includes(datatype)) throw new UserError(`output ${name} has unknown datatype ${datatype as string}`);
    return { name, shape: sizes, datatype, data };
  });
  const explained = reply.parameters ?? {};
  if (isJson === true) {
    const data = outputs.map((output) => ({ ...output, data: valuesOf(output) }));
    console.log(JSON.stringify({ ...reply, outputs: data, elapsedMs }, null, 2));
    return;
  }
  for (const output of outputs) {
    const values = valuesOf(output);
    const more = values.length > SHOWN_VALUES ? `, … ${values.length - SHOWN_VALUES} more` : '';
    console.log(
      `${output.name} ${output.datatype} [${output.shape.join(', ')}]: ${values.slice(0, SHOWN_VALUES).join(', ')}${more}`,
    );
  }
  const isLate = elapsedMs > (slo ?? Infinity) || explained['sponge_late'] === true;
  const ms = (key: string): string => `${(Number(explained[key] ?? 0) / 1000).toFixed(1)} ms`;
  console.log(
    [
      `answered in ${elapsedMs.toFixed(1)} ms${isLate ? ', LATE' : ''}`,
      `budget ${ms('sponge_budget_us')} (network ${ms('sponge_network_delay_us')}, ${explained['sponge_network_delay_source'] ?? 'none'})`,
      `queued ${ms('sponge_queue_us')}`,
      `batch of ${explained['sponge_batch'] ?? '?'}`,
      `${Number(explained['sponge_allocation_millicores'] ?? 0) / 1000} cores`,
      `planned ${ms('sponge_predicted_us')}, took ${ms('sponge_actual_us')}`,
    ].join(' · '),
  );
}
