import { describe, expect, it } from 'vitest';
import ts from 'typescript';
import { importsOf, isSource, parse, readFiles, walk, type SourceFile } from './source-files.js';

/*
 * Who makes no spans pays nothing for them: OpenTelemetry's SDK is imported by the thread that makes them and by nobody else, and what starts
 * that thread is imported only where somebody asks for spans.
 */

const SDK = '@opentelemetry/';
const THREAD = 'src/server/tracing/trace-thread.ts';
const STARTER = /\/tracing\/(?:tracing|trace-thread|spans|otlp-writer|span-queue)\.js$/;
const OWN_FOLDER = 'src/server/tracing/';

/** Of imports that stay in the JavaScript and are done before anybody asks. */
function loadedAtOnce(file: SourceFile): readonly string[] {
  const specifiers: string[] = [];
  walk(parse(file), (node) => {
    if (!ts.isImportDeclaration(node) && !ts.isExportDeclaration(node)) return;
    const isTypes = ts.isImportDeclaration(node)
      ? node.importClause?.phaseModifier === ts.SyntaxKind.TypeKeyword
      : node.isTypeOnly;
    const { moduleSpecifier } = node;
    if (!isTypes && moduleSpecifier !== undefined && ts.isStringLiteral(moduleSpecifier))
      specifiers.push(moduleSpecifier.text);
  });
  return specifiers;
}

describe('the SDK of OpenTelemetry', () => {
  const files = readFiles('src').filter(isSource);

  it('is imported by the thread that makes spans alone', () => {
    const importing = files.filter((file) => importsOf(file).some(({ specifier }) => specifier.startsWith(SDK)));
    expect(importing.map(({ path }) => path)).toEqual([THREAD]);
  });

  it('is not loaded, nor its thread started, by what a server imports that nobody asks for spans', () => {
    const elsewhere = files.filter(({ path }) => !path.startsWith(OWN_FOLDER));
    const loading = elsewhere.filter((file) => loadedAtOnce(file).some((specifier) => STARTER.test(specifier)));
    expect(loading.map(({ path }) => path)).toEqual([]);
    const asking = elsewhere.filter(({ text }) => text.includes("await import('./tracing/tracing.js')"));
    expect(asking.map(({ path }) => path)).toEqual(['src/server/server.ts']);
  });

  it('would be found where it is imported', () => {
    const bad = { path: 'src/a.ts', text: "import { Tracing } from './tracing/tracing.js';" };
    expect(loadedAtOnce(bad).some((specifier) => STARTER.test(specifier))).toBe(true);
    const typed = { path: 'src/a.ts', text: "import type { Tracing } from './tracing/tracing.js';" };
    expect(loadedAtOnce(typed)).toEqual([]);
  });
});
