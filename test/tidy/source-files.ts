import { readFileSync, readdirSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import ts from 'typescript';

/* What the tidy checks look at. Each check is a function from files to complaints, so that it can be shown a bad sample. */

export interface SourceFile {
  /** From the repository's root, with forward slashes. */
  readonly path: string;
  readonly text: string;
}

const REPOSITORY = fileURLToPath(new URL('../../', import.meta.url));

/** Not ours (installed, built, measured) or not text. `.git` of a worktree is a file. */
const SKIPPED = new Set(['.git', 'node_modules', 'dist', 'coverage', '.sponge', 'results', '.venv']);
const TEXT_FILE =
  /(?:\.(?:ts|js|mjs|cjs|json|md|ya?ml|txt|html|svg|css|csv|proto|pbtxt|sh|service|tpl|npmrc)|(?:^|\/)[^./]+|\/\.[^./]+)$/;

/** Every text file of the repository under a folder of it, sorted by path. */
export function readFiles(folder = ''): readonly SourceFile[] {
  const files: SourceFile[] = [];
  const visit = (path: string): void => {
    for (const entry of readdirSync(REPOSITORY + path, { withFileTypes: true })) {
      if (SKIPPED.has(entry.name)) continue;
      const entryPath = path === '' ? entry.name : `${path}/${entry.name}`;
      if (entry.isDirectory()) visit(entryPath);
      else if (entry.isFile() && TEXT_FILE.test(`/${entryPath}`)) {
        files.push({ path: entryPath, text: readFileSync(REPOSITORY + entryPath, 'utf8') });
      }
    }
  };
  visit(folder);
  return files.sort((a, b) => (a.path < b.path ? -1 : 1));
}

/** TypeScript that ships or experiments: no tests, nothing generated. */
export function isSource({ path }: SourceFile): boolean {
  if (!path.endsWith('.ts') || path.endsWith('.test.ts') || path.includes('/generated/')) return false;
  return path.startsWith('src/') || path.startsWith('research/');
}

export function parse({ path, text }: SourceFile): ts.SourceFile {
  return ts.createSourceFile(path, text, ts.ScriptTarget.Latest, true);
}

/** `path:line`, for complaints that an editor can open. */
export function place(source: ts.SourceFile, node: ts.Node): string {
  return `${source.fileName}:${source.getLineAndCharacterOfPosition(node.getStart(source)).line + 1}`;
}

/** Calls back for every node, outermost first. */
export function walk(node: ts.Node, visit: (node: ts.Node) => void): void {
  visit(node);
  node.forEachChild((child) => walk(child, visit));
}

export interface ImportSite {
  readonly specifier: string;
  readonly place: string;
}

/** Static, re-exporting, dynamic and type-position imports. */
export function importsOf(file: SourceFile): readonly ImportSite[] {
  const source = parse(file);
  const sites: ImportSite[] = [];
  const add = (specifier: ts.Node | undefined): void => {
    if (specifier !== undefined && ts.isStringLiteralLike(specifier)) {
      sites.push({ specifier: specifier.text, place: place(source, specifier) });
    }
  };
  walk(source, (node) => {
    if (ts.isImportDeclaration(node) || ts.isExportDeclaration(node)) add(node.moduleSpecifier);
    else if (ts.isCallExpression(node) && node.expression.kind === ts.SyntaxKind.ImportKeyword) add(node.arguments[0]);
    else if (ts.isImportTypeNode(node) && ts.isLiteralTypeNode(node.argument)) add(node.argument.literal);
  });
  return sites;
}
