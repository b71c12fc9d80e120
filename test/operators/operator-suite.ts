import { copyFileSync, mkdirSync } from 'node:fs';
import { join } from 'node:path';
import type { Tensor } from '../../src/scheduler/domain/tensor.js';
import { binaryOutputs, GrpcClient, grpcRequest, http, inferBinary } from '../system/server/clients.js';
import { TestBench, type RunningServer } from '../system/server/harness.js';
import { differenceOf, ONNX_TOLERANCE, RUNTIME_TOLERANCE } from './judgement.js';
import { Reference, type OperatorTest, type Standing } from './operator-tests.js';

/*
 * Serves operator tests in groups, a repository each, and judges every answer: first by ONNX's own outputs, then by ONNX
 * Runtime alone, whose answer is what Sponge promises. Half of the requests come by REST, half by gRPC.
 */

export type Verdict =
  | { readonly kind: 'right' }
  /** Not what ONNX's file says, and just what ONNX Runtime says. */
  | { readonly kind: 'right-by-runtime'; readonly difference: string }
  /** Two runs of ONNX Runtime alone differ too: only types and shapes can be compared. */
  | { readonly kind: 'chance' }
  | { readonly kind: 'refused'; readonly reason: string }
  | { readonly kind: 'not-loaded'; readonly reason: string }
  /** ONNX Runtime alone loads the model and fails on the test's inputs, as Sponge does. */
  | { readonly kind: 'fails-alone'; readonly reason: string }
  | { readonly kind: 'wrong'; readonly difference: string }
  | { readonly kind: 'not-started'; readonly reason: string };

export interface Judged {
  readonly test: OperatorTest;
  /** It ran on what was made up for it, before any request. */
  readonly isProfiledAtStart: boolean;
  readonly verdict: Verdict;
}

type Served = OperatorTest & Extract<Standing, { kind: 'served' }>;

/** A worker process takes some 70 MB: 40 of them fit into 4 GB. */
const GROUP_SIZE = 40;
/** Of a group, on a machine that others use too. */
const START_TIMEOUT_MS = 240_000;
const SLO_MS = 60_000;
/** Runs by which chance shows: ten coins fall alike eight times in a row once in 10²¹. */
const CHANCES = 8;

/** @param onProgress after each group */
export async function judgeAll(
  tests: readonly OperatorTest[],
  onProgress: (judged: readonly Judged[]) => void = () => undefined,
): Promise<Judged[]> {
  const reference = new Reference();
  const judged: Judged[] = [];
  const served: Served[] = [];
  for (const test of tests) {
    const standing = await reference.standingOf(test);
    if (standing.kind === 'served') served.push({ ...test, ...standing });
    else judged.push({ test, isProfiledAtStart: false, verdict: standing });
  }
  for (let start = 0; start < served.length; start += GROUP_SIZE) {
    judged.push(...(await judgeGroup(served.slice(start, start + GROUP_SIZE), reference)));
    onProgress(judged);
  }
  return judged;
}

/** A server that does not start is tried again with each of its models alone, to find whose fault it is. */
async function judgeGroup(tests: readonly Served[], reference: Reference): Promise<Judged[]> {
  const bench = new TestBench();
  try {
    for (const { name, modelPath } of tests) {
      const folder = bench.path(join('models', name, '1'));
      mkdirSync(folder, { recursive: true });
      copyFileSync(modelPath, join(folder, 'model.onnx'));
    }
    const server = bench.start(bench.path('models'), ['--no-refine']);
    try {
      await server.ready(START_TIMEOUT_MS);
    } catch (error) {
      const reason = lastLine((error as Error).message);
      if (tests.length === 1)
        return [{ test: tests[0]!, isProfiledAtStart: false, verdict: { kind: 'not-started', reason } }];
      await server.stop();
      const judged: Judged[] = [];
      for (const test of tests) judged.push(...(await judgeGroup([test], reference)));
      return judged;
    }
    const grpc = new GrpcClient(server);
    const judged: Judged[] = [];
    for (const [index, test] of tests.entries()) {
      const verdict = await judge(test, reference, () => ask(server, index % 2 === 0 ? null : grpc, test));
      judged.push({ test, isProfiledAtStart: isProfiled(server.banner, test.name), verdict });
    }
    grpc.close();
    return judged;
  } finally {
    await bench.close();
  }
}

/** By the lines of the banner that are about the model. */
function isProfiled(banner: string, model: string): boolean {
  const [, lines = ''] = banner.split(`  ${model} version `);
  return lines.split(/^ {2}\S/m, 1)[0]!.includes(' profile of ');
}

type Answer =
  | { readonly kind: 'outputs'; readonly outputs: readonly Tensor[] }
  | { readonly kind: 'error'; readonly status: number; readonly message: string };

/** @param grpc null: by REST */
async function ask(server: RunningServer, grpc: GrpcClient | null, { name, inputs }: Served): Promise<Answer> {
  const ready = await http(`${server.rest}/v2/models/${name}/ready`);
  if (ready.status !== 200) return { kind: 'error', status: 503, message: ready.bytes.toString() };
  if (grpc === null) {
    const reply = await inferBinary(server, name, inputs, { sloMs: SLO_MS });
    if (reply.status === 200) return { kind: 'outputs', outputs: binaryOutputs(reply) };
    return { kind: 'error', status: reply.status, message: reply.json.error ?? '' };
  }
  const { error, response } = await grpc.infer(grpcRequest(name, inputs), { deadlineMs: SLO_MS });
  if (error !== null) return { kind: 'error', status: STATUS_BY_CODE.get(error.code) ?? 500, message: error.details };
  const outputs = response.outputs.map((output, index) => ({
    name: output.name,
    datatype: output.datatype as Tensor['datatype'],
    shape: output.shape,
    data: response.rawOutputContents[index]!,
  }));
  return { kind: 'outputs', outputs };
}

/** INVALID_ARGUMENT, UNAVAILABLE. */
const STATUS_BY_CODE: ReadonlyMap<number, number> = new Map([
  [3, 400],
  [14, 503],
]);

async function judge(test: Served, reference: Reference, send: () => Promise<Answer>): Promise<Verdict> {
  const answer = await send();
  if (answer.kind === 'error') {
    if (answer.status === 503) return { kind: 'not-started', reason: answer.message };
    return judgeFailure(test, reference, answer);
  }
  const difference = differenceOf(test.expected, answer.outputs, ONNX_TOLERANCE);
  if (difference === null) return { kind: 'right' };
  const [first = [], ...others] = await reference.answers(test, test.inputs, CHANCES);
  if (differenceOf(first, answer.outputs, RUNTIME_TOLERANCE) === null) return { kind: 'right-by-runtime', difference };
  const isChance = others.some((other) => differenceOf(first, other, RUNTIME_TOLERANCE) !== null);
  return isChance && haveSameTypes(first, answer.outputs) ? { kind: 'chance' } : { kind: 'wrong', difference };
}

async function judgeFailure(
  test: Served,
  reference: Reference,
  { status, message }: Extract<Answer, { kind: 'error' }>,
): Promise<Verdict> {
  try {
    await reference.answers(test, test.inputs, 1);
  } catch (error) {
    return { kind: 'fails-alone', reason: (error as Error).message };
  }
  return status === 400 ? { kind: 'refused', reason: message } : { kind: 'wrong', difference: `failed: ${message}` };
}

function haveSameTypes(expected: readonly Tensor[], actual: readonly Tensor[]): boolean {
  return expected.every(({ name, datatype, shape }) =>
    actual.some((other) => other.name === name && other.datatype === datatype && other.shape.length === shape.length),
  );
}

function lastLine(message: string): string {
  return message.trim().split('\n').at(-1) ?? '';
}
