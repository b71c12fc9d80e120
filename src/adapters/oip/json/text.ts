/** Below this a text has no room to grow by. */
const LEAST_ROOM = 256;

/** Numbers may become shorter than those at the beginning: beyond this much room, no more than so many times what is needed. */
const LARGEST_GUESS = 4 * 1024 ** 2;
const LARGEST_STEP = 4;

/** JSON in UTF-8 as it is written, in one buffer that grows. Who writes numbers into it reserves room and moves the end. */
export class JsonText {
  /** To write to from `length` on; another one after each `reserve`. */
  buffer = Buffer.allocUnsafeSlow(LEAST_ROOM);
  view = viewOf(this.buffer);
  length = 0;

  /**
   * Makes room behind what is written, and for more that is expected.
   * @param since of what is being written, where it begins
   * @param share of it that is written already, in [0, 1]; 0 where nothing is known
   */
  reserve(byteCount: number, since = 0, share = 0): void {
    const needed = this.length + byteCount;
    if (needed <= this.buffer.length) return;
    const expected = share > 0 ? 1.02 * (since + (this.length - since) / share) : 0;
    const most = Math.max(LARGEST_GUESS, LARGEST_STEP * needed);
    const size = Math.max(needed, 1.5 * this.buffer.length, Math.min(expected, most));
    const grown = Buffer.allocUnsafeSlow(Math.ceil(size));
    grown.set(this.bytes());
    this.buffer = grown;
    this.view = viewOf(grown);
  }

  write(text: string): void {
    // A UTF-16 unit takes three bytes at most.
    this.reserve(3 * text.length);
    this.length += this.buffer.write(text, this.length, 'utf8');
  }

  /** What is written, not copied. */
  bytes(): Buffer {
    return this.buffer.subarray(0, this.length);
  }
}

function viewOf(buffer: Buffer): DataView {
  return new DataView(buffer.buffer, buffer.byteOffset, buffer.byteLength);
}
