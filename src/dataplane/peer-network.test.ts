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
