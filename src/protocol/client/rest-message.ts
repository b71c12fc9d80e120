import type { IncomingHttpHeaders } from 'node:http';
import { DATATYPES, type Datatype, type Tensor } from '../../scheduler/domain/tensor.js';
import type { ParameterValue } from '../service.js';
import { jsonDataText } from '../tensor-codec.js';

/*
 * What a client sends and is answered over REST, as bytes: tensors in binary behind a JSON head, or all of it JSON. Whoever sends a
 * request to a server of the protocol, once or a thousand times a second, has it made here.
 */

/** Asked for with every request. */
export interface Asked {
  readonly inputs: readonly Tensor[];
  /** Names of the outputs to send back; absent: all. */
  readonly outputNames?: readonly string[];
}

export type Parameters = Readonly<Record<string, ParameterValue>>;

/** Requests that differ in their parameters alone share `rest`. */
export interface RestMessage {
  readonly headers: Readonly<Record<string, string>>;
  readonly head: Buffer;
  readonly rest: Buffer;
}

/** `/v2/models/<name>[/versions/<version>]`. @param version absent or empty: the server's choice */
export function modelPath(model: string, version = ''): string {
  const ofVersion = version === '' ? '' : `/versions/${encodeURIComponent(version)}`;
  return `/v2/models/${encodeURIComponent(model)}${ofVersion}`;
}

export function inferPath(model: string, version = ''): string {
  return `${modelPath(model, version)}/infer`;
}

/** Outputs come back in binary too. @returns a request with these parameters, whose tensors are copied once, now */
export function binaryMessages({ inputs, outputNames }: Asked): (parameters: Parameters) => RestMessage {
  const rest = Buffer.concat(inputs.map(({ data }) => data));
  const described = inputs.map(({ name, shape, datatype, data }) => ({
    name,
    shape,
    datatype,
    parameters: { binary_data_size: data.byteLength },
  }));
  return (parameters) => {
    const text = Buffer.from(
      JSON.stringify({
        parameters: { ...parameters, binary_data_output: true },
        ...outputsOf(outputNames),
        inputs: described,
      }),
    );
    // The tensors begin at a multiple of 8: the server needs no copy to read any type of number.
    const head = Buffer.concat([text, SPACES.subarray(0, -text.length & 7)]);
    const headers = {
      'content-type': 'application/octet-stream',
      'inference-header-content-length': String(head.length),
    };
    return { headers, head, rest };
  };
}

const SPACES = Buffer.alloc(8, ' ');

/** @returns a request with these parameters. @throws OipFailure `invalid` where JSON cannot carry an input */
export function jsonMessages({ inputs, outputNames }: Asked): (parameters: Parameters) => RestMessage {
  const texts = inputs.map((input) => {
    const { name, shape, datatype } = input;
    return `${JSON.stringify({ name, shape, datatype }).slice(0, -1)},"data":${jsonDataText(input)}}`;
  });
  const rest = Buffer.from(`"inputs":[${texts.join(',')}]}`);
  return (parameters) => {
    const fields = JSON.stringify({ parameters, ...outputsOf(outputNames) });
    const head = Buffer.from(`${fields.slice(0, -1)},`);
    return { headers: { 'content-type': 'application/json' }, head, rest };
  };
}

function outputsOf(names: readonly string[] | undefined): object {
  return names === undefined ? {} : { outputs: names.map((name) => ({ name })) };
}

/** The JSON of an answer as text, and what is behind it. */
export function splitAnswer(
  headers: IncomingHttpHeaders,
  body: Buffer,
): { readonly text: string; readonly tail: Buffer } {
  const length = Number(headers['inference-header-content-length'] ?? body.length);
  return { text: body.toString('utf8', 0, length), tail: body.subarray(length) };
}

export interface OutputJson {
  readonly name: string;
  readonly shape: readonly number[];
  readonly datatype: Datatype;
  readonly parameters: { readonly binary_data_size: number };
}

/** Outputs that came in binary, each with bytes of its own. @throws TypeError for a datatype that the protocol does not have */
export function binaryOutputs(outputs: readonly OutputJson[], tail: Buffer): readonly Tensor[] {
  let offset = 0;
  return outputs.map(({ name, shape, datatype, parameters }) => {
    if (!DATATYPES.includes(datatype)) throw new TypeError(`output ${name} has unknown datatype ${datatype as string}`);
    // A copy, so that elements are aligned.
    const data = Uint8Array.from(tail.subarray(offset, (offset += parameters.binary_data_size)));
    return { name, shape, datatype, data };
  });
}
