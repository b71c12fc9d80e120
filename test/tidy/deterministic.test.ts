import ts from 'typescript';
import { describe, expect, it } from 'vitest';
import { importsOf, isSource, parse, place, readFiles, walk, type SourceFile } from './source-files.js';

/*
 * What decides is synchronous and repeats from its inputs: no time, chance, promise or I/O of its own. That is what lets
 * the code that serves run in the simulator unchanged.
 */

const DETERMINISTIC = /^src\/(?:scheduler|route|operate|simulator\/(?:sim|pods|workloads|clairvoyant))\//;

const TAKE_NOW = 'take nowMs as an argument, or be given a Clock';
const SCHEDULE = 'return the moment, or use Clock.schedule';
const CALL_BACK = 'have the port call back, never from inside the call';
const HAND_IN = 'do it in an adapter behind a port and hand the result in';

/** Forbidden global → what to use instead. */
const INSTEAD: ReadonlyMap<string, string> = new Map([
  ['Date', TAKE_NOW],
  ['performance', TAKE_NOW],
  ['setTimeout', SCHEDULE],
  ['setInterval', SCHEDULE],
  ['setImmediate', SCHEDULE],
  ['queueMicrotask', SCHEDULE],
  ['Promise', CALL_BACK],
  ['AbortSignal', CALL_BACK],
  ['crypto', 'be given a seeded Prng'],
  ['process', HAND_IN],
  ['console', 'emit an Event'],
  ['fetch', HAND_IN],
  ['Buffer', 'use Uint8Array and DataView'],
]);

/** Packages that compute and nothing else. */
const PURE_PACKAGES: ReadonlySet<string> = new Set(['zod']);

/** A name that is only a member's or a property's: `profile.performance`, `{ process: 1 }`. */
function isMemberName(node: ts.Identifier): boolean {
  const { parent } = node;
  const isProperty = ts.isPropertyAccessExpression(parent) || ts.isPropertyAssignment(parent);
  const isMember = ts.isPropertySignature(parent) || ts.isPropertyDeclaration(parent) || ts.isMethodDeclaration(parent);
  if (!(isProperty || isMember || ts.isMethodSignature(parent)) || parent.name !== node) return false;
  return !(ts.isPropertyAccessExpression(parent) && parent.expression.getText() === 'globalThis');
}

function findNondeterminism(files: readonly SourceFile[]): string[] {
  const complaints: string[] = [];
  for (const file of files) {
    const source = parse(file);
    const complain = (node: ts.Node, what: string, instead: string): void => {
      complaints.push(`${place(source, node)}: ${what} in a deterministic part; ${instead}`);
    };
    walk(source, (node) => {
      if (ts.isIdentifier(node)) {
        const instead = INSTEAD.get(node.text);
        if (instead !== undefined && !isMemberName(node)) complain(node, node.text, instead);
      } else if (ts.isPropertyAccessExpression(node) && node.getText(source) === 'Math.random') {
        complain(node, 'Math.random', 'be given a seeded Prng');
      } else if (ts.isAwaitExpression(node) || (ts.isForOfStatement(node) && node.awaitModifier !== undefined)) {
        complain(node, 'await', CALL_BACK);
      } else if (node.kind === ts.SyntaxKind.AsyncKeyword) {
        complain(node, 'async', CALL_BACK);
      }
    });
    for (const { specifier, place: at } of importsOf(file)) {
      if (specifier.startsWith('.') || PURE_PACKAGES.has(specifier)) continue;
      complaints.push(`${at}: import of ${specifier} in a deterministic part; ${HAND_IN}`);
    }
  }
  return complaints;
}

describe('the deterministic parts', () => {
  it('have no time, chance, promises or I/O of their own', () => {
    const files = readFiles('src').filter((file) => isSource(file) && DETERMINISTIC.test(file.path));
    expect(files.length).toBeGreaterThan(5);
    expect(findNondeterminism(files)).toEqual([]);
  });

  it.each([
    ['const t = Date.now();', 'Date in a deterministic part; take nowMs'],
    ['const t = performance.now();', 'performance in a deterministic part; take nowMs'],
    ['setTimeout(f, 1);', 'setTimeout in a deterministic part; return the moment'],
    ['setInterval(f, 1);', 'setInterval'],
    ['setImmediate(f);', 'setImmediate'],
    ['globalThis.setTimeout(f, 1);', 'setTimeout'],
    ['const later = setTimeout;', 'setTimeout'],
    ['const r = Math.random();', 'Math.random in a deterministic part; be given a seeded Prng'],
    ['let p: Promise<void>;', 'Promise in a deterministic part; have the port call back'],
    ['async function f() {}', 'async'],
    ['const f = async () => 1;', 'async'],
    ['class A { async f() {} }', 'async'],
    ['await f();', 'await'],
    ['console.log(1);', 'console in a deterministic part; emit an Event'],
    ["import fs from 'node:fs';", 'import of node:fs'],
    ["import { pino } from 'pino';", 'import of pino'],
  ])('would be found: %s', (text, complaint) => {
    const complaints = findNondeterminism([{ path: 'src/scheduler/dataplane/a.ts', text }]);
    expect(complaints).toHaveLength(1);
    expect(complaints[0]).toContain('src/scheduler/dataplane/a.ts:1: ');
    expect(complaints[0]).toContain(complaint);
  });

  it('may say those words in comments, texts and member names', () => {
    const text = `
      // Date, setTimeout and await are the edge's
      const message = 'await Promise';
      const fields = { process: 1, performance: 2 };
      export const sum = fields.process + fields.performance + Math.floor(1.5);
      interface Worker { fetch(): void; readonly crypto: string }`;
    expect(findNondeterminism([{ path: 'src/scheduler/dataplane/a.ts', text }])).toEqual([]);
  });

  it('are the planes, what they stand on, the simulator and the system that joins them', () => {
    for (const path of [
      'src/scheduler/domain/event.ts',
      'src/scheduler/clock/clock.ts',
      'src/scheduler/controlplane/baselines/fifo.ts',
      'src/scheduler/system.ts',
    ]) {
      expect(path).toMatch(DETERMINISTIC);
    }
    for (const path of ['src/server/system-clock.ts', 'src/cli/serve.ts', 'src/simulator/traces/x.ts']) {
      expect(path).not.toMatch(DETERMINISTIC);
    }
  });
});
