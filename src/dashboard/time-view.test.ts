import { describe, expect, it } from 'vitest';
import { RunClock } from './run-clock.js';
import { TimeView } from './time-view.js';

describe('a live view', () => {
  it('follows the newest instant until it is paused, and again afterwards', () => {
    const view = new TimeView(60_000, null);
    expect(view.range(100_000)).toEqual({ fromMs: 40_000, toMs: 100_000 });
    view.togglePause(100_000);
    expect(view.range(150_000)).toEqual({ fromMs: 40_000, toMs: 100_000 });
    view.togglePause(150_000);
    expect(view.isHeld).toBe(false);
    expect(view.range(150_000)).toEqual({ fromMs: 90_000, toMs: 150_000 });
  });

  it('keeps its end when another window is chosen while it is paused', () => {
    const view = new TimeView(60_000, null);
    view.togglePause(100_000);
    view.setWindow(10_000);
    expect(view.range(150_000)).toEqual({ fromMs: 90_000, toMs: 100_000 });
  });

  it('is paused by zooming in, and zooms out to what was shown then', () => {
    const view = new TimeView(60_000, null);
    view.zoom({ fromMs: 50_000, toMs: 51_000 }, 100_000);
    expect([view.isHeld, view.isZoomed]).toEqual([true, true]);
    view.zoomOut();
    expect(view.range(150_000)).toEqual({ fromMs: 40_000, toMs: 100_000 });
    view.zoomOut();
    expect(view.isZoomed).toBe(false);
  });

  it('does not zoom into a moment', () => {
    const view = new TimeView(60_000, null);
    view.zoom({ fromMs: 50_000, toMs: 50_049 }, 100_000);
    expect(view.isHeld).toBe(false);
  });
});

describe('the view of a log', () => {
  const whole = { fromMs: 0, toMs: 600_000 };

  it('is the whole run at first, and cannot be paused', () => {
    const view = new TimeView(60_000, whole);
    view.togglePause(600_000);
    expect(view.range(0)).toEqual(whole);
  });

  it('takes a window about the centre of what is shown, within the run', () => {
    const view = new TimeView(60_000, whole);
    view.zoom({ fromMs: 100_000, toMs: 110_000 }, 600_000);
    view.setWindow(30_000);
    expect(view.range(0)).toEqual({ fromMs: 90_000, toMs: 120_000 });
    view.zoom({ fromMs: 599_000, toMs: 599_500 }, 600_000);
    view.setWindow(10_000);
    expect(view.range(0)).toEqual({ fromMs: 590_000, toMs: 600_000 });
    view.zoomOut();
    expect(view.range(0)).toEqual(whole);
  });

  it('has windows no longer than the run', () => {
    const view = new TimeView(60_000, { fromMs: 5_000, toMs: 9_000 });
    view.setWindow(60_000);
    expect(view.range(0)).toEqual({ fromMs: 5_000, toMs: 9_000 });
  });
});

describe('the clock of a run', () => {
  it('goes on between messages, a little behind, and stands still when none come', () => {
    const clock = new RunClock();
    clock.hear(5000, 100);
    expect(clock.read(100)).toBe(5000 - 130);
    expect(clock.read(150)).toBe(5050 - 130);
    // At most 1250 ms beyond the last message.
    expect(clock.read(9000)).toBe(6250 - 130);
  });

  it('never goes back', () => {
    const clock = new RunClock();
    clock.hear(5000, 100);
    expect(clock.read(200)).toBe(4970);
    // This message was long on its way.
    clock.hear(5020, 200);
    expect(clock.read(200)).toBe(4970);
    expect(clock.read(300)).toBe(4990);
  });
});
