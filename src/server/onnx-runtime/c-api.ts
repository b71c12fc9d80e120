import { existsSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import koffi, { type LibraryHandle } from 'koffi';

/*
 * ONNX Runtime's C API, called through `koffi` in the shared library that `onnxruntime-node` brings. This file is the only
 * one that knows how: names, places, signatures. Nothing here keeps or frees anything; `model-sessions.ts` and `values.ts` state
 * who owns what.
 *
 * Why not that package's own binding: it cannot end a run, share a session or its memory, carry strings with NUL, or name
 * BF16, and on Node 24 it loses FP16 inputs (docs/decisions/0014).
 *
 * A pointer is a `bigint`; a struct of the library is never looked into. Every function may be called from any thread, and
 * runs on it. What takes long, making a session or running it, is called aside: on a thread of libuv's pool, whose stack
 * koffi makes, or on a thread that the caller has for it.
 */

/** An address in this process. */
export type Pointer = bigint;

/** As on this thread: koffi's own 128 KiB are less than graphs inside graphs may need. Memory only where it is written to. */
const STACK_BYTES = 2 * 1024 ** 2;
// It can be set until a library is loaded.
if (koffi.config().async_stack_size !== STACK_BYTES) {
  koffi.config({ async_stack_size: STACK_BYTES, resident_async_pools: 1 });
}

/** The table of functions that this file was written against; its order never changes, newer ones only append. */
const API_VERSION = 24;
/** What is in the pinned package. Another library may keep the table and change what behaves behind it. */
const KNOWN_VERSION = '1.30.0';

/** Paths are wide characters on Windows. */
const PATH = process.platform === 'win32' ? 'str16' : 'const char *';

/** Where each function stands in the table, what it gives and takes. `status`: null, or an error that has to be released. */
const SIGNATURES = {
  getErrorMessage: [2, 'const char *', ['void *']],
  createEnv: [3, 'void *', ['int', 'const char *', 'void *']],
  disableTelemetryEvents: [6, 'void *', ['void *']],
  createSession: [7, 'void *', ['void *', PATH, 'void *', 'void *']],
  createSessionFromArray: [8, 'void *', ['void *', 'void *', 'size_t', 'void *', 'void *']],
  run: [9, 'void *', ['void *', 'void *', 'void *', 'void *', 'size_t', 'void *', 'size_t', 'void *']],
  createSessionOptions: [10, 'void *', ['void *']],
  setOptimizedModelFilePath: [11, 'void *', ['void *', PATH]],
  disableMemPattern: [17, 'void *', ['void *']],
  setSessionLogSeverityLevel: [22, 'void *', ['void *', 'int']],
  setSessionGraphOptimizationLevel: [23, 'void *', ['void *', 'int']],
  setIntraOpNumThreads: [24, 'void *', ['void *', 'int']],
  setInterOpNumThreads: [25, 'void *', ['void *', 'int']],
  sessionGetInputCount: [30, 'void *', ['void *', 'void *']],
  sessionGetOutputCount: [31, 'void *', ['void *', 'void *']],
  sessionGetOverridableInitializerCount: [32, 'void *', ['void *', 'void *']],
  sessionGetInputTypeInfo: [33, 'void *', ['void *', 'size_t', 'void *']],
  sessionGetOutputTypeInfo: [34, 'void *', ['void *', 'size_t', 'void *']],
  sessionGetOverridableInitializerTypeInfo: [35, 'void *', ['void *', 'size_t', 'void *']],
  sessionGetInputName: [36, 'void *', ['void *', 'size_t', 'void *', 'void *']],
  sessionGetOutputName: [37, 'void *', ['void *', 'size_t', 'void *', 'void *']],
  sessionGetOverridableInitializerName: [38, 'void *', ['void *', 'size_t', 'void *', 'void *']],
  createRunOptions: [39, 'void *', ['void *']],
  runOptionsSetTerminate: [46, 'void *', ['void *']],
  createTensorAsOrtValue: [48, 'void *', ['void *', 'void *', 'size_t', 'int', 'void *']],
  createTensorWithDataAsOrtValue: [49, 'void *', ['void *', 'void *', 'size_t', 'void *', 'size_t', 'int', 'void *']],
  getTensorMutableData: [51, 'void *', ['void *', 'void *']],
  getStringTensorDataLength: [53, 'void *', ['void *', 'void *']],
  getStringTensorContent: [54, 'void *', ['void *', 'void *', 'size_t', 'void *', 'size_t']],
  castTypeInfoToTensorInfo: [55, 'void *', ['void *', 'void *']],
  getOnnxTypeFromTypeInfo: [56, 'void *', ['void *', 'void *']],
  getTensorElementType: [60, 'void *', ['void *', 'void *']],
  getDimensionsCount: [61, 'void *', ['void *', 'void *']],
  getDimensions: [62, 'void *', ['void *', 'void *', 'size_t']],
  getSymbolicDimensions: [63, 'void *', ['void *', 'void *', 'size_t']],
  getTensorTypeAndShape: [65, 'void *', ['void *', 'void *']],
  getValueType: [67, 'void *', ['void *', 'void *']],
  createCpuMemoryInfo: [69, 'void *', ['int', 'int', 'void *']],
  allocatorFree: [76, 'void *', ['void *', 'void *']],
  getAllocatorWithDefaultOptions: [78, 'void *', ['void *']],
  releaseStatus: [93, 'void', ['void *']],
  releaseSession: [95, 'void', ['void *']],
  releaseValue: [96, 'void', ['void *']],
  releaseRunOptions: [97, 'void', ['void *']],
  releaseTypeInfo: [98, 'void', ['void *']],
  releaseTensorTypeAndShapeInfo: [99, 'void', ['void *']],
  releaseSessionOptions: [100, 'void', ['void *']],
  addSessionConfigEntry: [130, 'void *', ['void *', 'const char *', 'const char *']],
  createAndRegisterAllocator: [144, 'void *', ['void *', 'void *', 'void *']],
  addInitializer: [150, 'void *', ['void *', 'const char *', 'void *']],
  releaseArenaCfg: [157, 'void', ['void *']],
  createArenaCfgV2: [164, 'void *', ['void *', 'void *', 'size_t', 'void *']],
  addRunConfigEntry: [165, 'void *', ['void *', 'const char *', 'const char *']],
  createPrepackedWeightsContainer: [166, 'void *', ['void *']],
  createSessionWithPrepackedWeightsContainer: [168, 'void *', ['void *', PATH, 'void *', 'void *', 'void *']],
  hasValue: [192, 'void *', ['void *', 'void *']],
  castTypeInfoToOptionalTypeInfo: [250, 'void *', ['void *', 'void *']],
  getOptionalContainedTypeInfo: [251, 'void *', ['void *', 'void *']],
  getResizedStringTensorElementBuffer: [252, 'void *', ['void *', 'size_t', 'size_t', 'void *']],
  tensorTypeAndShapeHasShape: [390, 'bool', ['void *']],
} as const satisfies Record<string, readonly [place: number, result: string, parameters: readonly string[]]>;

export type FunctionName = keyof typeof SIGNATURES;

/** A pointer, a number, a C string, or memory of ours that the library may read or write during the call. */
type Argument = Pointer | number | string | ArrayBufferView | null;
/** An argument as another thread takes it. */
export type PlainArgument = Exclude<Argument, ArrayBufferView>;
/** Calls `run` on a thread of its own, one after the other, and gives what it gave: its status. */
export type RunCaller = (values: readonly PlainArgument[]) => Promise<Pointer | null>;

interface NativeFunction {
  (...values: Argument[]): unknown;
  /** On a thread of libuv's pool; the last one is told the result. */
  readonly async: (...values: [...Argument[], (error: Error | null, result: unknown) => void]) => void;
}

/** A status of the library as an error; its message is ONNX Runtime's own. */
class OrtError extends Error {
  override readonly name = 'OrtError';
}

export class OrtApi {
  readonly version: string;
  /** Where `run` is, for a thread that is to call it: see `runAt`. */
  readonly runAddress: Pointer;
  readonly #functions: Readonly<Record<FunctionName, NativeFunction>>;
  /** What a function writes a pointer or count to. One call at a time: the thread that owns this object makes them all. */
  readonly #out = new BigUint64Array(1);
  /** Arguments of the calls that are under way aside: their memory must not be collected. */
  readonly #lent = new Set<readonly Argument[]>();
  /** Keeps the library loaded: koffi unloads one whose handle nobody holds, under functions that are still in use. */
  readonly #library: LibraryHandle;

  /** @throws Error, one line, where the library is missing or another one than this code knows */
  constructor(libraryPath = defaultLibraryPath()) {
    this.#library = koffi.load(libraryPath);
    const getBase = this.#library.func('OrtGetApiBase', 'void *', []) as NativeFunction;
    const base = getBase() as Pointer;
    // struct OrtApiBase { const OrtApi *(*GetApi)(uint32_t version); const char *(*GetVersionString)(void); }
    const getApi = functionAt(pointerAt(base, 0), 'void *', ['uint32_t']);
    const getVersion = functionAt(pointerAt(base, 1), 'const char *', []);
    this.version = getVersion() as string;
    if (this.version !== KNOWN_VERSION) {
      throw new Error(
        `${libraryPath} is ONNX Runtime ${this.version}, and Sponge knows ${KNOWN_VERSION}; install onnxruntime-node ${KNOWN_VERSION}`,
      );
    }
    const table = getApi(API_VERSION) as Pointer;
    this.runAddress = pointerAt(table, SIGNATURES.run[0]);
    this.#functions = Object.fromEntries(
      Object.entries(SIGNATURES).map(([name, [place, result, parameters]]) => [
        name,
        functionAt(pointerAt(table, place), result, parameters),
      ]),
    ) as Record<FunctionName, NativeFunction>;
  }

  /** Calls a function that answers with a status. @throws OrtError */
  check(name: FunctionName, ...values: Argument[]): void {
    this.#judge(this.#functions[name](...values) as Pointer | null);
  }

  /** The same on a thread of libuv's pool; what addresses point to must stay until it is done. */
  async checkAside(name: FunctionName, ...values: Argument[]): Promise<void> {
    const status = await this.#lending(
      values,
      () =>
        new Promise<Pointer | null>((resolve, reject) => {
          this.#functions[name].async(...values, (error, result) => {
            if (error === null) resolve(result as Pointer | null);
            else reject(error);
          });
        }),
    );
    this.#judge(status);
  }

  /** `run` on a thread of the caller's. @throws OrtError */
  async checkRunOn(call: RunCaller, ...values: Argument[]): Promise<void> {
    this.#judge(await this.#lending(values, () => call(values.map(plain))));
  }

  async #lending<Result>(values: readonly Argument[], act: () => Promise<Result>): Promise<Result> {
    this.#lent.add(values);
    try {
      return await act();
    } finally {
      this.#lent.delete(values);
    }
  }

  #judge(status: Pointer | null): void {
    if (status === null) return;
    const message = this.#functions.getErrorMessage(status) as string;
    this.#functions.releaseStatus(status);
    throw new OrtError(message);
  }

  /** The same for a function whose last parameter says where to write a pointer; owned by the caller. @throws OrtError */
  pointer(name: FunctionName, ...values: Argument[]): Pointer {
    this.#out[0] = 0n;
    this.check(name, ...values, this.#out);
    return this.#out[0];
  }

  async pointerAside(name: FunctionName, ...values: Argument[]): Promise<Pointer> {
    const out = new BigUint64Array(1);
    await this.checkAside(name, ...values, out);
    return out[0]!;
  }

  /** The same for a count or an enumeration. */
  count(name: FunctionName, ...values: Argument[]): number {
    return Number(this.pointer(name, ...values));
  }

  /** Calls a function that cannot fail. */
  call(name: FunctionName, ...values: Argument[]): unknown {
    return this.#functions[name](...values);
  }
}

/** Memory of the library as a buffer, without a copy; not to be touched once what owns it is released. */
export function viewOf(address: Pointer, byteCount: number): Uint8Array<ArrayBuffer> {
  return new Uint8Array(koffi.view(address, byteCount));
}

/** Where a buffer's bytes lie; valid while the buffer is referenced. Its memory is never moved: it is not on V8's heap. */
export function addressOf(memory: ArrayBufferView): Pointer {
  return koffi.address(memory);
}

/** `run` of `OrtApi.runAddress`, in whichever JavaScript engine of this process this is. */
export function runAt(address: Pointer): (values: readonly PlainArgument[]) => Pointer | null {
  // koffi has no memory for an engine's calls before it has loaded something there: this program will do.
  koffi.load(null);
  const [, result, parameters] = SIGNATURES.run;
  const run = functionAt(address, result, parameters);
  return (values) => run(...values) as Pointer | null;
}

function plain(value: Argument): PlainArgument {
  return ArrayBuffer.isView(value) ? addressOf(value) : value;
}

/** Text that ends at its first NUL. */
export function textAt(address: Pointer): string {
  return koffi.decode.string(address);
}

function pointerAt(table: Pointer, place: number): Pointer {
  return koffi.decode(table, place * koffi.sizeof('void *'), 'void *') as Pointer;
}

function functionAt(address: Pointer, result: string, parameters: readonly string[]): NativeFunction {
  return koffi.decode(address, koffi.proto(result, [...parameters])) as NativeFunction;
}

const LIBRARY_FILES: Readonly<Record<string, string>> = {
  linux: 'libonnxruntime.so.1',
  darwin: 'libonnxruntime.1.dylib',
  win32: 'onnxruntime.dll',
};

/**
 * In the package of this platform, as installed from the registry (release/pack.ts makes it), or in `onnxruntime-node`, which has a folder
 * for each, as in a clone; found without running a package's own code.
 */
function defaultLibraryPath(): string {
  const { platform, arch } = process;
  const file = LIBRARY_FILES[platform];
  if (file === undefined)
    throw new Error(`ONNX Runtime has no library for ${platform}; serve on Linux, macOS or Windows`);
  const ofPlatform = `sponge-inference-onnxruntime-${platform}-${arch}`;
  const places = [
    [ofPlatform, file],
    ['onnxruntime-node', join('bin', 'napi-v6', platform, arch, file)],
  ] as const;
  const found = places.map(([name, path]) => inPackage(name, path)).find((path) => path !== null);
  if (found !== undefined) return found;
  throw new Error(`ONNX Runtime's library for ${platform} ${arch} is not installed: npm install ${ofPlatform}`);
}

/** Null where there is no such package, or it has no such file. */
function inPackage(name: string, path: string): string | null {
  try {
    const file = join(dirname(createRequire(import.meta.url).resolve(`${name}/package.json`)), path);
    return existsSync(file) ? file : null;
  } catch {
    return null;
  }
}
