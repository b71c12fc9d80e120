/*
 * How a tokenizer frames a text, or a pair of texts, with special tokens: found out once from what it makes of short texts, so that long ones
 * can be cut and still be framed. The library cuts nothing. Pure.
 */

/** What a tokenizer makes of a text. */
export interface Encoded {
  readonly ids: readonly number[];
  readonly token_type_ids: readonly number[];
}

/** `pair` absent: of one text. */
export type Encode = (text: string, pair: string | null, isFramed: boolean) => Encoded;

interface Frame {
  readonly ids: readonly number[];
  readonly types: readonly number[];
}

export interface TokenTemplate {
  /** Before, between and behind the texts: one more than there are texts. */
  readonly frames: readonly Frame[];
  /** The type of each text's own tokens. */
  readonly types: readonly number[];
}

/** Short, and of tokens that no frame has. */
const PROBES = ['a', 'b'];

/** @throws Error of one line where its frame cannot be told from the text */
export function templateOf(encode: Encode, textCount: 1 | 2): TokenTemplate {
  const texts = PROBES.slice(0, textCount);
  const framed = encode(texts[0]!, texts[1] ?? null, true);
  const frames: Frame[] = [];
  const types: number[] = [];
  let at = 0;
  for (const text of texts) {
    const { ids } = encode(text, null, false);
    const start = indexOf(framed.ids, ids, at);
    if (ids.length === 0 || start < 0)
      throw new Error(
        'its special tokens cannot be told from those of the text; is tokenizer.json that of this model?',
      );
    frames.push(frameOf(framed, at, start));
    types.push(framed.token_type_ids[start] ?? 0);
    at = start + ids.length;
  }
  frames.push(frameOf(framed, at, framed.ids.length));
  return { frames, types };
}

function frameOf({ ids, token_type_ids: types }: Encoded, from: number, to: number): Frame {
  return { ids: ids.slice(from, to), types: ids.slice(from, to).map((_, i) => types[from + i] ?? 0) };
}

function indexOf(all: readonly number[], part: readonly number[], from: number): number {
  for (let start = from; start + part.length <= all.length; start++)
    if (part.every((id, i) => all[start + i] === id)) return start;
  return -1;
}

/** Tokens that the frame takes of `maxTokens`. */
export function frameTokens({ frames }: TokenTemplate): number {
  return frames.reduce((sum, { ids }) => sum + ids.length, 0);
}

/** A text, or a pair, within its frame: at most `maxTokens` long, cut at its end; of a pair the longer is cut first. */
export function framed(
  template: TokenTemplate,
  texts: readonly (readonly number[])[],
  maxTokens: number,
): { readonly ids: Int32Array<ArrayBuffer>; readonly types: Int32Array<ArrayBuffer> } {
  const kept = cutLengths(
    texts.map(({ length }) => length),
    Math.max(0, maxTokens - frameTokens(template)),
  );
  const ids: number[] = [...template.frames[0]!.ids];
  const types: number[] = [...template.frames[0]!.types];
  texts.forEach((text, index) => {
    for (let i = 0; i < kept[index]!; i++) {
      ids.push(text[i]!);
      types.push(template.types[index]!);
    }
    const behind = template.frames[index + 1]!;
    ids.push(...behind.ids);
    types.push(...behind.types);
  });
  return { ids: Int32Array.from(ids), types: Int32Array.from(types) };
}

/** How much of each is kept: as if the longest lost its last token again and again until all fit. */
function cutLengths(lengths: readonly number[], room: number): readonly number[] {
  const [first = 0, second] = lengths;
  if (second === undefined) return [Math.min(first, room)];
  if (first + second <= room) return [first, second];
  const half = Math.floor(room / 2);
  if (first <= half) return [first, room - first];
  if (second <= half) return [room - second, second];
  return [room - half, half];
}
