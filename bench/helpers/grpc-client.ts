import { execFile } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { connect, type ClientHttp2Session, type ClientHttp2Stream } from 'node:http2';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { GRPC_PATH } from '../harness/messages.js';
import type { LoadResult, Until } from './load-generator.js';

/*
 * gRPC clients without a gRPC library, whose cost would be the larger half of what is measured: the native `h2load` of
 * nghttp2 where it is installed (`native`), else frames written by hand on Node's HTTP/2.
 */

export interface GrpcTarget {
  readonly protocol: 'grpc';
  readonly port: number;
  /** With its gRPC frame head. */
  readonly frame: Uint8Array;
  readonly isNative: boolean;
}

const HEADERS = { 'content-type': 'application/grpc', te: 'trailers' };
/** So that the reply never waits for the client's window. */
const WINDOW_BYTES = 4 << 20;

/** One request in flight on each connection. */
export function closedLoopGrpc(target: GrpcTarget, connectionCount: number, until: Until): Promise<LoadResult> {
  return target.isNative
    ? closedLoopNative(target, connectionCount, until)
    : closedLoopNode(target, connectionCount, until);
}

async function closedLoopNode({ port, frame }: GrpcTarget, connectionCount: number, until: Until): Promise<LoadResult> {
  const sessions = await Promise.all(Array.from({ length: connectionCount }, () => openSession(port)));
  const latenciesMs: number[] = [];
  const statusCounts: Record<string, number> = {};
  const startedAtMs = performance.now();
  let sentCount = 0;
  const loop = async (session: ClientHttp2Session): Promise<void> => {
    while (sentCount < until.requestCount && performance.now() - startedAtMs < until.durationMs) {
      sentCount += 1;
      const sentAtMs = performance.now();
      const status = `grpc-${await exchange(session, frame)}`;
      latenciesMs.push(performance.now() - sentAtMs);
      statusCounts[status] = (statusCounts[status] ?? 0) + 1;
    }
  };
  await Promise.all(sessions.map(loop));
  const elapsedMs = performance.now() - startedAtMs;
  for (const session of sessions) session.destroy();
  return { elapsedMs, latenciesMs, statusCounts };
}

/** h2load sees HTTP statuses only: the caller compares the server's own counts. */
async function closedLoopNative(
  { port, frame }: GrpcTarget,
  connectionCount: number,
  { requestCount, durationMs }: Until,
): Promise<LoadResult> {
  const folder = mkdtempSync(join(tmpdir(), 'sponge-h2load-'));
  try {
    const [data, log] = [join(folder, 'frame'), join(folder, 'log')];
    writeFileSync(data, frame);
    const headers = Object.entries(HEADERS).flatMap(([name, value]) => ['-H', `${name}: ${value}`]);
    const length = Number.isFinite(requestCount) ? ['-n', String(requestCount)] : ['-D', String(durationMs / 1000)];
    const flags = [...length, '-c', String(connectionCount), '-m', '1', '-w', '22', '-W', '22'];
    const url = `http://127.0.0.1:${port}${GRPC_PATH}`;
    await promisify(execFile)('h2load', [...flags, ...headers, '-d', data, `--log-file=${log}`, url]);
    // Start in µs since 1970, HTTP status, duration in µs.
    const lines = readFileSync(log, 'utf8').trim().split('\n');
    const requests = lines.map((line) => line.split('\t').map(Number) as [number, number, number]);
    const statusCounts: Record<string, number> = {};
    let [firstUs, lastUs] = [Infinity, 0];
    for (const [startUs, status, us] of requests) {
      statusCounts[`http-${status}`] = (statusCounts[`http-${status}`] ?? 0) + 1;
      firstUs = Math.min(firstUs, startUs);
      lastUs = Math.max(lastUs, startUs + us);
    }
    const latenciesMs = requests.map(([, , us]) => us / 1000);
    return { elapsedMs: (lastUs - firstUs) / 1000, latenciesMs, statusCounts };
  } finally {
    rmSync(folder, { recursive: true });
  }
}

/** Opens connections; returns what sends requests over them, as many streams on each as it takes. */
export async function holdGrpc(
  { port, frame }: GrpcTarget,
  connectionCount: number,
): Promise<(requestCount: number) => void> {
  const sessions = await Promise.all(Array.from({ length: connectionCount }, () => openSession(port)));
  return (requestCount) => {
    for (let index = 0; index < requestCount; index++) {
      openStream(sessions[index % connectionCount]!, frame)
        .on('error', () => undefined)
        .resume();
    }
  };
}

async function openSession(port: number): Promise<ClientHttp2Session> {
  const session = connect(`http://127.0.0.1:${port}`, {
    settings: { initialWindowSize: WINDOW_BYTES },
    peerMaxConcurrentStreams: 100_000,
  });
  session.on('error', () => undefined);
  await new Promise<void>((resolve, reject) => {
    session.once('remoteSettings', () => resolve());
    session.once('close', () => reject(new Error(`no HTTP/2 on port ${port}`)));
  });
  session.setLocalWindowSize(WINDOW_BYTES);
  return session;
}

function openStream(session: ClientHttp2Session, frame: Uint8Array): ClientHttp2Stream {
  const stream = session.request({ ':method': 'POST', ':path': GRPC_PATH, ...HEADERS });
  stream.end(frame);
  return stream;
}

/** @returns the gRPC status */
function exchange(session: ClientHttp2Session, frame: Uint8Array): Promise<string> {
  return new Promise((resolve, reject) => {
    const stream = openStream(session, frame);
    let status = 'none';
    const read = (headers: object): void => {
      status = (headers as Record<string, string | undefined>)['grpc-status'] ?? status;
    };
    stream.on('response', read).on('trailers', read).on('error', reject);
    stream.on('close', () => resolve(status)).resume();
  });
}
