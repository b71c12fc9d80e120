import type { Lease, Tensor } from '../../scheduler/domain/tensor.js';
import type { BodyPlace, Departure, InferCall, InferReply } from '../../protocol/service.js';
import type { ReceiveBudget, Receipt } from '../edge/receive-budget.js';
import type { Regions } from './addresses.js';
import { answerOf } from './answers.js';
import { GrantedPlaces } from './granted-places.js';
import type { Outbox } from './outbox.js';
import { RemoteTrace } from './remote-traces.js';
import type { Envelope, ToIoThread, ToPlanner, Where, WireTensor } from './wire.js';

/*
 * Inference calls of an io thread: each goes to the planning thread once, its answer comes back once. Large inputs are not copied: they lie
 * where the worker reads them, or their buffer is handed over. Large outputs are read where they lie.
 */

/** Bytes that count as on their way in until the planning thread has them. Smaller calls are as many as calls may be. */
const LEAST_HEAVY_BYTES = 4096;
/**
 * A smaller buffer may be a piece of what was read from a socket at once, and others' too (64 KiB at most); and to copy one costs this
 * thread less than a new one.
 */
const LEAST_HANDED_OVER_BYTES = 128 * 1024;
/** Of a buffer that is handed over, what must be inputs. */
const LEAST_INPUT_SHARE = 1 / 2;

interface Pending {
  readonly resolve: (reply: InferReply) => void;
  readonly departure: Departure;
  readonly onLeft: () => void;
  /** Null for a call that is not heavy, and once it has been taken. */
  receipt: Receipt | null;
}

export class RemoteCalls {
  readonly #outbox: Outbox<ToPlanner>;
  readonly #budget: ReceiveBudget;
  readonly #regions: Regions;
  readonly #places: GrantedPlaces;
  readonly #pending = new Map<number, Pending>();
  #lastId = 0;

  constructor(outbox: Outbox<ToPlanner>, budget: ReceiveBudget, regions: Regions, nowMs: () => number) {
    this.#outbox = outbox;
    this.#budget = budget;
    this.#regions = regions;
    this.#places = new GrantedPlaces(regions, outbox, nowMs);
  }

  get pendingCount(): number {
    return this.#pending.size;
  }

  placeFor(modelName: string, byteCount: number): BodyPlace | null {
    return this.#places.take(modelName, byteCount);
  }

  /** @param snapshotVersion of the models that it was checked against */
  infer(call: InferCall, departure: Departure, snapshotVersion: number): Promise<InferReply> {
    const id = ++this.#lastId;
    const byteCount = call.inputs.reduce((sum, { data }) => sum + data.byteLength, 0);
    const isHeavy = byteCount >= LEAST_HEAVY_BYTES;
    const receipt = isHeavy ? this.#budget.open(clientOf(call)) : null;
    // What its caller holds until now it gives back in this turn.
    receipt?.takeOver(byteCount);
    const { arrival } = call;
    const inputs = this.#wireInputs(call.inputs);
    this.#outbox.push([
      'call',
      id,
      snapshotVersion,
      call.modelName,
      call.modelVersion,
      call.id,
      inputs,
      call.outputNames,
      call.parameters,
      call.statedBudgetsMs,
      arrival.firstByteAtMs,
      arrival.receivedAtMs,
      arrival.routerDelayMs,
      arrival.bodyBytes,
      arrival.peer,
      arrival.tokenName,
      call.pick,
      isHeavy,
      call.trace instanceof RemoteTrace ? call.trace.sentAs(id) : undefined,
    ]);
    return new Promise((resolve) => {
      const onLeft = (): void => this.#outbox.push(['cancel', id]);
      this.#pending.set(id, { resolve, departure, onLeft, receipt });
      if (departure.aborted) onLeft();
      else departure.addEventListener('abort', onLeft, { once: true });
    });
  }

  granted(entry: Extract<ToIoThread, readonly ['grant', ...unknown[]]>): void {
    this.#places.add(entry);
  }

  taken(id: number): void {
    const pending = this.#pending.get(id);
    pending?.receipt?.release();
    if (pending !== undefined) pending.receipt = null;
  }

  answered(
    entry: Extract<ToIoThread, readonly ['ok' | 'refused' | 'error', ...unknown[]]>,
    envelope: Envelope<ToIoThread>,
  ): void {
    const id = entry[1];
    const pending = this.#pending.get(id);
    if (pending === undefined) throw new Error(`call ${id} was answered twice`);
    this.#pending.delete(id);
    pending.receipt?.release();
    pending.departure.removeEventListener('abort', pending.onLeft);
    const lentCount = entry[0] === 'ok' ? entry[4].filter(([, , , , where]) => where[0] === 'lent').length : 0;
    const lease = lentCount === 0 ? null : leaseOf(lentCount, () => this.#outbox.push(['read', id]));
    pending.resolve(answerOf(entry, (tensor) => this.#tensorOf(tensor, envelope, lease)));
  }

  #wireInputs(inputs: readonly Tensor[]): readonly WireTensor[] {
    const handedOver = new Map<ArrayBufferLike, number>();
    const grantIds = new Set<number>();
    const wired = inputs.map((tensor): WireTensor => {
      const { name, datatype, shape, data } = tensor;
      const placed = this.#places.whereIs(data);
      if (placed === null && !isToBeHandedOver(data.buffer, inputs)) return this.#outbox.copied(tensor);
      let where: Where;
      if (placed !== null) {
        grantIds.add(placed.grantId);
        where = placed.where;
      } else {
        const index = handedOver.get(data.buffer) ?? this.#outbox.handOver(data.buffer as ArrayBuffer);
        handedOver.set(data.buffer, index);
        where = ['buffer', index, data.byteOffset];
      }
      return [name, datatype, shape, data.byteLength, where];
    });
    for (const id of grantIds) this.#places.handedBack(id);
    return wired;
  }

  #tensorOf(tensor: WireTensor, envelope: Envelope<ToIoThread>, lease: Lease | null): Tensor {
    const [name, datatype, shape, byteCount, where] = tensor;
    switch (where[0]) {
      case 'inline':
        return { name, datatype, shape, data: new Uint8Array(envelope.bytes!, where[1], byteCount) };
      case 'buffer':
        return { name, datatype, shape, data: new Uint8Array(envelope.buffers[where[1]]!, where[2], byteCount) };
      case 'lent': {
        const data = this.#regions.bytesAt(where[1], byteCount, where[2]);
        return lease === null ? { name, datatype, shape, data } : { name, datatype, shape, data, lease };
      }
      case 'grant':
        throw new Error('an output lies in a place for inputs');
    }
  }
}

/** As the front ends count it. */
function clientOf({ arrival: { peer, tokenName } }: InferCall): string {
  return tokenName === undefined ? peer : `token ${tokenName}`;
}

function isToBeHandedOver(buffer: ArrayBufferLike, inputs: readonly Tensor[]): boolean {
  if (!(buffer instanceof ArrayBuffer) || buffer.byteLength < LEAST_HANDED_OVER_BYTES) return false;
  const inputBytes = inputs.reduce((sum, { data }) => (data.buffer === buffer ? sum + data.byteLength : sum), 0);
  return inputBytes >= LEAST_INPUT_SHARE * buffer.byteLength;
}

/** Held once by each of the tensors. */
function leaseOf(holderCount: number, onFree: () => void): Lease {
  let holders = holderCount;
  return {
    hold: () => {
      if (holders === 0) throw new Error('outputs that nobody held are in use again');
      holders += 1;
    },
    release: () => {
      if (holders === 0) throw new Error('outputs were given back twice');
      holders -= 1;
      if (holders === 0) onFree();
    },
  };
}
