import { createHash } from 'node:crypto';
import { readdir, readFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';

/*
 * The files of the dashboard, by the URL they are served at: read once, when the server starts. Nothing of a request's URL
 * ever reaches the file system; what is not in the table is not there.
 *
 *   /                    the page            /scheduler/domain/<file>.js    what the page shares with the server
 *   /dashboard/<file>    its parts           /uplot/<file>                  the chart library
 */

export interface PageFile {
  readonly body: Buffer;
  readonly contentType: string;
  /** Quoted, as the header has it. */
  readonly etag: string;
}

export type PageFiles = ReadonlyMap<string, PageFile>;

const CONTENT_TYPES: Readonly<Record<string, string>> = {
  html: 'text/html; charset=utf-8',
  css: 'text/css; charset=utf-8',
  js: 'text/javascript; charset=utf-8',
  svg: 'image/svg+xml',
};

const UPLOT_FILES = ['uPlot.esm.js', 'uPlot.min.css'];

/** The built package: this file is two folders below it. */
const BUILT = join(import.meta.dirname, '../..');

/** Null where the page has not been built, as in a source checkout. @param root with the folders `dashboard`, `scheduler/domain` */
export async function readPageFiles(root: string = BUILT): Promise<PageFiles | null> {
  const page = await readFile(join(root, 'dashboard/index.html')).catch(() => null);
  if (page === null) return null;
  const uplot = dirname(createRequire(import.meta.url).resolve('uplot'));
  const places = [
    ...(await placesIn(join(root, 'dashboard'), '/dashboard/')),
    ...(await placesIn(join(root, 'scheduler/domain'), '/scheduler/domain/')),
    ...UPLOT_FILES.map((name) => ({ url: `/uplot/${name}`, path: join(uplot, name) })),
  ];
  const files = await Promise.all(
    places.map(async ({ url, path }) => [url, pageFile(await readFile(path), url)] as const),
  );
  return new Map([['/', pageFile(page, '/index.html')], ...files]);
}

/** Files of the kinds a browser is given; not those that the compiler keeps beside them. */
async function placesIn(folder: string, url: string): Promise<readonly { url: string; path: string }[]> {
  const names = await readdir(folder);
  return names.filter(isServed).map((name) => ({ url: url + name, path: join(folder, name) }));
}

function isServed(name: string): boolean {
  return Object.hasOwn(CONTENT_TYPES, endingOf(name));
}

function pageFile(body: Buffer, url: string): PageFile {
  const hash = createHash('sha256').update(body).digest('base64url').slice(0, 22);
  return { body, contentType: CONTENT_TYPES[endingOf(url)]!, etag: `"${hash}"` };
}

function endingOf(name: string): string {
  return name.slice(name.lastIndexOf('.') + 1);
}
