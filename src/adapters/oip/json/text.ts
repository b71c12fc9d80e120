/** Below this a text has no room to grow by. */
const LEAST_ROOM = 256;

/** JSON in UTF-8 as it is written, in one buffer that grows. Who writes numbers into it reserves room and moves the end. */
export class JsonText {
  /** To write to from `length` on; another one after each `reserve`. */
  buffer = Buffer.allocUnsafeSlow(LEAST_ROOM);
  view = viewOf(this.buffer);
  length = 0;

  /**
   * Makes room behind what is written.
   * @param share of what is to come that is written already, in [0, 1], as far as is known; 0 where nothing is
   */
  reserve(byteCount: number, share = 0): void {
    const needed = this.length + byteCount;
    if (needed <= this.buffer.length) return;
    const expected = share > 0 ? Math.min(this.length / share, 16 * needed) : 0;
    const grown = Buffer.allocUnsafeSlow(Math.ceil(Math.max(needed, 1.5 * this.buffer.length, 1.02 * expected)));
    grown.set(this.buffer.subarray(0, this.length));
    this.buffer = grown;
    this.view = viewOf(grown);
  }

  write(text: string): void {
    // A UTF-16 unit takes three bytes at most.
    this.reserve(3 * text.length);
    this.length += this.buffer.write(text, this.length, 'utf8');
  }

  writeByte(byte: number): void {
    this.reserve(1);
    this.buffer[this.length++] = byte;
  }

  /** What is written, not copied. */
  bytes(): Buffer {
    return this.buffer.subarray(0, this.length);
  }
}

function viewOf(buffer: Buffer): DataView {
  return new DataView(buffer.buffer, buffer.byteOffset, buffer.byteLength);
}
