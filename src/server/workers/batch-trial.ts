import { encodeStrings } from '../../scheduler/domain/bytes-elements.js';
import { ELEMENT_BYTES, elementCount, type Tensor } from '../../scheduler/domain/tensor.js';
import { Prng } from '../../scheduler/random/prng.js';
import type { InputHints } from '../onnx/input-hints.js';
import type { InputHint } from '../onnx/value-needs.js';
import { hintedElements } from './hinted-elements.js';
import { differenceBetween } from './output-comparison.js';
import type { Sample, SampleSource } from './samples.js';

/*
 * Tries out whether requests may share a batch, for a model whose graph does not tell. Two rows of like noise prove nothing:
 * a model that divides by the largest number of the whole batch answers them nearly right. So the rows are nothing alike
 * (scale, sign, offset, zeros, ranges of whole numbers), each is run alone, among copies of itself, and among the others, and
 * what it gives is judged by its own magnitude. Where the graph says what an input may be, rows keep to it, real ones too: what
 * lies outside only fails, or ends the process.
 *
 * It can only refute. What passes is audited while it serves (`serving/batch-audit.ts`).
 */

/** Runs requests as one batch; their outputs, or why the model refused them. Rejects when the worker is lost. */
export type RunBatch = (batch: readonly Sample[]) => Promise<readonly (readonly Tensor[])[] | string>;

export type TrialResult =
  | { readonly kind: 'passed' }
  | { readonly kind: 'coupled'; readonly reason: string }
  /** It does not even run on these inputs alone: nothing was learnt. */
  | { readonly kind: 'failed'; readonly message: string };

/** What floats are multiplied by, and what is added then. A row as it came is the first. */
const FLOAT_CHANGES: readonly (readonly [factor: number, offset: number])[] = [
  [1, 0],
  [1000, 0],
  [-0.001, 0],
  [0, 0],
  [50, 100],
  [-1, 3],
];
/** Whole numbers are drawn from below these; where the model refuses a row, it is left out. */
const INTEGER_LIMITS = [2, 2, 10, 1, 100, 1000];
/** Texts are drawn from as many of these as the row is far from the first, and one. */
const TEXTS = ['', 'a', '10', 'a text of several words, which is longer', '-3.5', 'Ünï©ode'];

/** @param hints of the inputs, as far as the graph tells */
export async function tryBatching(samples: SampleSource, run: RunBatch, hints: InputHints = []): Promise<TrialResult> {
  const hintOf = new Map(hints);
  const rows: { readonly inputs: Sample; readonly alone: readonly Tensor[] }[] = [];
  let refusal = '';
  for (const [i] of FLOAT_CHANGES.entries()) {
    const inputs = changed(samples.at(i), i, hintOf);
    const result = await run([inputs]);
    if (typeof result === 'string') refusal ||= result;
    else rows.push({ inputs, alone: result[0]! });
  }
  if (rows.length < 2) return { kind: 'failed', message: refusal };
  const orders = [rows, [...rows].reverse(), rows.slice(0, 2), rows.slice(-2), [rows[0]!, rows.at(-1)!, rows[0]!]];
  for (const batch of orders) {
    const together = await run(batch.map(({ inputs }) => inputs));
    if (typeof together === 'string') return coupled(`a batch of ${batch.length} fails: ${together}`);
    for (const [slot, { inputs, alone }] of batch.entries()) {
      if (differenceBetween(alone, together[slot]!) === null) continue;
      // Perhaps it is only rounding of which this model makes more.
      const copies = await run(batch.map(() => inputs));
      const rounded = typeof copies === 'string' ? alone : copies[slot]!;
      const difference = differenceBetween(alone, together[slot]!, rounded);
      if (difference !== null) return coupled(`a batch of unlike requests differs from each alone: ${difference}`);
    }
  }
  return { kind: 'passed' };
}

function coupled(reason: string): TrialResult {
  return { kind: 'coupled', reason };
}

/** The first stays as it is. */
function changed(sample: Sample, change: number, hintOf: ReadonlyMap<string, InputHint>): Sample {
  if (change === 0) return sample;
  const prng = new Prng(change);
  return sample.map((tensor) => {
    const hint = hintOf.get(tensor.name);
    if (hint === undefined) return { ...tensor, data: changedData(tensor, change, prng) };
    // The others say each element, and leave nothing to draw.
    if (hint.kind !== 'range') return tensor;
    return { ...tensor, data: hintedElements(hint, tensor.datatype, elementCount(tensor.shape), prng) };
  });
}

function changedData({ datatype, shape, data }: Tensor, change: number, prng: Prng): Uint8Array {
  const [factor, offset] = FLOAT_CHANGES[change]!;
  const limit = INTEGER_LIMITS[change]!;
  const copy = data.slice();
  const view = new DataView(copy.buffer, copy.byteOffset, copy.byteLength);
  switch (datatype) {
    case 'FP32':
      for (let at = 0; at < copy.byteLength; at += 4)
        view.setFloat32(at, view.getFloat32(at, true) * factor + offset, true);
      return copy;
    case 'FP64':
      for (let at = 0; at < copy.byteLength; at += 8)
        view.setFloat64(at, view.getFloat64(at, true) * factor + offset, true);
      return copy;
    case 'FP16':
    case 'BF16':
      // By powers of two, in the exponent: 5 bits from the tenth, 8 from the seventh.
      for (let at = 0; at < copy.byteLength; at += 2)
        view.setUint16(at, scaledHalf(view.getUint16(at, true), change, datatype), true);
      return copy;
    case 'BYTES':
      return encodeStrings(Array.from({ length: elementCount(shape) }, () => TEXTS[prng.int(change + 1)]!));
    case 'BOOL':
      return data.map(() => prng.int(2));
    default: {
      const bytes = ELEMENT_BYTES[datatype];
      const largest = Math.min(limit, datatype.endsWith('8') ? 127 : limit);
      for (let at = 0; at < copy.byteLength; at += bytes) {
        copy.fill(0, at, at + bytes);
        const value = prng.int(largest);
        copy[at] = value & 0xff;
        if (bytes > 1) copy[at + 1] = value >> 8;
      }
      return copy;
    }
  }
}

function scaledHalf(bits: number, change: number, datatype: 'FP16' | 'BF16'): number {
  const [mantissaBits, exponentMask] = datatype === 'FP16' ? [10, 0x1f] : [7, 0xff];
  if (change === 3) return 0;
  const exponent = (bits >> mantissaBits) & exponentMask;
  const moved = Math.min(exponentMask - 1, Math.max(0, exponent + (change % 2 === 1 ? 6 : -6)));
  return (bits & ~(exponentMask << mantissaBits) & 0xffff) | (moved << mantissaBits);
}
