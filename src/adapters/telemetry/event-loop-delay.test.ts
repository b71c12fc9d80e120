import { setTimeout as delay } from 'node:timers/promises';
import { describe, expect, it } from 'vitest';
import { EventLoopDelay } from './event-loop-delay.js';

const STOP_MS = 80;

function standStill(): void {
  const untilMs = performance.now() + STOP_MS;
  while (performance.now() < untilMs);
}

describe('the delay of the event loop', () => {
  it('has the longest stop since it was last asked, and forgets it then', async () => {
    const eventLoop = new EventLoopDelay();
    try {
      await delay(50);
      eventLoop.sinceLast();
      await delay(50);
      standStill();
      await delay(50);
      const [median, nearlyAll, , longest] = eventLoop.sinceLast();
      // A look may have been due anywhere in the ten milliseconds before it ended.
      expect(longest).toBeGreaterThan((STOP_MS - 30) / 1000);
      expect(median).toBeLessThanOrEqual(nearlyAll!);
      expect(nearlyAll).toBeLessThanOrEqual(longest!);
      expect(eventLoop.sinceLast()).toEqual([0, 0, 0, 0]);
    } finally {
      eventLoop.stop();
    }
  });
});
