/*
 * gRPC's framing of a message (github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md): a byte that says whether it is compressed,
 * four bytes of its length, big-endian, the message.
 */

export const PREFIX_BYTES = 5;

/** Of a message that is not compressed. */
export function writePrefix(target: Buffer, at: number, messageBytes: number): void {
  target[at] = 0;
  target.writeUInt32BE(messageBytes, at + 1);
}

/** A message and its prefix, as they are sent. */
export function framedMessage(message: Uint8Array): Buffer {
  const bytes = Buffer.allocUnsafe(PREFIX_BYTES + message.length);
  writePrefix(bytes, 0, message.length);
  bytes.set(message, PREFIX_BYTES);
  return bytes;
}
