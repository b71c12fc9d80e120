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
      /** The model's first output, row-major. */
      readonly values: Float32Array;
      /** What the server says about how it served this request. */
      readonly parameters: Readonly<Record<string, unknown>>;
    }
  /** The server's own words, with its status. */
  | { readonly kind: 'refused'; readonly status: number; readonly message: string };

/** How long past the deadline a late answer is waited for. */
const PATIENCE_MS = 30_000;

/** Rejects with one clear line when there is no server to talk to. */
export async function infer({ url, model, inputName, shape, values, sloMs }: Question): Promise<Answer> {
  const head = JSON.stringify({
    inputs: [{ name: inputName, datatype: 'FP32', shape, parameters: { binary_data_size: values.byteLength } }],
    parameters: { binary_data_output: true },
  });
  // A head of a multiple of 4 bytes leaves the floats aligned, so that the server can read them in place.
  const paddedHead = new TextEncoder().encode(head.padEnd(Math.ceil(head.length / 4) * 4));
  try {
    const response = await fetch(`${url}/v2/models/${model}/infer`, {
      method: 'POST',
      headers: {
        'Content-Type': 'application/octet-stream',
        'Inference-Header-Content-Length': String(paddedHead.byteLength),
        'Request-Timeout-Ms': String(sloMs),
      },
      body: new Blob([paddedHead, values]),
      signal: AbortSignal.timeout(sloMs + PATIENCE_MS),
    });
    const body = new Uint8Array(await response.arrayBuffer());
    if (!response.ok) return { kind: 'refused', status: response.status, message: errorText(body) };
    const headLength = Number(response.headers.get('Inference-Header-Content-Length') ?? body.byteLength);
    const { parameters, outputs } = JSON.parse(new TextDecoder().decode(body.subarray(0, headLength))) as ResponseHead;
    const outputBytes = outputs[0]?.parameters?.binary_data_size ?? 0;
    return {
      kind: 'answered',
      values: new Float32Array(body.slice(headLength, headLength + outputBytes).buffer),
      parameters: parameters ?? {},
    };
  } catch (error) {
    throw new Error(`no answer from ${url}: ${causeText(error)}. Is the server running? "npm start" starts it.`, {
      cause: error,
    });
  }
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
