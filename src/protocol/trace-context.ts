/*
 * W3C Trace Context (https://www.w3.org/TR/trace-context/, level 2): which trace a call is part of, as its headers `traceparent` and
 * `tracestate` say, over REST and as gRPC metadata alike. What is malformed is as if it were not there: nobody is refused for it.
 *
 * Ids are kept as 32-bit words, the most significant first: they go to another thread as numbers, and only what is sent becomes text.
 */

/** Four words. */
export type TraceId = readonly [number, number, number, number];
/** Two words. */
export type SpanId = readonly [number, number];

/** The caller's span, of which a call is a part. */
export interface TraceParent {
  readonly traceId: TraceId;
  readonly spanId: SpanId;
  /** The caller's own spans are kept. */
  readonly isSampled: boolean;
  /** Passed on as it came; '' where there is none, or none that is valid. */
  readonly state: string;
}

const SAMPLED_FLAG = 1;
/** Of version 00; later ones are at least as long. */
const PARENT_CHARACTERS = 55;
/** `version-traceId-spanId-flags`, in lower case; later versions may go on behind another dash. */
const PARENT = /^(?!ff)[0-9a-f]{2}-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}(?:-|$)/;
const LAST_KNOWN_VERSION = '00';

/** What must be passed on at least, and all that is here. */
const MOST_STATE_CHARACTERS = 512;
const MOST_STATE_MEMBERS = 32;
const STATE_KEY = /^(?:[a-z0-9][a-z0-9_\-*/]{0,255}|[a-z0-9][a-z0-9_\-*/]{0,240}@[a-z][a-z0-9_\-*/]{0,13})$/;
const STATE_VALUE = /^[\x20-\x2b\x2d-\x3c\x3e-\x7e]{0,255}[\x21-\x2b\x2d-\x3c\x3e-\x7e]$/;

/** @returns null without a valid `traceparent` (two of them come as one with a comma, and are none) */
export function readTraceParent(parent: string | undefined, state: string | undefined): TraceParent | null {
  if (parent === undefined || parent.length < PARENT_CHARACTERS || !PARENT.test(parent)) return null;
  if (parent.startsWith(LAST_KNOWN_VERSION) && parent.length !== PARENT_CHARACTERS) return null;
  const word = (at: number): number => parseInt(parent.slice(at, at + 8), 16);
  return {
    traceId: [word(3), word(11), word(19), word(27)],
    spanId: [word(36), word(44)],
    isSampled: (parseInt(parent.slice(53, 55), 16) & SAMPLED_FLAG) !== 0,
    state: state === undefined ? '' : validState(state),
  };
}

/** For whoever is called next. */
export function traceParentText(traceId: TraceId, spanId: SpanId, isSampled: boolean): string {
  return `${LAST_KNOWN_VERSION}-${hex(traceId)}-${hex(spanId)}-0${isSampled ? SAMPLED_FLAG : 0}`;
}

/** Eight digits a word. */
export function hex(words: readonly number[]): string {
  return words.map((word) => (word >>> 0).toString(16).padStart(8, '0')).join('');
}

/** '' where any of it is malformed: half a state would be another one. */
function validState(text: string): string {
  if (text.length > MOST_STATE_CHARACTERS) return '';
  const members = text
    .split(',')
    .map((member) => member.replaceAll(/^[ \t]+|[ \t]+$/g, ''))
    .filter((member) => member !== '');
  if (members.length > MOST_STATE_MEMBERS) return '';
  const keys = new Set<string>();
  for (const member of members) {
    const equals = member.indexOf('=');
    const key = member.slice(0, Math.max(0, equals));
    if (!STATE_KEY.test(key) || !STATE_VALUE.test(member.slice(equals + 1)) || keys.has(key)) return '';
    keys.add(key);
  }
  return members.join(',');
}
