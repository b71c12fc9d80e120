import { readAwsSettings, type AwsSettings } from './aws-settings.js';
import { readText, refusal } from './download.js';
import type { Wanted } from './fetch-file.js';
import type { BucketLocation } from './location.js';
import { assertAvailable, patiently } from './passing.js';
import { parseErrorAnswer, parseListing, type ListedObject, type ListingPage } from './s3-listing.js';
import { encodedPath, encodedQuery, signed } from './sigv4.js';
import { SourceError } from './source-error.js';
import type { FetchContext } from './source.js';
import type { WebResponse } from './web-client.js';

/*
 * A bucket of S3, or of another server that speaks its protocol: what is in it, and where its objects are. Requests are signed where there
 * are credentials, and anonymous where there are none.
 */

export type Addressing = 'auto' | 'path' | 'virtual';

/** What the command line says. */
export interface BucketChoice {
  /** Null: as the environment says, else AWS. */
  readonly endpoint: string | null;
  /** Whether the bucket stands in the path or before the host's name; auto: before AWS's, in the path of others. */
  readonly addressing: Addressing;
}

const DEFAULT_REGION = 'us-east-1';
/** Of 1000 objects each. */
const MOST_PAGES = 100;
/** An entry has some 400 bytes, and a key of 1 KiB at most. */
const MOST_PAGE_BYTES = 8 * 1024 ** 2;

export class Bucket {
  readonly #location: BucketLocation;
  readonly #context: FetchContext;
  readonly #settings: AwsSettings;
  readonly #endpoint: string | null;
  readonly #addressing: Addressing;
  #region: string;

  private constructor(location: BucketLocation, choice: BucketChoice, settings: AwsSettings, context: FetchContext) {
    this.#location = location;
    this.#context = context;
    this.#settings = settings;
    this.#endpoint = choice.endpoint ?? settings.endpoint;
    this.#addressing = choice.addressing;
    this.#region = settings.region ?? DEFAULT_REGION;
  }

  /** Finds out its region, where AWS is asked and nobody says. @throws SourceError */
  static async open(location: BucketLocation, choice: BucketChoice, context: FetchContext): Promise<Bucket> {
    const bucket = new Bucket(location, choice, await readAwsSettings(context.env), context);
    bucket.#base();
    if (bucket.#endpoint === null && bucket.#settings.region === null) await bucket.#findRegion();
    return bucket;
  }

  /** AWS tells it whoever asks, whatever else it answers. */
  async #findRegion(): Promise<void> {
    const url = this.#url('');
    const response = await patiently(this.#location.title, this.#context, () =>
      this.#context.client.ask(
        { method: 'HEAD', url, headersFor: () => ({}), staysOnHost: true },
        this.#context.signal,
      ),
    );
    response.body.resume();
    const region = response.headers['x-amz-bucket-region'];
    if (typeof region === 'string' && /^[a-z\d-]{1,32}$/.test(region)) this.#region = region;
  }

  /** All objects below a prefix, in order of their keys. @throws SourceError where they are too many, or may not be seen */
  async list(prefix: string): Promise<readonly ListedObject[]> {
    const objects: ListedObject[] = [];
    let continuation: string | null = null;
    for (let page = 0; page < MOST_PAGES; page++) {
      const listing: ListingPage = await this.#page(prefix, continuation);
      objects.push(...listing.objects.filter(({ key }) => key.startsWith(prefix)));
      if (listing.continuation === null) return objects;
      continuation = listing.continuation;
    }
    throw new SourceError(
      `${this.#location.title} has more than ${objects.length} objects: name a prefix that holds models and nothing else`,
    );
  }

  #page(prefix: string, continuation: string | null): Promise<ListingPage> {
    const { title } = this.#location;
    const query = encodedQuery({
      ...(continuation === null ? {} : { 'continuation-token': continuation }),
      ...{ 'encoding-type': 'url', 'list-type': '2', prefix },
    });
    return patiently(title, this.#context, async () => {
      const url = this.#url('');
      url.search = query;
      const headersFor = (at: URL): Record<string, string> => this.#headersFor('GET', at);
      const response = await this.#context.client.ask({ method: 'GET', url, headersFor }, this.#context.signal);
      assertAvailable(response);
      const text = await readText(response, MOST_PAGE_BYTES);
      if (response.status !== 200) return this.#refuse(title, response, text);
      try {
        return parseListing(text);
      } catch {
        throw new SourceError(`${title}: ${url.host} does not answer as S3 does; check --s3-endpoint`);
      }
    });
  }

  /** How an object is fetched. Its place and its sum are to be added. */
  wanted(key: string): Wanted {
    const title = `s3://${this.#location.bucket}/${key}`;
    return {
      url: this.#url(key),
      path: key,
      title,
      ...{ sha256: null, gitBlob: null, bytes: null, etag: null },
      // So the answer has the object's SHA-256, where it was stored with one.
      headersFor: (url) => this.#headersFor('GET', url, { 'x-amz-checksum-mode': 'ENABLED' }),
      refuse: (response, text) => this.#refuse(title, response, text),
    };
  }

  #headersFor(
    method: 'GET' | 'HEAD',
    url: URL,
    headers: Readonly<Record<string, string>> = {},
  ): Record<string, string> {
    const { credentials } = this.#settings;
    if (credentials === null || !this.#isOurs(url)) return { ...headers };
    return signed({ method, url, headers, region: this.#region, credentials, unixMs: Date.now() });
  }

  /** A redirect may lead to another of the service's own hosts, and nowhere else with a signature. */
  #isOurs({ host, hostname }: URL): boolean {
    return host === this.#base().host || (this.#endpoint === null && /\.amazonaws\.com(?:\.cn)?$/.test(hostname));
  }

  #url(key: string): URL {
    const url = this.#base();
    url.pathname = url.pathname.replace(/\/$/, '') + (key === '' ? '/' : `/${encodedPath(key)}`);
    return url;
  }

  /** Where the bucket is. @throws SourceError */
  #base(): URL {
    const { bucket, title } = this.#location;
    const text =
      this.#endpoint ?? `https://s3.${this.#region}.amazonaws.com${this.#region.startsWith('cn-') ? '.cn' : ''}`;
    if (!URL.canParse(text) || !/^https?:\/\//i.test(text)) {
      throw new SourceError(`${title}: the endpoint ${text} is no address such as https://s3.example.com`);
    }
    const url = new URL(text);
    // A name with a dot has no certificate as a host.
    const isVirtual =
      this.#addressing === 'auto' ? this.#endpoint === null && !bucket.includes('.') : this.#addressing === 'virtual';
    if (isVirtual) url.hostname = `${bucket}.${url.hostname}`;
    else url.pathname = `${url.pathname.replace(/\/$/, '')}/${bucket}`;
    return url;
  }

  #refuse(title: string, { status, headers }: WebResponse, text: string): never {
    const { code, message } = parseErrorAnswer(text) ?? { code: '', message: '' };
    const { credentials, unused } = this.#settings;
    const elsewhere = headers['x-amz-bucket-region'];
    if ((status === 301 || code === 'AuthorizationHeaderMalformed') && typeof elsewhere === 'string') {
      throw new SourceError(`${title}: the bucket is in ${elsewhere}: set AWS_REGION to that`);
    }
    if (code === 'NoSuchBucket')
      throw new SourceError(`${title}: there is no such bucket: check its name and the endpoint`);
    if (code === 'NoSuchKey') throw new SourceError(`${title}: there is no such object: check its key`);
    if (code === 'InvalidAccessKeyId' || code === 'SignatureDoesNotMatch' || code === 'ExpiredToken') {
      throw new SourceError(
        `${title}: the credentials are not taken (${code}): check AWS_ACCESS_KEY_ID, its secret and its session`,
      );
    }
    if (code === 'RequestTimeTooSkewed') throw new SourceError(`${title}: this machine's clock is wrong: set it`);
    if (status === 401 || status === 403 || status === 404) {
      const remedy =
        credentials !== null
          ? 'these credentials may not read it, or it is not there'
          : unused === null
            ? 'asked without credentials: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE'
            : `asked without credentials, as those of ${unused} are not read: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY`;
      throw refusal(title, status, remedy);
    }
    throw new SourceError(
      `${title}: the server answers ${status}${code === '' ? '' : ` ${code}: ${message.slice(0, 200)}`}`,
    );
  }
}
