/** Of a text that is short. */
const LEAST_ROOM = 1024;

/** Strings are gathered up to so many characters before they are written: writing one takes longer than joining a few. */
const MOST_PENDING = 1024;

/** Numbers may become shorter than those at the beginning: beyond this much room, no more than so many times what is needed. */
const LARGEST_GUESS = 4 * 1024 ** 2;
const LARGEST_STEP = 4;

/** JSON in UTF-8 as it is written, in one buffer that grows. Who writes numbers into it reserves room and moves the end. */
export class JsonText {
  /** To write to from `length` on; another one after each `reserve`. */
  buffer = Buffer.allocUnsafe(LEAST_ROOM);
  view = viewOf(this.buffer);
  length = 0;
  private pending = '';

  /**
   * Makes room behind all that is written, and for more that is expected.
   * @param since of what is being written, where it begins
   * @param share of it that is written already, in [0, 1]; 0 where nothing is known
   */
  reserve(byteCount: number, since = 0, share = 0): void {
    this.flush();
    this.makeRoom(byteCount, since, share);
  }

  write(text: string): void {
    this.pending += text;
    if (this.pending.length > MOST_PENDING) this.flush();
  }

  /** What is written, not copied. */
  bytes(): Buffer {
    this.flush();
    return this.buffer.subarray(0, this.length);
  }

  private flush(): void {
    const text = this.pending;
    if (text === '') return;
    this.pending = '';
    // A UTF-16 unit takes three bytes at most.
    this.makeRoom(3 * text.length, 0, 0);
    this.length += this.buffer.write(text, this.length, 'utf8');
  }

  private makeRoom(byteCount: number, since: number, share: number): void {
    const needed = this.length + byteCount;
    if (needed <= this.buffer.length) return;
    const expected = share > 0 ? 1.02 * (since + (this.length - since) / share) : 0;
    const most = Math.max(LARGEST_GUESS, LARGEST_STEP * needed);
    const size = Math.max(needed, 1.5 * this.buffer.length, Math.min(expected, most));
    const grown = Buffer.allocUnsafeSlow(Math.ceil(size));
    grown.set(this.buffer.subarray(0, this.length));
    this.buffer = grown;
    this.view = viewOf(grown);
  }
}

function viewOf(buffer: Buffer): DataView {
  return new DataView(buffer.buffer, buffer.byteOffset, buffer.byteLength);
}
