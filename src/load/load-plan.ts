import type { BandwidthTrace } from '../simulator/workloads/bandwidth-trace.js';
import { clientClocks, type NetworkSpec, type Workload } from '../simulator/workloads/workload.js';
import type { ScenarioSetup } from '../simulator/scenarios/setup.js';

/*
 * What a load generator is to do: the simulator's workload of a scenario and seed, request by request, for a real server.
 * Pure: instants are ms since the start of the run. The same seed gives the simulator and the generator the same clients,
 * the same send instants, sizes, SLOs and networks.
 */

/** Some 300 bytes each. */
const MOST_REQUESTS = 2_000_000;

export interface PlannedRequest {
  readonly index: number;
  readonly client: number;
  readonly sentAtMs: number;
  /** The server hears of it: a propagation after it was sent. */
  readonly firstByteAtMs: number;
  /** What the client tells the server. */
  readonly sloMs: number;
  /** What it is judged by: less than the SLO where a delay is subtracted instead of applied. */
  readonly patienceMs: number;
  /** Null: the body leaves at once. */
  readonly upload: Upload | null;
  /** What the client says of its upload, ms; null where it says nothing. */
  readonly declaredUploadMs: number | null;
  /** By the client's own clock, ms; null where it does not stamp. */
  readonly sendStampMs: number | null;
  /** The client leaves; Infinity where it stays. */
  readonly leavesAtMs: number;
}

/** The bytes leave the client as its link lets them, and are on the server's side a propagation later. */
export interface Upload {
  readonly trace: BandwidthTrace;
  readonly sentAtMs: number;
  /** Size that the network sees, whatever the body that carries the model's tensors has. */
  readonly bytes: number;
  readonly propagationMs: number;
  /** The last byte is there. */
  readonly endAtMs: number;
}

export interface LoadPlan {
  readonly durationMs: number;
  /** Of all clients. */
  readonly requestCount: number;
  /** Of the clients that were asked for, by `firstByteAtMs`. */
  readonly requests: readonly PlannedRequest[];
  /** When the client has a reply of which the last byte left the server at an instant; as large as the scenario says. */
  replyEndAtMs(request: PlannedRequest, repliedAtMs: number): number;
}

/** @param isOurs by the client's number: whose requests are wanted   @throws Error, one line, where they are too many to hold */
export function planLoad(
  setup: ScenarioSetup,
  seed: number,
  isOurs: (client: number) => boolean = () => true,
): LoadPlan {
  const workload = setup.workload(seed);
  const network = setup.network(seed);
  const clocks = network.mode === 'applied' ? network.clocks : null;
  const stamp = clocks === null ? null : clientClocks(clocks, seed);
  const indices = Array.from(workload.client.keys()).filter((index) => isOurs(workload.client[index]!));
  if (indices.length > MOST_REQUESTS) {
    throw new Error(
      `${setup.name}: ${indices.length} requests are more than a load generator holds; lower the duration or the rate, to ${MOST_REQUESTS} a thread`,
    );
  }
  const requests = indices.map((index): PlannedRequest => {
    const client = workload.client[index]!;
    const sentAtMs = workload.sentAtMs[index]!;
    const sloMs = workload.sloMs[index]!;
    const isSubtracted = network.mode === 'subtracted';
    const upload = uploadOf(workload, network, index);
    return {
      index,
      client,
      sentAtMs,
      firstByteAtMs: sentAtMs + (upload?.propagationMs ?? 0),
      sloMs,
      patienceMs: isSubtracted ? sloMs - workload.networkDelayMs[index]! : sloMs,
      upload,
      declaredUploadMs: isSubtracted ? workload.networkDelayMs[index]! : null,
      sendStampMs: stamp === null ? null : stamp(client, sentAtMs),
      leavesAtMs: workload.leavesAtMs[index]!,
    };
  });
  return {
    durationMs: workload.durationMs,
    requestCount: workload.count,
    requests: requests.sort((a, b) => a.firstByteAtMs - b.firstByteAtMs || a.index - b.index),
    replyEndAtMs: ({ client, upload }, repliedAtMs) =>
      network.mode === 'applied'
        ? network.traces[client]!.transferEndAtMs(repliedAtMs, network.replyBytes) + (upload?.propagationMs ?? 0)
        : repliedAtMs,
  };
}

function uploadOf(workload: Workload, network: NetworkSpec, index: number): Upload | null {
  if (network.mode !== 'applied' || workload.bytes[index] === 0) return null;
  const trace = network.traces[workload.client[index]!]!;
  const [sentAtMs, bytes] = [workload.sentAtMs[index]!, workload.bytes[index]!];
  const endAtMs = workload.receivedAtMs[index]!;
  const propagationMs = Math.max(0, endAtMs - trace.transferEndAtMs(sentAtMs, bytes));
  return { trace, sentAtMs, bytes, propagationMs, endAtMs };
}

/** Of the body that is there by an instant, in [0, 1]. */
export function uploadedFraction({ trace, sentAtMs, bytes, propagationMs, endAtMs }: Upload, atMs: number): number {
  if (atMs >= endAtMs) return 1;
  const leftAtMs = atMs - propagationMs;
  return leftAtMs <= sentAtMs ? 0 : Math.min(1, trace.bytesBetween(sentAtMs, leftAtMs) / bytes);
}
