import { InferenceSession, Tensor } from 'onnxruntime-node';
import { serveRequests } from '../harness/helper.js';

/* ONNX Runtime without a server around it: what the same model costs with the same threads and session settings. */

export interface BareRequest {
  readonly modelPath: string;
  readonly threadCounts: readonly number[];
  /** Of its one input, float32. */
  readonly shape: readonly number[];
  readonly runCount: number;
}

export interface BareResult {
  /** Making all sessions, the first time; 0 afterwards. */
  readonly loadMs: number;
  /** Each run on the most threads. */
  readonly runMs: readonly number[];
}

const NO_SPINNING = { session: { intra_op: { allow_spinning: '0' }, inter_op: { allow_spinning: '0' } } };

let session: InferenceSession | null = null;
const sessions: InferenceSession[] = [];

async function load({ modelPath, threadCounts }: BareRequest): Promise<InferenceSession> {
  for (const intraOpNumThreads of threadCounts) {
    const options = {
      intraOpNumThreads,
      interOpNumThreads: 1,
      executionMode: 'sequential',
      extra: NO_SPINNING,
    } as const;
    sessions.push(await InferenceSession.create(modelPath, options));
  }
  return sessions.at(-1)!;
}

serveRequests(async (request: BareRequest): Promise<BareResult> => {
  const startedAtMs = performance.now();
  const isFirst = session === null;
  session ??= await load(request);
  const loadMs = isFirst ? performance.now() - startedAtMs : 0;
  const input = session.inputNames[0]!;
  const size = request.shape.reduce((product, axis) => product * axis, 1);
  const runMs: number[] = [];
  for (let run = 0; run < request.runCount; run++) {
    const x = new Tensor('float32', new Float32Array(size).fill(0.5), [...request.shape]);
    const runAtMs = performance.now();
    await session.run({ [input]: x });
    runMs.push(performance.now() - runAtMs);
  }
  return { loadMs, runMs };
});
