import { gunzipSync, gzipSync } from 'node:zlib';
import { Agent, request } from 'undici';
import type { Datatype, Tensor } from '../../src/scheduler/domain/tensor.js';
import { parametersOf, type Ask, type Reply, type ClientRequest } from './client-request.js';

/* Asks over REST: JSON or binary tensors, packed or not. Its codec is its own: a mistake that both ends share would not be seen. */

export interface EncodedRequest {
  readonly path: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: Buffer;
}

export type RestForm = 'json' | 'binary' | 'gzip';

export class RestClient {
  readonly #agent = new Agent({ connections: 512, pipelining: 1, headersTimeout: 0, bodyTimeout: 0 });
  readonly #url: string;

  constructor(url: string) {
    this.#url = url;
  }

  asking(form: RestForm): Ask {
    return (clientRequest) => this.#ask(clientRequest, form);
  }

  async close(): Promise<void> {
    await this.#agent.destroy();
  }

  async #ask(clientRequest: ClientRequest, form: RestForm): Promise<Reply> {
    const { path, headers, body } = encodeRequest(clientRequest, form);
    const leaving = new AbortController();
    const timer =
      clientRequest.leaveAfterMs === null ? undefined : setTimeout(() => leaving.abort(), clientRequest.leaveAfterMs);
    try {
      const { signal } = leaving;
      const response = await request(this.#url + path, {
        method: 'POST',
        headers,
        body,
        dispatcher: this.#agent,
        signal,
      });
      const bytes = Buffer.from(await response.body.arrayBuffer());
      return decodeReply(response.statusCode, response.headers, bytes);
    } catch (error) {
      return leaving.signal.aborted ? { kind: 'left' } : { kind: 'broken', what: codeOf(error) };
    } finally {
      clearTimeout(timer);
    }
  }
}

export function codeOf(error: unknown): string {
  const { code, message } = error as NodeJS.ErrnoException;
  return code ?? message;
}

export function encodeRequest(clientRequest: ClientRequest, form: RestForm): EncodedRequest {
  const { question, id, sloMs } = clientRequest;
  const isBinary = form === 'binary';
  // Either way of stating a deadline, by the id.
  const isSloInHeader = Number(id) % 2 === 0;
  const json = JSON.stringify({
    id,
    parameters: { ...parametersOf(clientRequest, !isSloInHeader), ...(isBinary ? { binary_data_output: true } : {}) },
    ...(question.outputNames === null ? {} : { outputs: question.outputNames.map((name) => ({ name })) }),
    inputs: question.inputs.map((tensor) => ({
      name: tensor.name,
      datatype: tensor.datatype,
      shape: tensor.shape,
      ...(isBinary ? { parameters: { binary_data_size: tensor.data.length } } : { data: jsonData(tensor) }),
    })),
  });
  const head = Buffer.from(json);
  const plain = isBinary ? Buffer.concat([head, ...question.inputs.map(({ data }) => data)]) : head;
  return {
    path: `/v2/models/${question.model}/infer`,
    headers: {
      ...(sloMs !== null && isSloInHeader ? { 'request-timeout-ms': String(sloMs) } : {}),
      ...(isBinary ? { 'inference-header-content-length': String(head.length) } : {}),
      ...(form === 'gzip' ? { 'content-encoding': 'gzip', 'accept-encoding': 'gzip' } : {}),
    },
    body: form === 'gzip' ? gzipSync(plain) : plain,
  };
}

type Headers = Readonly<Record<string, string | string[] | undefined>>;

interface JsonReply {
  readonly id?: string;
  readonly error?: string;
  readonly reason?: string;
  readonly outputs?: readonly {
    readonly name: string;
    readonly datatype: Datatype;
    readonly shape: readonly number[];
    readonly data?: readonly (string | number)[];
    readonly parameters?: { readonly binary_data_size: number };
  }[];
}

export function decodeReply(status: number, headers: Headers, received: Buffer): Reply {
  const bytes = headers['content-encoding'] === 'gzip' ? gunzipSync(received) : received;
  const jsonBytes = Number(headers['inference-header-content-length'] ?? bytes.length);
  let json: JsonReply;
  try {
    json = JSON.parse(bytes.toString('utf8', 0, jsonBytes)) as JsonReply;
  } catch {
    return { kind: 'broken', what: `status ${status} with a body that is not JSON` };
  }
  if (status !== 200) {
    const isSame = headers['x-sponge-reason'] === json.reason;
    const message = `${json.error ?? 'no error'}${isSame ? '' : ' (header and body differ in their reason)'}`;
    return { kind: 'refused', status: { http: status }, reason: isSame ? (json.reason ?? null) : null, message };
  }
  let offset = jsonBytes;
  const outputs = (json.outputs ?? []).map(({ name, datatype, shape, data, parameters }): Tensor => {
    const bytesOfOutput =
      data === undefined
        ? bytes.subarray(offset, (offset += parameters!.binary_data_size))
        : binaryData(datatype, data);
    return { name, datatype, shape, data: bytesOfOutput };
  });
  return { kind: 'answered', id: json.id ?? '', outputs };
}

/** Integers that JSON's numbers cannot hold travel as digits. */
function jsonData({ datatype, data }: Tensor): (string | number)[] {
  const { buffer } = Uint8Array.from(data);
  if (datatype === 'FP32') return [...new Float32Array(buffer)];
  if (datatype === 'BYTES') return stringsOf(data).map((text) => text.toString());
  return [...new BigInt64Array(buffer)].map((each) =>
    Number.isSafeInteger(Number(each)) ? Number(each) : String(each),
  );
}

function binaryData(datatype: Datatype, data: readonly (string | number)[]): Uint8Array {
  if (datatype === 'FP32') return new Uint8Array(Float32Array.from(data, Number).buffer);
  if (datatype === 'INT64') return new Uint8Array(BigInt64Array.from(data, BigInt).buffer);
  return Buffer.concat(
    data.flatMap((text) => {
      const bytes = Buffer.from(String(text));
      const length = Buffer.alloc(4);
      length.writeUInt32LE(bytes.length);
      return [length, bytes];
    }),
  );
}

/** Of the protocol's binary layout: each a length and so many bytes. */
export function stringsOf(data: Uint8Array): Buffer[] {
  const bytes = Buffer.from(data);
  const strings: Buffer[] = [];
  for (let offset = 0; offset < bytes.length;) {
    const length = bytes.readUInt32LE(offset);
    strings.push(bytes.subarray(offset + 4, offset + 4 + length));
    offset += 4 + length;
  }
  return strings;
}
