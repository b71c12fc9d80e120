import { spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { floatTensor, GrpcClient, grpcRequest, http, infer } from '../system/server/clients.js';
import { TestBench, type RunningServer } from '../system/server/harness.js';
import { clientModels } from './models.js';

/*
 * Spans as who receives them reads them: a server of its own, whose collector is the script beside this file.
 */

/** @returns the lines that the script says, an outcome each */
export async function askedByReceiver(python: string): Promise<readonly string[]> {
  const receiver = spawn(python, [join(import.meta.dirname, 'otlp_proto.py')], {
    stdio: ['pipe', 'pipe', 'inherit'],
    env: { ...process.env, PYTHONDONTWRITEBYTECODE: '1' },
  });
  const ended = once(receiver, 'exit');
  const bench = new TestBench();
  try {
    const lines = createInterface({ input: receiver.stdout })[Symbol.asyncIterator]();
    const { port } = JSON.parse(await nextOf(lines)) as { readonly port: number };
    const endpoint = `http://127.0.0.1:${port}`;
    const server = await bench.serve(clientModels(bench), ['--no-refine', '--otlp-endpoint', endpoint]);
    const asked = await askAll(server);
    // It sends what is left.
    await server.stop();
    receiver.stdin.end(`${JSON.stringify(asked)}\n`);
    const outcomes: string[] = [];
    for (let line = await lines.next(); line.done !== true; line = await lines.next()) outcomes.push(line.value);
    return outcomes;
  } finally {
    receiver.kill('SIGKILL');
    await bench.close();
    await ended;
  }
}

async function nextOf(lines: AsyncIterator<string>): Promise<string> {
  const line = await lines.next();
  if (line.done === true) throw new Error('the receiver ended before it was asked');
  return line.value;
}

/** A caller's span, and the headers that say so. */
function caller() {
  const [traceId, spanId] = [randomBytes(16).toString('hex'), randomBytes(8).toString('hex')];
  const headers = { traceparent: `00-${traceId}-${spanId}-01`, tracestate: 'vendor=of-its-own' };
  return { traceId, spanId, headers };
}

async function askAll(server: RunningServer): Promise<Readonly<Record<'rest' | 'grpc' | 'text' | 'refused', object>>> {
  const [rest, grpc, text, refused] = [caller(), caller(), caller(), caller()];
  const inputs = [{ name: 'x', datatype: 'FP32', shape: [1, 4], data: [1, 2, 3, 4] }] as const;
  const expectStatus = (what: string, status: number, expected: number): void => {
    if (status !== expected) throw new Error(`${what} was answered ${status}`);
  };
  // Once it is there, as nobody is to be refused by mistake.
  await infer(server, 'identity_fp32', inputs, { sloMs: 60_000 });
  const answer = await infer(server, 'identity_fp32', inputs, { sloMs: 60_000, headers: rest.headers });
  expectStatus('REST', answer.status, 200);
  const client = new GrpcClient(server);
  const tensor = floatTensor('x', [1, 4], Float32Array.of(1, 2, 3, 4));
  const reply = await client.infer(grpcRequest('identity_fp32', [tensor]), { metadata: grpc.headers });
  client.close();
  if (reply.error !== null) throw reply.error;
  const body = { model: 'words', input: ['hello world', 'a'] };
  const embedded = await http(`${server.rest}/v1/embeddings`, { method: 'POST', body, headers: text.headers });
  expectStatus('text', embedded.status, 200);
  const late = await infer(server, 'identity_fp32', inputs, { sloMs: 0.001, headers: refused.headers });
  expectStatus('one without time', late.status, 504);
  return { rest, grpc, text, refused };
}
