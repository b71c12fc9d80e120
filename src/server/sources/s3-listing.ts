/*
 * What S3 answers a listing with (ListObjectsV2, `encoding-type=url`), and an error. Both are XML of a known form, a few elements of which are
 * read: an element's text, elements of a name one after the other. Pure.
 */

export interface ListedObject {
  readonly key: string;
  /** With its quotes; it says whether an object is another one than it was. Null where the server has none. */
  readonly etag: string | null;
  readonly bytes: number;
}

export interface ListingPage {
  readonly objects: readonly ListedObject[];
  /** Of the next page; null where this is the last. */
  readonly continuation: string | null;
}

/** @throws Error where it is no listing */
export function parseListing(xml: string): ListingPage {
  if (!/<ListBucketResult[\s>]/.test(xml)) throw new Error('no listing');
  const isEncoded = textOf(xml.replace(/<Contents>[\s\S]*<\/Contents>/, ''), 'EncodingType') === 'url';
  const objects = [...xml.matchAll(/<Contents>([\s\S]*?)<\/Contents>/g)].map(([, object]) => {
    const key = textOf(object!, 'Key');
    const bytes = Number(textOf(object!, 'Size'));
    if (key === null || !Number.isSafeInteger(bytes) || bytes < 0) throw new Error('no listing');
    return { key: isEncoded ? decodeKey(key) : key, etag: textOf(object!, 'ETag') || null, bytes };
  });
  const isTruncated = textOf(xml, 'IsTruncated') === 'true';
  return { objects, continuation: isTruncated ? textOf(xml, 'NextContinuationToken') : null };
}

/** A space may be written as a plus, which is itself written otherwise. */
function decodeKey(text: string): string {
  return decodeURIComponent(text.replaceAll('+', '%20'));
}

/** `AccessDenied`, `NoSuchBucket`, …, and what it says of it; null where it is no answer of S3. */
export function parseErrorAnswer(xml: string): { readonly code: string; readonly message: string } | null {
  const code = textOf(xml, 'Code');
  return code === null ? null : { code, message: textOf(xml, 'Message') ?? '' };
}

const ENTITIES: Readonly<Record<string, string>> = { amp: '&', lt: '<', gt: '>', quot: '"', apos: "'" };

/** Of the first element of that name; null without one. */
function textOf(xml: string, name: string): string | null {
  const text = new RegExp(`<${name}>([^<]*)</${name}>`).exec(xml)?.[1];
  if (text === undefined) return null;
  return text.replaceAll(/&(?:#(\d{1,7})|#x([\da-f]{1,6})|(\w+));/gi, (whole, decimal, hex, named) => {
    if (named !== undefined) return ENTITIES[named as string] ?? whole;
    const code = decimal === undefined ? parseInt(hex as string, 16) : Number(decimal);
    return code <= 0x10_ffff ? String.fromCodePoint(code) : whole;
  });
}
