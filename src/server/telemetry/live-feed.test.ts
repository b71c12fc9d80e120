import { Writable } from 'node:stream';
import { describe, expect, it } from 'vitest';
import { VirtualClock } from '../../scheduler/clock/virtual-clock.js';
import type { Event } from '../../scheduler/domain/event.js';
import { parseFeedMessage, type FeedMessage } from '../../scheduler/domain/event-log.js';
import { stepsCounted, type RunHeader, type RunModel } from '../../scheduler/domain/event-record.js';
import { aPipeline, counts, pipelineModel } from '../../../test/fixtures/pipeline-run.js';
import { finished, completed, received, aRequest } from '../../../test/fixtures/events.js';
import { EventStreamParser } from '../../cli/watch-feed.js';
import { LiveFeed } from './live-feed.js';

const MODEL: RunModel = {
  name: 'a',
  version: '1',
  policy: 'sponge',
  limits: { minMillicores: 100, maxMillicores: 2000, stepMillicores: 100 },
  cpuMillicores: 2000,
  instances: 1,
  maxBatchSize: 8,
};

/** A browser's end, as fast or slow as the test says. */
class Browser extends Writable {
  isReading = true;
  text = '';
  readonly #parser = new EventStreamParser();
  readonly headers: RunHeader[] = [];
  readonly messages: FeedMessage[] = [];
  #waiting: (() => void) | null = null;

  override _write(chunk: Buffer, _: string, done: () => void): void {
    this.text += chunk.toString();
    for (const { event, data } of this.#parser.push(chunk.toString())) {
      if (event === 'run') this.headers.push(JSON.parse(data) as RunHeader);
      else this.messages.push(parseFeedMessage(data, this.headers.at(-1)!));
    }
    if (this.isReading) done();
    else this.#waiting = done;
  }

  readOn(): void {
    this.isReading = true;
    this.#waiting?.();
    this.#waiting = null;
  }

  get sequences(): number[] {
    return this.messages.flatMap(({ records }) =>
      records.flatMap((record) => (record.kind === 'request-received' ? [record.sequence] : [])),
    );
  }
}

function setUp(limits = { historyMs: 60_000, historyRecords: 1000 }) {
  const clock = new VirtualClock();
  const feed = new LiveFeed({ clock, title: 'test', startedAt: '2026-01-31T09:30:00.000Z', limits });
  const { observe, detach } = feed.attachModel(MODEL);
  const receive = (sequence: number): void => observe(received(aRequest({ sequence, receivedAtMs: clock.nowMs() })));
  const subscribe = (address = '192.0.2.1'): Browser => {
    const browser = new Browser({ highWaterMark: 1 });
    feed.subscribe(browser, address);
    return browser;
  };
  /** Lets streams do what they do in later ticks, without time passing. */
  const settle = async (): Promise<void> => {
    for (let turn = 0; turn < 50; turn++) {
      await new Promise(setImmediate);
      clock.advanceBy(0);
    }
  };
  return { clock, feed, observe, detach, receive, subscribe, settle };
}

function resized(atMs: number, cpuMillicores: number): Event {
  return { kind: 'resized', atMs, resizeId: 1, cpuMillicores, isWritten: true, tookMs: 0.1 };
}

describe('the live feed', () => {
  it('begins with the header, then sends what happened every 100 ms, and the time every second', async () => {
    const { clock, subscribe, receive, settle } = setUp();
    const browser = subscribe();
    expect(browser.text).toMatch(/^retry: 1000\nevent: run\ndata: \{/);
    expect(browser.headers).toEqual([
      expect.objectContaining({ kind: 'run', source: 'live', startedAt: '2026-01-31T09:30:00.000Z', models: [MODEL] }),
    ]);
    await settle();
    clock.advanceTo(150);
    receive(1);
    receive(2);
    const heard = (): [number, number][] => browser.messages.map(({ atMs, records }) => [atMs, records.length]);
    // Whoever comes while nothing happens soon hears what time it is.
    expect(heard()).toEqual([[100, 0]]);
    clock.advanceTo(250);
    expect(heard()).toEqual([
      [100, 0],
      [250, 2],
    ]);
    await settle();
    clock.advanceTo(1249);
    expect(heard()).toHaveLength(2);
    clock.advanceTo(1250);
    expect(heard().slice(2)).toEqual([[1250, 0]]);
    await settle();
    clock.advanceTo(3250);
    expect(heard().slice(3)).toEqual([
      [2250, 0],
      [3250, 0],
    ]);
  });

  it('takes nothing down that nobody looks at while its history would be of moments, and all of it for who looks', async () => {
    // A minute of 1000 records: more than 167 a second are less than a tenth of that.
    const { clock, feed, observe, receive, subscribe, settle } = setUp();
    const histories: number[][] = [];
    const look = async (): Promise<Browser> => {
      const browser = subscribe();
      await settle();
      histories.push(browser.sequences);
      return browser;
    };
    let sequence = 0;
    const run = (untilMs: number, perSec: number): void => {
      for (let atMs = clock.nowMs() + 1000 / perSec; atMs <= untilMs; atMs += 1000 / perSec) {
        clock.advanceTo(atMs);
        receive(++sequence);
      }
    };
    run(1000, 10);
    run(5000, 200);
    observe(resized(5000, 1500));
    const first = await look();
    expect(histories).toEqual([[]]);
    expect(first.headers[0]!.models).toEqual([{ ...MODEL, cpuMillicores: 1500 }]);
    const unseen = sequence;
    run(6000, 200);
    clock.advanceTo(6100);
    await settle();
    // The first one who looks has all from then on, and so has the next as history.
    expect(first.sequences).toEqual(Array.from({ length: sequence - unseen }, (_, i) => unseen + 1 + i));
    await look();
    expect(histories[1]).toEqual(first.sequences);
    await feed.close();
  });

  it('has a history again once less happens', async () => {
    const { clock, receive, subscribe, settle } = setUp();
    for (let atMs = 5; atMs <= 2000; atMs += 5) {
      clock.advanceTo(atMs);
      receive(atMs);
    }
    for (let atMs = 3100; atMs <= 6000; atMs += 100) {
      clock.advanceTo(atMs);
      receive(atMs);
    }
    clock.advanceTo(6200);
    const browser = subscribe();
    await settle();
    expect(browser.sequences).toEqual(Array.from({ length: 30 }, (_, i) => 3100 + 100 * i));
  });

  it('gives a new subscriber the last minute, in order and once', async () => {
    const { clock, subscribe, receive, settle } = setUp();
    for (let second = 0; second < 100; second++) {
      clock.advanceTo(second * 1000);
      receive(second);
    }
    clock.advanceTo(99_500);
    const browser = subscribe();
    await settle();
    await settle();
    // Sent at 99 100 ms the latest; those sent before 39 500 ms are more than a minute old.
    expect(browser.sequences).toEqual(Array.from({ length: 60 }, (_, index) => index + 40));
    receive(100);
    clock.advanceBy(100);
    await settle();
    expect(browser.sequences.at(-1)).toBe(100);
    expect(new Set(browser.sequences).size).toBe(browser.sequences.length);
  });

  it('tells the allocation that held before the history it sends', () => {
    const { clock, feed, observe, receive, subscribe } = setUp({ historyMs: 1000, historyRecords: 1000 });
    observe(resized(0, 300));
    clock.advanceTo(5000);
    receive(1);
    observe(resized(5000, 700));
    clock.advanceTo(5200);
    expect(subscribe().headers[0]!.models[0]!.cpuMillicores).toBe(300);
    clock.advanceTo(9000);
    expect(subscribe().headers[0]!.models[0]!.cpuMillicores).toBe(700);
    const headers: RunHeader[] = [];
    feed.follow({ onRun: (header) => headers.push(header), onChunk: () => undefined });
    expect(headers[0]!.models[0]!.cpuMillicores).toBe(700);
  });

  it('tells what was counted at the steps of a pipeline before the history it sends', async () => {
    const { clock, feed, receive, subscribe, settle } = setUp({ historyMs: 1000, historyRecords: 1000 });
    const pipeline = feed.attachModel({ ...MODEL, name: 'p', ...pipelineModel(aPipeline(['cut'])) });
    const tell = (atMs: number, done: number): void =>
      pipeline.tell(stepsCounted(atMs, { door: {}, steps: [counts({ done })] }));
    const doneNow = (): unknown => subscribe().headers[0]!.models[1]!.pipeline!.counts.steps[0]!.done;
    expect(doneNow()).toBe(0);
    tell(0, 3);
    clock.advanceTo(5000);
    receive(1);
    tell(5000, 7);
    clock.advanceTo(5200);
    expect(doneNow()).toBe(3);
    clock.advanceTo(9000);
    expect(doneNow()).toBe(7);
    // It has no cores to give back.
    const browser = subscribe();
    await settle();
    pipeline.detach();
    await settle();
    expect(browser.messages.flatMap(({ records }) => records)).toEqual([]);
    expect(browser.headers.at(-1)!.models[1]).toMatchObject({ name: 'p', isGone: true });
  });

  it('tells how many instances were ready before the history it sends', () => {
    const { clock, observe, receive, subscribe } = setUp({ historyMs: 1000, historyRecords: 1000 });
    observe({ kind: 'instances-changed', atMs: 0, instances: 3 });
    clock.advanceTo(5000);
    receive(1);
    observe({ kind: 'instances-changed', atMs: 5000, instances: 2 });
    clock.advanceTo(5200);
    expect(subscribe().headers[0]!.models[0]).toEqual({ ...MODEL, instances: 3 });
    clock.advanceTo(9000);
    expect(subscribe().headers[0]!.models[0]).toEqual({ ...MODEL, instances: 2 });
  });

  it('begins anew for everyone when a model is added', async () => {
    const { clock, feed, receive, subscribe, settle } = setUp();
    const browser = subscribe();
    await settle();
    receive(1);
    clock.advanceBy(100);
    await settle();
    const { observe } = feed.attachModel({ ...MODEL, name: 'b' });
    await settle();
    observe(received(aRequest({ sequence: 1 })));
    clock.advanceBy(100);
    await settle();
    expect(browser.headers.map(({ models }) => models.map(({ name }) => name))).toEqual([['a'], ['a', 'b']]);
    // The first one again, of the model it was of, and then what is new.
    expect(browser.messages.flatMap(({ records }) => records.map(({ model }) => model))).toEqual([0, 0, 1]);
  });

  it('goes on with a model that takes the place of another, and gives the place of one that is gone away when nobody is told of it any more', async () => {
    const { clock, feed, observe, detach, subscribe, settle } = setUp({ historyMs: 1000, historyRecords: 1000 });
    const namesNow = (): unknown =>
      subscribe().headers[0]!.models.map(({ name, version, isGone }) => [name, version, isGone === true]);
    observe(resized(0, 2000));
    const successor = feed.attachModel({ ...MODEL, version: '2' });
    detach();
    expect(namesNow()).toEqual([
      ['a', '1', true],
      ['a', '2', false],
    ]);
    // What it held is given back with it.
    const browser = subscribe();
    await settle();
    expect(browser.messages.flatMap(({ records }) => records)).toMatchObject([
      { kind: 'resized', model: 0, cpuMillicores: 2000 },
      { kind: 'resized', model: 0, cpuMillicores: 0 },
    ]);
    const third = feed.attachModel({ ...MODEL, version: '3' });
    successor.detach();
    feed.attachModel({ ...MODEL, name: 'b', version: '1' });
    third.detach();
    // The first one's place is the third's, and what was told of the second is still in the ring.
    expect(namesNow()).toEqual([
      ['a', '3', true],
      ['a', '2', true],
      ['b', '1', false],
    ]);
    clock.advanceBy(5000);
    const last = feed.attachModel({ ...MODEL, name: 'c' });
    last.observe(received(aRequest({ sequence: 1 })));
    clock.advanceBy(5000);
    last.observe(received(aRequest({ sequence: 2 })));
    clock.advanceBy(100);
    feed.attachModel({ ...MODEL, name: 'd' });
    expect(namesNow()).toHaveLength(4);
  });

  it('holds no more than the ring, and lets go of a subscriber that stops reading', async () => {
    const { clock, receive, subscribe, settle } = setUp({ historyMs: 60_000, historyRecords: 100 });
    const [slow, fast] = [subscribe(), subscribe()];
    await settle();
    slow.isReading = false;
    for (let sequence = 0; sequence < 200; sequence++) {
      receive(sequence);
      clock.advanceBy(100);
      await new Promise(setImmediate);
      clock.advanceBy(0);
      // One message, whatever else was sent since.
      expect(slow.writableLength).toBeLessThan(1000);
    }
    await settle();
    expect(slow.destroyed).toBe(true);
    expect(fast.destroyed).toBe(false);
    expect(fast.sequences).toEqual(Array.from({ length: 200 }, (_, sequence) => sequence));
  });

  it('lets a subscriber that was slow for a while catch up', async () => {
    const { clock, receive, subscribe, settle } = setUp();
    const browser = subscribe();
    await settle();
    browser.isReading = false;
    for (let sequence = 0; sequence < 20; sequence++) {
      receive(sequence);
      clock.advanceBy(100);
    }
    expect(browser.sequences.length).toBeLessThan(2);
    browser.readOn();
    await settle();
    expect(browser.sequences).toEqual(Array.from({ length: 20 }, (_, sequence) => sequence));
  });

  it('is full with eight, until one leaves', async () => {
    const { feed, subscribe, settle } = setUp();
    const browsers = Array.from({ length: 8 }, () => subscribe());
    expect([feed.isFull, feed.makeRoom('192.0.2.1')]).toEqual([true, false]);
    browsers[3]!.destroy();
    await settle();
    expect([feed.isFull, feed.makeRoom('192.0.2.1')]).toEqual([false, true]);
  });

  it('when full, ends the oldest of the same address that has been there for a minute', async () => {
    const { clock, feed, subscribe, settle } = setUp();
    const other = subscribe('192.0.2.2');
    clock.advanceBy(1000);
    const browsers = Array.from({ length: 7 }, () => subscribe('192.0.2.1'));
    clock.advanceBy(59_999);
    expect(feed.makeRoom('192.0.2.1')).toBe(false);
    clock.advanceBy(1);
    expect(feed.makeRoom('192.0.2.3')).toBe(false);
    expect(feed.makeRoom('192.0.2.1')).toBe(true);
    // At once: the next one may come before the stream has closed.
    expect(feed.isFull).toBe(false);
    await settle();
    expect([other, ...browsers].map(({ destroyed }) => destroyed)).toEqual([
      false,
      true,
      ...Array.from({ length: 6 }, () => false),
    ]);
  });

  it('hands a flood on in pieces, without waiting', () => {
    const { feed, observe } = setUp();
    const counts: number[] = [];
    feed.follow({ onRun: () => undefined, onChunk: ({ records }) => counts.push(records.length) });
    for (let sequence = 0; sequence < 1200; sequence++) observe(finished(0, completed(), aRequest({ sequence })));
    expect(counts).toEqual([500, 500]);
    void feed.close();
    expect(counts).toEqual([500, 500, 200]);
  });

  it('keeps no tensor of a request alive', () => {
    const { feed, observe } = setUp();
    const texts: string[] = [];
    feed.follow({ onRun: () => undefined, onChunk: ({ lines }) => texts.push(...lines) });
    const data = new Uint8Array(1000);
    observe(received(aRequest({ inputs: [{ name: 'x', datatype: 'UINT8', shape: [1000], data }] })));
    feed.flush();
    expect(texts).toHaveLength(1);
    expect(texts[0]!.length).toBeLessThan(300);
    expect(Object.keys(JSON.parse(texts[0]!) as object)).not.toContain('inputs');
  });

  it('ends its subscriptions and leaves no timer when it is closed', async () => {
    const { clock, feed, receive, subscribe, settle } = setUp();
    const browser = subscribe();
    await settle();
    receive(1);
    const closed = feed.close();
    expect(feed.makeRoom('192.0.2.1')).toBe(false);
    await settle();
    await closed;
    expect(browser.sequences).toEqual([1]);
    expect(browser.writableFinished).toBe(true);
    expect(clock.pendingCount).toBe(0);
  });

  it('gives everything to a subscriber that is behind when it is closed', async () => {
    const { clock, feed, receive, subscribe, settle } = setUp();
    const browser = subscribe();
    await settle();
    browser.isReading = false;
    for (let sequence = 0; sequence < 20; sequence++) {
      receive(sequence);
      clock.advanceBy(100);
    }
    const closed = feed.close();
    browser.readOn();
    await settle();
    await closed;
    expect(browser.sequences).toEqual(Array.from({ length: 20 }, (_, sequence) => sequence));
    expect(browser.writableFinished).toBe(true);
  });

  it('waits a second for one that reads nothing any more, and no longer, when it is closed', async () => {
    const { clock, feed, receive, subscribe, settle } = setUp();
    const browser = subscribe();
    await settle();
    browser.isReading = false;
    receive(1);
    let isClosed = false;
    void feed.close().then(() => (isClosed = true));
    clock.advanceBy(999);
    await settle();
    expect(isClosed).toBe(false);
    clock.advanceBy(1);
    await settle();
    expect(isClosed).toBe(true);
    expect(clock.pendingCount).toBe(0);
  });
});
