import sharp from 'sharp';

/*
 * Lines of text of which it is known what they say, drawn in letters of a machine's own fonts: 120 of them, of three sizes of letters, some
 * soft and grainy as photographs are. What they say is drawn from a seed, so that every machine asks for the same.
 */

export interface TestLine {
  readonly text: string;
  /** PNG */
  readonly picture: Buffer;
}

const WORDS =
  'sea salt oranges crates boxes harbour road delivery note total weight sign here return warehouse north pier invoice carton glass ' +
  'handle with care this side up customs cleared net gross tare batch lot expiry due paid receipt amount balance forward Sponge';
const FONTS = ['DejaVu Sans', 'DejaVu Serif', 'DejaVu Sans Mono'];
export const LINE_COUNT = 120;

/** @param count the first so many of them */
export async function testLines(count = LINE_COUNT): Promise<readonly TestLine[]> {
  const chance = chanceFrom(20_417);
  const plans = Array.from({ length: count }, (_, index) => ({
    text: textOf(chance),
    font: FONTS[index % FONTS.length]!,
    isSoft: index % 2 === 1,
  }));
  return Promise.all(plans.map(async (plan) => ({ text: plan.text, picture: await drawn(plan) })));
}

/** Two to six words and a number, up to 38 letters: as many as are still read in one line. */
function textOf(chance: () => number): string {
  const words = WORDS.split(' ');
  const parts = Array.from({ length: 2 + Math.floor(5 * chance()) }, () => words[Math.floor(words.length * chance())]!);
  parts.splice(Math.floor(parts.length * chance()), 0, String(Math.floor(99_999 * chance())));
  while (parts.join(' ').length > 22) parts.pop();
  return parts.join(' ');
}

async function drawn({ text, font, isSoft }: { text: string; font: string; isSoft: boolean }): Promise<Buffer> {
  const size = 30;
  const width = Math.round(0.64 * size * text.length + 24);
  const svg = `<svg xmlns="http://www.w3.org/2000/svg" width="${width}" height="48">
    <rect width="100%" height="100%" fill="#f4efe2"/>
    <text x="12" y="34" font-family="${font}" font-size="${size}" fill="#2b2a33" textLength="${width - 24}" lengthAdjust="spacingAndGlyphs">${text}</text>
  </svg>`;
  const line = sharp(Buffer.from(svg)).flatten();
  return (isSoft ? line.blur(1.2).jpeg({ quality: 40 }) : line.png()).toBuffer();
}

/** Lehmer's generator: Park and Miller, "Random number generators: good ones are hard to find" (CACM 1988). */
function chanceFrom(seed: number): () => number {
  let state = seed;
  return () => (state = (state * 48_271) % 2_147_483_647) / 2_147_483_647;
}

/** Of the characters that were to be read, the share that was: 1 − edits / characters, 0 at least. */
export function characterAccuracy(read: readonly { readonly text: string; readonly answer: string }[]): number {
  const edits = read.reduce((sum, { text, answer }) => sum + editsBetween(text, answer), 0);
  const characters = read.reduce((sum, { text }) => sum + text.length, 0);
  return Math.max(0, 1 - edits / characters);
}

/** Insertions, deletions and substitutions at least (Levenshtein). */
function editsBetween(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, column) => column);
  for (let i = 1; i <= a.length; i++) {
    const next = [i];
    for (let j = 1; j <= b.length; j++)
      next.push(Math.min(row[j]! + 1, next[j - 1]! + 1, row[j - 1]! + Number(a[i - 1] !== b[j - 1])));
    row = next;
  }
  return row[b.length]!;
}
