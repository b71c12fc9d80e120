import { etagOf, sendFile, WebServer } from './web-server.js';

/** S3 as far as reading goes: listings of two objects a page, objects, errors. Signatures are asked for and not checked: those of AWS's manual are, elsewhere. */
export class BucketServer {
  readonly web: WebServer;
  /** By key, of the bucket `models`. */
  readonly objects = new Map<string, Uint8Array>();
  /** Who asks without any is refused. */
  needsSignature = false;

  private constructor(web: WebServer) {
    this.web = web;
  }

  static async start(): Promise<BucketServer> {
    const server = new BucketServer(await WebServer.start());
    server.web.routes.push((request, response) => {
      const url = new URL(request.url!, server.web.origin);
      const refuse = (status: number, code: string): true => {
        response.writeHead(status, { 'content-type': 'application/xml' }).end(`<Error><Code>${code}</Code></Error>`);
        return true;
      };
      const [, bucket, ...rest] = decodeURIComponent(url.pathname).split('/');
      if (server.needsSignature && request.headers.authorization === undefined) return refuse(403, 'AccessDenied');
      if (bucket !== 'models') return refuse(404, 'NoSuchBucket');
      if (url.searchParams.get('list-type') === '2') {
        response.writeHead(200).end(server.#page(url.searchParams));
        return true;
      }
      const bytes = server.objects.get(rest.join('/'));
      if (bytes === undefined) return refuse(404, 'NoSuchKey');
      sendFile(request, response, { bytes }, server.web.faults.shift());
      return true;
    });
    return server;
  }

  get endpoint(): string {
    return this.web.origin;
  }

  #page(parameters: URLSearchParams): string {
    const prefix = parameters.get('prefix') ?? '';
    const keys = [...this.objects.keys()].filter((key) => key.startsWith(prefix)).sort();
    const from = Number(parameters.get('continuation-token') ?? '0');
    const entries = keys.slice(from, from + 2).map((key) => {
      const bytes = this.objects.get(key)!;
      const etag = etagOf(bytes).replaceAll('"', '&quot;');
      return `<Contents><Key>${encodeURIComponent(key)}</Key><ETag>${etag}</ETag><Size>${bytes.length}</Size></Contents>`;
    });
    const isTruncated = from + 2 < keys.length;
    const next = isTruncated ? `<NextContinuationToken>${from + 2}</NextContinuationToken>` : '';
    return `<ListBucketResult><EncodingType>url</EncodingType><IsTruncated>${isTruncated}</IsTruncated>${next}${entries.join('')}</ListBucketResult>`;
  }
}
