import { encodeStrings } from '../../scheduler/domain/bytes-elements.js';
import type { Tensor } from '../../scheduler/domain/tensor.js';
import type { StepValue } from '../../scheduler/pipeline/progress.js';
import type { Tried, TrialRoom } from '../pipelines/step-adapter.js';
import { paddedLength } from './lengths.js';
import { floatsOf } from './pooling.js';

/*
 * Whether a model's answer for a text stays the same when the text is padded. That is what an attention mask is for, and what not every model
 * keeps to: one without a mask, or whose weights are quantised by what is in the whole batch, answers otherwise. Such a model is not padded.
 */

/** The step that makes tokens. */
export const TOKENIZE = 'tokenize';

/** Of lengths that lie apart. */
const TEXTS = [
  'a',
  'Every request has its own deadline.',
  'The server gives the model only the cores that it needs, and takes them back in place while it runs; what waits is ordered by when it is due. ' +
    'Texts of unlike lengths are padded to one of a few, so that they share batches.',
];
/** Of the largest number in the answer: the rounding of sums in another order is a hundredth of it. */
const MOST_DIFFERENCE = 1e-4;

export interface PaddingTrial {
  readonly isPair: boolean;
  readonly lengths: readonly number[];
  readonly maxTokens: number;
  readonly room: TrialRoom;
  readonly padded: (inputs: readonly Tensor[], length: number) => readonly Tensor[];
}

/** @returns whether it passed, and what the operator should know where it did not */
export async function paddingTrial(
  trial: PaddingTrial,
): Promise<{ readonly passed: boolean; readonly notice: string | null }> {
  for (const text of TEXTS) {
    const found = await differenceOf(trial, text);
    if (typeof found === 'string') return { passed: false, notice: `padding could not be tried: ${found}` };
    if (found <= MOST_DIFFERENCE) continue;
    const size = found.toExponential(1);
    return {
      passed: false,
      notice: `its answers change by ${size} of their size with padding, so texts are not padded, and share batches only with those of their own length`,
    };
  }
  return { passed: true, notice: null };
}

/** The largest, by the largest number in the answer. A text says why it is not known. */
async function differenceOf(trial: PaddingTrial, text: string): Promise<number | string> {
  const { isPair, lengths, maxTokens, room, padded } = trial;
  const given = new Map<string, StepValue>([['text', textTensor('text', text)]]);
  if (isPair) given.set('query', textTensor('query', TEXTS[1]!));
  const tokens = await room.runFunction(TOKENIZE, given);
  if (typeof tokens === 'string') return tokens;
  const inputs = [...tokens].map(([name, tensor]) => ({ ...tensor, name }));
  const own = inputs.find(({ name }) => name === 'ids')!.shape[1]!;
  const alone = await room.runModel(padded(inputs, own));
  if (typeof alone === 'string') return alone;
  const next = paddedLength(own, lengths);
  const further = paddedLength(next + 1, lengths);
  const tried = [...new Set([next === own ? further : next, further])].filter((length) => length <= maxTokens);
  let most = 0;
  for (const length of tried) {
    const other = await room.runModel(padded(inputs, length));
    if (typeof other === 'string') return other;
    most = Math.max(most, largestDifference(alone, other));
  }
  return most;
}

function largestDifference(alone: Exclude<Tried, string>, other: Exclude<Tried, string>): number {
  let most = 0;
  for (const [name, tensor] of alone) {
    const [a, b] = [floatsOf(tensor), floatsOf(other.get(name)!)];
    const largest = a.reduce((most, value) => Math.max(most, Math.abs(value)), 0);
    // A score alone may be near 0, and means no more by that.
    const scale = a.length === 1 ? Math.max(1, largest) : largest;
    a.forEach((value, i) => {
      const difference = Math.abs(value - b[i]!);
      // What is no number in one of them alone is as unlike as can be.
      if (Number.isNaN(difference)) most = Number.isNaN(value) && Number.isNaN(b[i]) ? most : Infinity;
      else most = Math.max(most, scale > 0 ? difference / scale : difference);
    });
  }
  return most;
}

function textTensor(name: string, text: string): Tensor {
  return { name, datatype: 'BYTES', shape: [1], data: encodeStrings([text]) };
}
