/*
 * The binary layout of BYTES elements (`domain/tensor.ts`): each behind its length, a 4-byte little-endian integer.
 */

export const LENGTH_BYTES = 4;

/** Where each element starts, and as the last entry where the data ends. */
export function bytesElementOffsets(data: Uint8Array, count: number): number[] {
  const view = new DataView(data.buffer, data.byteOffset, data.byteLength);
  const offsets = [0];
  let offset = 0;
  for (let i = 0; i < count; i++) {
    offset += LENGTH_BYTES + view.getUint32(offset, true);
    offsets.push(offset);
  }
  return offsets;
}

/** Texts as elements, in UTF-8. */
export function encodeStrings(texts: readonly string[]): Uint8Array<ArrayBuffer> {
  const encoder = new TextEncoder();
  const encoded = texts.map((text) => encoder.encode(text));
  const data = new Uint8Array(encoded.reduce((sum, bytes) => sum + LENGTH_BYTES + bytes.byteLength, 0));
  const view = new DataView(data.buffer);
  let offset = 0;
  for (const bytes of encoded) {
    view.setUint32(offset, bytes.byteLength, true);
    data.set(bytes, offset + LENGTH_BYTES);
    offset += LENGTH_BYTES + bytes.byteLength;
  }
  return data;
}
