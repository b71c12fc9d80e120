import { setImmediate as nextTurn } from 'node:timers/promises';
import { Client, InferenceError, numbersOf, tensorOf, Unreachable } from 'sponge-inference/client';

/* One request to a model of one FP32 input, with a deadline, and what became of it. Nothing here knows about text. */

export interface Question {
  readonly url: string;
  readonly model: string;
  readonly shape: readonly number[];
  /** Row-major. */
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
  | { readonly kind: 'refused'; readonly tookMs: number; readonly message: string };

/** How long past the deadline a late answer is waited for. */
const PATIENCE_MS = 30_000;

/**
 * Prepares a question for sending any number of times, and opens a connection by asking what the model takes: what only a client's
 * first request costs is not the server's time.
 * @returns sends it once; rejects with one clear line when there is no server to talk to
 */
export async function prepareQuestion({ url, model, shape, values, sloMs }: Question): Promise<() => Promise<Answer>> {
  const client = new Client(url);
  const { inputs } = await reached(client.describe(model)).catch((error: unknown) => {
    if (!(error instanceof InferenceError)) throw error;
    throw new Error(`${url} does not serve the model ${model}: ${error.message}`, { cause: error });
  });
  // It is listed from the start on, and has no inputs before it is loaded and measured.
  if (inputs.length === 0)
    throw new Error(
      `${url} is still loading the model ${model}: try again when ${url}/v2/models/${model}/ready answers 200`,
    );
  const tensors = [tensorOf(inputs[0]!.name, shape, values)];
  // A connection is free again at the end of the turn; without this the first question would open another one.
  await nextTurn();
  return async () => {
    const sentAtMs = performance.now();
    try {
      const signal = AbortSignal.timeout(sloMs + PATIENCE_MS);
      const { header, outputs, elapsedMs } = await reached(client.infer({ model, inputs: tensors, sloMs, signal }));
      const output = numbersOf(outputs[0]!, 'FP32');
      return { kind: 'answered', tookMs: elapsedMs, values: output, parameters: header.parameters ?? {} };
    } catch (error) {
      if (!(error instanceof InferenceError)) throw error;
      return { kind: 'refused', tookMs: performance.now() - sentAtMs, message: error.message };
    }
  };
}

async function reached<Result>(call: Promise<Result>): Promise<Result> {
  try {
    return await call;
  } catch (error) {
    if (!(error instanceof Unreachable)) throw error;
    throw new Error(`${error.message}. Is the server running? "npm start" starts it.`, { cause: error });
  }
}
