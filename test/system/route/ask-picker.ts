import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import grpc from '@grpc/grpc-js';
import { loadSync } from '@grpc/proto-loader';

/* What Envoy asks `sponge route`, with another implementation of its protocol, for tests that need no Envoy. */

const PROTO = fileURLToPath(new URL('../../../src/server/route/proto/external_processor.proto', import.meta.url));

export type Picked =
  | {
      readonly kind: 'sent';
      readonly destinations: readonly string[];
      readonly headers: Readonly<Record<string, string>>;
    }
  | { readonly kind: 'refused'; readonly status: number; readonly headers: Readonly<Record<string, string>> };

interface Mutation {
  readonly set_headers: readonly { readonly header: { readonly key: string; readonly raw_value: Buffer } }[];
}

interface Answer {
  readonly request_headers?: { readonly response: { readonly header_mutation: Mutation } };
  readonly immediate_response?: { readonly status: { readonly code: number }; readonly headers: Mutation };
}

export class PickerClient {
  readonly #client: grpc.Client;
  readonly #method = (
    loadSync(PROTO, { keepCase: true })['envoy.service.ext_proc.v3.ExternalProcessor'] as grpc.ServiceDefinition
  )['Process']!;

  constructor(port: number) {
    this.#client = new grpc.Client(`127.0.0.1:${port}`, grpc.credentials.createInsecure());
  }

  /** Where a POST to this path would go. */
  async pick(path: string, headers: Readonly<Record<string, string>> = {}): Promise<Picked> {
    const { path: rpc, requestSerialize, responseDeserialize } = this.#method;
    const stream = this.#client.makeBidiStreamRequest(rpc, requestSerialize, responseDeserialize);
    const answers: Answer[] = [];
    stream.on('data', (answer: Answer) => answers.push(answer));
    const all = { ':method': 'POST', ':path': path, ...headers };
    const list = Object.entries(all).map(([key, value]) => ({ key, raw_value: Buffer.from(value) }));
    stream.write({ request_headers: { headers: { headers: list } } });
    stream.end();
    await once(stream, 'end');
    const { request_headers: sent, immediate_response: refused } = answers[0]!;
    if (refused) return { kind: 'refused', status: refused.status.code, headers: headersOf(refused.headers) };
    const told = headersOf(sent!.response.header_mutation);
    return { kind: 'sent', destinations: told['x-gateway-destination-endpoint']!.split(','), headers: told };
  }

  close(): void {
    this.#client.close();
  }
}

function headersOf({ set_headers: set }: Mutation): Readonly<Record<string, string>> {
  return Object.fromEntries(set.map(({ header }) => [header.key, header.raw_value.toString()]));
}
