/* Decompression within limits, for both front ends: a small message can expand a thousandfold. */
import { createGunzip, createInflate } from 'node:zlib';
import { ReceiveBudgetSpent } from './receive-budget.js';
import type { Receipt } from './receive-budget.js';
import { OipFailure } from '../../protocol/service.js';

export type Coding = 'gzip' | 'deflate';

/**
 * @param maxBytes of the result
 * @param receipt charged with the result as it grows; its bytes stay charged
 * @returns rejects with `OipFailure` `too_large` or, for data that is broken, `invalid`, and with `ReceiveBudgetSpent`
 */
export function inflate(body: Uint8Array, coding: Coding, maxBytes: number, receipt: Receipt): Promise<Buffer> {
  const inflater = coding === 'gzip' ? createGunzip() : createInflate();
  const chunks: Buffer[] = [];
  let byteCount = 0;
  return new Promise((resolve, reject) => {
    const giveUp = (error: Error): void => {
      inflater.destroy();
      reject(error);
    };
    inflater.on('data', (chunk: Buffer) => {
      byteCount += chunk.length;
      if (byteCount > maxBytes) giveUp(tooLarge(maxBytes));
      else if (!receipt.take(chunk.length)) giveUp(new ReceiveBudgetSpent(receipt));
      else chunks.push(chunk);
    });
    inflater.on('end', () => resolve(Buffer.concat(chunks, byteCount)));
    inflater.on('error', () => giveUp(new OipFailure('invalid', 'request body is not what its Content-Encoding says')));
    inflater.end(body);
  });
}

export function tooLarge(maxBytes: number): OipFailure {
  return new OipFailure('too_large', `request body is larger than ${maxBytes} bytes, which is the limit`);
}
