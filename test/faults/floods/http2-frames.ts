/* HTTP/2 frames as bytes (RFC 9113, section 4), and header blocks (RFC 7541), for what no HTTP/2 library would send. */

export const PREFACE = Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n');

export const FRAME = {
  data: 0,
  headers: 1,
  reset: 3,
  settings: 4,
  ping: 6,
  windowUpdate: 8,
  continuation: 9,
} as const;

export const FLAG = { none: 0, endStream: 1, endHeaders: 4 } as const;

export const SETTING = { initialWindowSize: 4 } as const;

export function frame(type: number, flags: number, stream: number, payload: Uint8Array = new Uint8Array()): Buffer {
  const bytes = Buffer.alloc(9 + payload.length);
  bytes.writeUIntBE(payload.length, 0, 3);
  bytes[3] = type;
  bytes[4] = flags;
  bytes.writeUInt32BE(stream, 5);
  bytes.set(payload, 9);
  return bytes;
}

export function settingsFrame(settings: readonly (readonly [id: number, value: number])[] = []): Buffer {
  const payload = Buffer.alloc(6 * settings.length);
  for (const [i, [id, value]] of settings.entries()) {
    payload.writeUInt16BE(id, 6 * i);
    payload.writeUInt32BE(value, 6 * i + 2);
  }
  return frame(FRAME.settings, FLAG.none, 0, payload);
}

export function uint32(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(value);
  return bytes;
}

/** `kept`: entered into the table that later blocks may refer to, newest first from index 62. */
export function literalField(name: string, value: string, kind: 'kept' | 'plain' = 'plain'): Buffer {
  return Buffer.concat([Buffer.of(kind === 'kept' ? 0x40 : 0), literal(name), literal(value)]);
}

/** The newest field that was kept, in one byte. */
export const NEWEST_FIELD = 0x80 | 62;

/** Not Huffman-coded. */
function literal(text: string): Buffer {
  const bytes = Buffer.from(text, 'latin1');
  const length: number[] = [];
  if (bytes.length < 127) length.push(bytes.length);
  else {
    length.push(127);
    let rest = bytes.length - 127;
    for (; rest >= 128; rest = Math.floor(rest / 128)) length.push((rest % 128) | 128);
    length.push(rest);
  }
  return Buffer.concat([Buffer.from(length), bytes]);
}

export function callHeaders(path = '/inference.GRPCInferenceService/ModelInfer'): Buffer {
  return Buffer.concat([
    literalField(':method', 'POST'),
    literalField(':scheme', 'http'),
    literalField(':path', path),
    literalField(':authority', 'flood'),
    literalField('content-type', 'application/grpc'),
    literalField('te', 'trailers'),
  ]);
}
