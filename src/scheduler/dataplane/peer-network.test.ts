import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { PeerNetwork } from './peer-network.js';

describe('what is learned of a client network', () => {
  it('does not trust a send stamp before the clock offset is stable', () => {
    const network = new PeerNetwork();
    // The client's clock is 5 000 ms behind; every request takes 20 ms.
    for (let i = 0; i < 7; i++) expect(network.sendStampDelayMs('phone', i * 100, i * 100 + 5020)).toBeUndefined();
    expect(network.sendStampDelayMs('phone', 700, 700 + 5020)).toBe(0);
  });

  it('charges the delay above the best one seen, whatever the clocks say', () => {
    const network = new PeerNetwork();
    for (let i = 0; i < 8; i++) network.sendStampDelayMs('phone', i, i - 3000 + 15);
    expect(network.sendStampDelayMs('phone', 50, 50 - 3000 + 15 + 140)).toBe(140);
  });

  it('follows a drifting clock, because old deltas leave the window', () => {
    const network = new PeerNetwork();
    for (let i = 0; i < 10; i++) network.sendStampDelayMs('phone', i, i + 10);
    for (let i = 0; i < 64; i++) network.sendStampDelayMs('phone', i, i + 40);
    expect(network.sendStampDelayMs('phone', 0, 45)).toBe(5);
  });

  it('charges for a clock that was set once, distrusts stamps while it learns the new offset, and then trusts them again', () => {
    for (const stepMs of [3_600_000, 2000, 300]) {
      const network = new PeerNetwork();
      for (let i = 0; i < 20; i++) network.sendStampDelayMs('phone', i * 100, i * 100 + 20);
      // The server's clock is set forward, or the client's back.
      expect(network.sendStampDelayMs('phone', 2000, 2020 + stepMs)).toBe(stepMs);
      for (let i = 0; i < 6; i++) expect(network.sendStampDelayMs('phone', i, i + 25 + stepMs)).toBeUndefined();
      expect(network.sendStampDelayMs('phone', 9, 9 + 50 + stepMs)).toBe(30); // above the 20 of the first one
    }
  });

  it('charges nobody for a clock that was set the other way, nor for one stamp from the future', () => {
    const network = new PeerNetwork();
    for (let i = 0; i < 20; i++) network.sendStampDelayMs('phone', i, i + 20);
    expect(network.sendStampDelayMs('phone', 3_600_000, 20)).toBeUndefined();
    // Not an hour each.
    for (let i = 0; i < 7; i++) expect(network.sendStampDelayMs('phone', i, i + 20)).toBeUndefined();
    expect(network.sendStampDelayMs('phone', 9, 9 + 60)).toBe(40);
  });

  it('never comes to trust two clocks behind one address, and charges for none of them', () => {
    const network = new PeerNetwork();
    for (let i = 0; i < 100; i++) expect(network.sendStampDelayMs('office', i, i + (i % 2) * 2000)).toBeUndefined();
  });

  it('charges, of eight requests in a row, at most one for more than 250 ms, whatever stamps say', () => {
    const offsets = fc.array(
      fc.oneof(fc.constantFrom(0, 2000, 3_600_000), fc.double({ min: -1e9, max: 1e9, noNaN: true })),
      {
        minLength: 1,
        maxLength: 8,
      },
    );
    const walks = fc.array(fc.tuple(offsets, fc.nat(30)), { maxLength: 12 });
    fc.assert(
      fc.property(walks, (walk) => {
        const network = new PeerNetwork();
        const deltasMs = walk.flatMap(([some, times]) => Array.from({ length: times + 1 }, () => some).flat());
        const charged = deltasMs.map((deltaMs) => network.sendStampDelayMs('phone', 0, deltaMs) ?? 0);
        for (const [i, delayMs] of charged.entries()) {
          expect(delayMs).toBeGreaterThanOrEqual(0);
          if (delayMs > 250) expect(Math.max(0, ...charged.slice(i + 1, i + 8))).toBeLessThanOrEqual(250);
        }
      }),
    );
  });

  it('never charges for more than the delay while clocks run alike', () => {
    const delays = fc.array(fc.double({ min: 0, max: 5000, noNaN: true }), { maxLength: 200 });
    fc.assert(
      fc.property(delays, fc.integer({ min: -1e12, max: 1e12 }), (delaysMs, offsetMs) => {
        const network = new PeerNetwork();
        for (const delayMs of delaysMs) {
          const charged = network.sendStampDelayMs('phone', 0, offsetMs + delayMs) ?? 0;
          expect(charged).toBeLessThanOrEqual(delayMs + 0.001); // a double's rounding at 1e12
        }
      }),
    );
  });

  it('predicts the reply from the bandwidth of uploads', () => {
    const network = new PeerNetwork();
    expect(network.expectedReplyMs('phone', 10_000)).toBe(0);
    network.observeTransfer('phone', 100_000, 100); // 1 000 bytes/ms
    expect(network.expectedReplyMs('phone', 10_000)).toBe(10);
    network.observeTransfer('phone', 100_000, 50); // 1 000 + 0.6 · (2 000 − 1 000) = 1 600 bytes/ms
    expect(network.expectedReplyMs('phone', 16_000)).toBe(10);
  });

  it('ignores bodies too small to measure bandwidth', () => {
    const network = new PeerNetwork();
    network.observeTransfer('phone', 500, 100);
    expect(network.expectedReplyMs('phone', 10_000)).toBe(0);
  });
});
