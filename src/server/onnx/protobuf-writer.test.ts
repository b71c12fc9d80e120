import { describe, expect, it } from 'vitest';
import { ProtobufMessage } from './protobuf-writer.js';

const hex = (message: ProtobufMessage): string => Buffer.from(message.toBytes()).toString('hex');

describe('ProtobufMessage', () => {
  // The examples of protobuf.dev/programming-guides/encoding.
  it('writes integers as varints: field 1 = 150 is 08 96 01', () => {
    expect(hex(new ProtobufMessage().integer(1, 150))).toBe('089601');
  });

  it('writes texts with their length in bytes: field 2 = "testing" is 12 07 …', () => {
    expect(hex(new ProtobufMessage().text(2, 'testing'))).toBe('120774657374696e67');
    expect(hex(new ProtobufMessage().text(2, 'ü'))).toBe('1202c3bc');
  });

  it('embeds messages with their length: field 3 = { 1: 150 } is 1a 03 08 96 01', () => {
    expect(hex(new ProtobufMessage().message(3, new ProtobufMessage().integer(1, 150)))).toBe('1a03089601');
  });

  it('writes −2 in ten bytes, two’s complement', () => {
    expect(hex(new ProtobufMessage().integer(1, -2))).toBe('08feffffffffffffffff01');
  });

  it('writes the largest uint64 exactly', () => {
    expect(hex(new ProtobufMessage().integer(1, 2n ** 64n - 1n))).toBe('08ffffffffffffffffff01');
  });

  it('gives fields above 15 a two-byte key: 20 << 3 | 0 = 160 = a0 01', () => {
    expect(hex(new ProtobufMessage().integer(20, 0))).toBe('a00100');
  });

  it('repeats a field by writing it again, and writes nothing for nothing', () => {
    expect(hex(new ProtobufMessage().integer(8, 1).integer(8, 2))).toBe('40014002');
    expect(hex(new ProtobufMessage())).toBe('');
  });
});
