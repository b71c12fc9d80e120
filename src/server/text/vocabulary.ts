import { readFile } from 'node:fs/promises';
import { z } from 'zod';

const tokenizerFile = z.looseObject({
  model: z
    .looseObject({ vocab: z.union([z.record(z.string(), z.number()), z.array(z.unknown())]).optional() })
    .optional(),
  added_tokens: z.array(z.looseObject({ id: z.number() })).nullish(),
});

/**
 * One more than the largest token id of a `tokenizer.json`, for models whose `config.json` does not say it; null where the file does not either.
 * What else is wrong with the file its own reader says.
 */
export async function vocabularySizeIn(tokenizerPath: string): Promise<number | null> {
  let parsed: z.ZodSafeParseResult<z.infer<typeof tokenizerFile>>;
  try {
    parsed = tokenizerFile.safeParse(JSON.parse(await readFile(tokenizerPath, 'utf8')));
  } catch {
    return null;
  }
  const vocabulary = parsed.data?.model?.vocab;
  if (vocabulary === undefined) return null;
  const { added_tokens: added } = parsed.data!;
  // A list is in the order of the ids.
  const ids = Array.isArray(vocabulary) ? [vocabulary.length - 1] : Object.values(vocabulary);
  let largest = -1;
  for (const id of ids) largest = Math.max(largest, id);
  for (const { id } of added ?? []) largest = Math.max(largest, id);
  return largest < 0 ? null : largest + 1;
}
