import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { hex, readTraceParent, traceParentText } from './trace-context.js';

const TRACE = '4bf92f3577b34da6a3ce929d0e0e4736';
const SPAN = '00f067aa0ba902b7';
const VALID = `00-${TRACE}-${SPAN}-01`;

describe('traceparent', () => {
  it('is read as the specification has it', () => {
    const parent = readTraceParent(VALID, undefined)!;
    expect(hex(parent.traceId)).toBe(TRACE);
    expect(hex(parent.spanId)).toBe(SPAN);
    expect(parent.isSampled).toBe(true);
    expect(traceParentText(parent.traceId, parent.spanId, true)).toBe(VALID);
    expect(readTraceParent(`00-${TRACE}-${SPAN}-00`, undefined)!.isSampled).toBe(false);
    // Of the flags only the last bit says so; others are of later versions.
    expect(readTraceParent(`00-${TRACE}-${SPAN}-fe`, undefined)!.isSampled).toBe(false);
    expect(readTraceParent(`00-${TRACE}-${SPAN}-ff`, undefined)!.isSampled).toBe(true);
  });

  it('of a later version is read as far as it is known', () => {
    expect(readTraceParent(`cc-${TRACE}-${SPAN}-01`, undefined)).not.toBeNull();
    expect(readTraceParent(`cc-${TRACE}-${SPAN}-01-what-comes`, undefined)).not.toBeNull();
    expect(readTraceParent(`cc-${TRACE}-${SPAN}-01what`, undefined)).toBeNull();
  });

  it.each([
    ['none', undefined],
    ['an empty one', ''],
    ['no trace', `00-${'0'.repeat(32)}-${SPAN}-01`],
    ['no span', `00-${TRACE}-${'0'.repeat(16)}-01`],
    ['a version that is forbidden', `ff-${TRACE}-${SPAN}-01`],
    ['capitals', VALID.toUpperCase()],
    ['more than version 00 has', `${VALID}-more`],
    ['too little', VALID.slice(0, -1)],
    ['spaces', ` ${VALID}`],
    ['two of them', `${VALID}, ${VALID}`],
    ['a line break behind it', `${VALID}\n`],
    ['flags that are no number', `00-${TRACE}-${SPAN}-0g`],
    ['underscores', VALID.replaceAll('-', '_')],
  ])('is nothing where it is %s', (_, text) => {
    expect(readTraceParent(text, 'vendor=1')).toBeNull();
  });

  it('is nothing, or exactly what was sent, whatever was sent', () => {
    const pieces = fc.constantFrom('00', 'ff', '01', '-', TRACE, SPAN, 'G', ' ', '\u0000', 'é', '0', VALID);
    const texts = fc.oneof(
      fc.string(),
      fc.array(pieces, { maxLength: 9 }).map((each) => each.join('')),
      // One character of a valid one is another.
      fc
        .tuple(fc.nat(VALID.length - 1), fc.string({ minLength: 1, maxLength: 1 }))
        .map(([at, c]) => VALID.slice(0, at) + c + VALID.slice(at + 1)),
    );
    fc.assert(
      fc.property(texts, fc.string(), (text, state) => {
        const parent = readTraceParent(text, state);
        if (parent === null) return;
        expect(text.slice(3, 52)).toBe(`${hex(parent.traceId)}-${hex(parent.spanId)}`);
        expect([...parent.traceId, ...parent.spanId].every((word) => word >= 0 && word < 2 ** 32)).toBe(true);
      }),
      { numRuns: 2000 },
    );
  });
});

describe('tracestate', () => {
  const stateOf = (text: string): string => readTraceParent(VALID, text)!.state;

  it('is passed on as it came, but for white space and empty members', () => {
    expect(stateOf('rojo=00f067aa0ba902b7,congo=t61rcWkgMzE')).toBe('rojo=00f067aa0ba902b7,congo=t61rcWkgMzE');
    expect(stateOf(' rojo=1 ,\t,congo=2,')).toBe('rojo=1,congo=2');
    expect(stateOf('fw529a3039@dt=FfD;1 2')).toBe('fw529a3039@dt=FfD;1 2');
  });

  it.each([
    ['no value', 'rojo='],
    ['no key', '=1'],
    ['capitals in a key', 'Rojo=1'],
    ['a key twice', 'rojo=1,rojo=2'],
    ['another equals sign', 'rojo=1=2'],
    ['no member', 'rojo'],
    ['more members than there may be', Array.from({ length: 33 }, (_, i) => `k${i}=1`).join(',')],
    ['more than must be passed on', `rojo=${'x'.repeat(200)},a=${'x'.repeat(200)},b=${'x'.repeat(200)}`],
    ['what is not printable', 'rojo=\u0007'],
  ])('is left out where it has %s, and its trace is kept', (_, text) => {
    expect(stateOf(text)).toBe('');
  });
});
