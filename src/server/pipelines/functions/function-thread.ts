import { createRequire } from 'node:module';
import { pathToFileURL } from 'node:url';
import { parentPort, workerData } from 'node:worker_threads';
import type { FunctionOutput } from '../../../scheduler/pipeline/step-target.js';
import { functionTensorOf, sentFrom, type FunctionTensor, type SentTensor } from './function-values.js';

/*
 * The thread that runs a function: the operator's module, one call at a time. Whatever it throws is its request's affair; what it leaves
 * behind in memory is told with each answer.
 */

export interface FunctionThreadData {
  readonly file: string;
  readonly outputs: readonly FunctionOutput[];
  /** Of a function of the server's own: what its module is begun with. */
  readonly options?: unknown;
}

export interface FunctionCall {
  readonly dueInMs: number;
  /** Of the trace that the request is part of, for whomever the function calls; absent where nobody traces. */
  readonly traceparent?: string;
  readonly tracestate?: string;
  readonly inputs: readonly (readonly [name: string, value: SentTensor | readonly (SentTensor | null)[]])[];
}

export type FunctionReport =
  | { readonly kind: 'ready' }
  /** The module cannot be used. */
  | { readonly kind: 'unusable'; readonly message: string }
  | {
      readonly kind: 'done';
      readonly outputs: readonly (readonly [name: string, value: SentTensor | readonly SentTensor[]])[];
      readonly heldBytes: number;
    }
  | { readonly kind: 'failed'; readonly message: string; readonly heldBytes: number };

type Given = FunctionTensor | readonly (FunctionTensor | null)[];
type OperatorsFunction = (inputs: Readonly<Record<string, Given>>, call: Omit<FunctionCall, 'inputs'>) => unknown;

const { file, outputs, options } = workerData as FunctionThreadData;
const port = parentPort!;

void main();

async function main(): Promise<void> {
  let run: OperatorsFunction;
  try {
    const module = await load();
    if (options !== undefined) (module as { begin(options: unknown): void }).begin(options);
    run = functionIn(module);
  } catch (error) {
    tell({ kind: 'unusable', message: textOf(error) });
    return;
  }
  port.on('message', (call: FunctionCall) => void answer(run, call));
  tell({ kind: 'ready' });
}

async function answer(run: OperatorsFunction, { inputs, ...about }: FunctionCall): Promise<void> {
  try {
    const given = Object.fromEntries(
      inputs.map(([name, value]) => [
        name,
        isList(value) ? value.map((each) => each && functionTensorOf(each)) : functionTensorOf(value),
      ]),
    );
    const result: unknown = await run(given, about);
    const made = (typeof result === 'object' && result !== null ? result : {}) as Readonly<Record<string, unknown>>;
    const missing = outputs.find(({ name }) => made[name] === undefined);
    if (missing !== undefined) throw new Error(`it gave no '${missing.name}'`);
    const sent = outputs.map((output) => [output.name, sentFrom(made[output.name], output)] as const);
    const buffers = new Set(
      sent.flatMap(([, value]) => (isList(value) ? value : [value])).map(({ bytes }) => bytes.buffer),
    );
    tell({ kind: 'done', outputs: sent, heldBytes: heldBytes() }, [...buffers]);
  } catch (error) {
    tell({ kind: 'failed', message: textOf(error), heldBytes: heldBytes() });
  }
}

function heldBytes(): number {
  const { heapUsed, external, arrayBuffers } = process.memoryUsage();
  return heapUsed + Math.max(external, arrayBuffers);
}

function tell(report: FunctionReport, buffers: readonly ArrayBuffer[] = []): void {
  port.postMessage(report, buffers);
}

/** TypeScript where Node reads it, or where tsx is installed beside it. */
async function load(): Promise<unknown> {
  const isTypeScript = /\.[cm]?ts$/.test(file);
  if (!isTypeScript || (process.features as { typescript?: unknown }).typescript)
    return import(pathToFileURL(file).href);
  const near = createRequire(file);
  let loader: string;
  try {
    loader = near.resolve('tsx/cjs/api');
  } catch {
    throw new Error(
      `Node ${process.versions.node} does not read TypeScript: install tsx beside it, compile it to JavaScript, or use Node 22.18 or newer`,
    );
  }
  (near(loader) as { register(): unknown }).register();
  return near(file);
}

function functionIn(module: unknown): OperatorsFunction {
  let found = module;
  // A module in another's clothes has its default in its default.
  for (let depth = 0; depth < 3 && typeof found === 'object' && found !== null && 'default' in found; depth++)
    found = found.default;
  if (typeof found !== 'function') throw new Error('it exports no function: export default function (inputs) { … }');
  return found as OperatorsFunction;
}

function isList<Each>(value: Each | readonly Each[]): value is readonly Each[] {
  return Array.isArray(value);
}

function textOf(error: unknown): string {
  const text = error instanceof Error ? error.message : String(error);
  return text.replaceAll(/\s+/g, ' ').slice(0, 500);
}
