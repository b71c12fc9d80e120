import { setImmediate as nextTurn } from 'node:timers/promises';

/*
 * One request over REST, Open Inference Protocol v2 with the binary tensor extension: a JSON head, then the tensors' bytes;
 * the header `Inference-Header-Content-Length` says where the one ends and the other begins. Nothing here knows about text.
 */

export interface Question {
  readonly url: string;
  readonly model: string;
  readonly inputName: string;
  readonly shape: readonly number[];
  /** Row-major; little-endian in memory, as on every machine that Node runs on. */
  readonly values: Float32Array<ArrayBuffer>;
  /** Total time budget: sent as `Request-Timeout-Ms`. */
  readonly sloMs: number;
}

export type Answer =
  | {
      readonly kind: 'answered';
      /** From sending until the last byte of the answer was here. */
      readonly tookMs: number;
      /** The model's first output, row-major. */
      readonly values: Float32Array;
      /** What the server says about how it served this request. */
      readonly parameters: Readonly<Record<string, unknown>>;
    }
  /** The server's own words, with its status. */
  | { readonly kind: 'refused'; readonly tookMs: number; readonly status: number; readonly message: string };

/** How long past the deadline a late answer is waited for. */
const PATIENCE_MS = 30_000;

/**
 * Prepares a question for sending any number of times, and opens a connection by asking whether the model is ready: what
 * only a client's first request costs (connecting, loading the HTTP client) is not the server's time.
 * @returns sends it once; rejects with one clear line when there is no server to talk to
 */
export async function prepareQuestion(question: Question): Promise<() => Promise<Answer>> {
  const { url, model, inputName, shape, values, sloMs } = question;
  const head = JSON.stringify({
    inputs: [{ name: inputName, datatype: 'FP32', shape, parameters: { binary_data_size: values.byteLength } }],
    parameters: { binary_data_output: true },
  });
  // A head of a multiple of 4 bytes leaves the floats aligned, so that the server can read them in place.
  const paddedHead = Buffer.from(head.padEnd(Math.ceil(head.length / 4) * 4));
  const body = Buffer.concat([paddedHead, Buffer.from(values.buffer)]);
  const headers = {
    'Content-Type': 'application/octet-stream',
    'Inference-Header-Content-Length': String(paddedHead.byteLength),
    'Request-Timeout-Ms': String(sloMs),
    // By itself `fetch` asks for gzip, which would take the server 20 ms for this model's megabyte of output.
    'Accept-Encoding': 'identity',
  };
  const ready = await exchange(`${url}/v2/models/${model}/ready`, { signal: AbortSignal.timeout(PATIENCE_MS) });
  if (!ready.response.ok) throw new Error(`${url} does not serve the model ${model} now: ${errorText(ready.body)}`);
  // `fetch` gives a connection back at the end of the turn; without this the first question would open another one.
  await nextTurn();
  return async () => {
    const signal = AbortSignal.timeout(sloMs + PATIENCE_MS);
    const reply = await exchange(`${url}/v2/models/${model}/infer`, { method: 'POST', headers, body, signal });
    return answerOf(reply);
  };
}

interface Reply {
  readonly response: Response;
  readonly body: Uint8Array<ArrayBuffer>;
  readonly tookMs: number;
}

async function exchange(address: string, request: RequestInit): Promise<Reply> {
  try {
    const sentAtMs = performance.now();
    const response = await fetch(address, request);
    const body = await response.arrayBuffer();
    return { response, body: new Uint8Array(body), tookMs: performance.now() - sentAtMs };
  } catch (error) {
    const { origin } = new URL(address);
    throw new Error(`no answer from ${origin}: ${causeText(error)}. Is the server running? "npm start" starts it.`, {
      cause: error,
    });
  }
}

function answerOf({ response, body, tookMs }: Reply): Answer {
  if (!response.ok) return { kind: 'refused', tookMs, status: response.status, message: errorText(body) };
  const headLength = Number(response.headers.get('Inference-Header-Content-Length') ?? body.byteLength);
  const { parameters, outputs } = JSON.parse(new TextDecoder().decode(body.subarray(0, headLength))) as ResponseHead;
  const outputBytes = outputs[0]?.parameters?.binary_data_size ?? 0;
  const values = new Float32Array(body.slice(headLength, headLength + outputBytes).buffer);
  return { kind: 'answered', tookMs, values, parameters: parameters ?? {} };
}

interface ResponseHead {
  readonly parameters?: Readonly<Record<string, unknown>>;
  readonly outputs: readonly { readonly parameters?: { readonly binary_data_size?: number } }[];
}

/** The protocol's `{"error": "<text>"}`; anything else as it came. */
function errorText(body: Uint8Array): string {
  const text = new TextDecoder().decode(body);
  try {
    return (JSON.parse(text) as { readonly error?: string }).error ?? text;
  } catch {
    return text;
  }
}

/** `fetch` says "fetch failed" and keeps the reason (ECONNREFUSED and so on) in `cause`. */
function causeText(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  const { cause } = error;
  if (!(cause instanceof Error)) return error.message;
  return 'code' in cause && typeof cause.code === 'string' ? cause.code : cause.message;
}
