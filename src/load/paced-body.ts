import type { Writable } from 'node:stream';
import { uploadedFraction, type Upload } from './load-plan.js';

/*
 * A request body put on its socket as fast as its client's link would carry it, so that the server sees a slow upload.
 *
 * The body is written in steps of some milliseconds: what should be there by now and is not yet. The steps are Node timers,
 * whole milliseconds; the last one aims at the nearest of them, so that its error has no bias. Chunks are views, never
 * copies: however many uploads there are, they share the bytes of their tensors.
 */

/** Long enough for few writes, short enough for a transfer that looks even: a packet of 1500 bytes each at 2.4 Mbit/s. */
const STEP_MS = 5;

export interface PacedBody {
  /** Ends the pacing; nothing more is written. */
  abort(): void;
}

/** Requests that differ in their head share the rest, which is the tensors. */
export interface RequestBody {
  readonly head: Uint8Array;
  readonly rest: Uint8Array;
}

export function byteLengthOf({ head, rest }: RequestBody): number {
  return head.length + rest.length;
}

/**
 * @param nowMs the clock that `upload` is timed by
 * @param onSent called once, with the instant at which the kernel had taken the last byte
 */
export function sendPaced(
  sink: Writable,
  body: RequestBody,
  upload: Upload | null,
  nowMs: () => number,
  onSent: (atMs: number) => void,
): PacedBody {
  const length = byteLengthOf(body);
  let offset = 0;
  let timer: NodeJS.Timeout | null = null;
  const step = (): void => {
    timer = null;
    if (sink.destroyed) return;
    const atMs = nowMs();
    const leftMs = upload === null ? 0 : upload.endAtMs - atMs;
    if (upload === null || leftMs < 0.5) {
      write(sink, body, offset, length);
      sink.end(() => onSent(nowMs()));
      return;
    }
    const due = Math.floor(uploadedFraction(upload, atMs) * length);
    if (due > offset) {
      write(sink, body, offset, due);
      offset = due;
    }
    timer = setTimeout(step, Math.max(1, Math.round(Math.min(STEP_MS, leftMs))));
  };
  step();
  return {
    abort: () => {
      if (timer !== null) clearTimeout(timer);
    },
  };
}

function write(sink: Writable, { head, rest }: RequestBody, from: number, to: number): void {
  if (from < head.length) sink.write(head.subarray(from, to));
  if (to > head.length) sink.write(rest.subarray(Math.max(0, from - head.length), to - head.length));
}
