/*
 * A `google.protobuf.FileDescriptorSet`, by what can be asked of it: its services, its files by name, and the file that declares a
 * symbol. The files are given out as the bytes that they are in the set.
 *
 * Field numbers are those of google/protobuf/descriptor.proto.
 */
import { BinaryReader, WireType } from '@bufbuild/protobuf/wire';

interface File {
  readonly bytes: Uint8Array;
  /** Names of the files it imports. */
  readonly imports: readonly string[];
}

/** Of `FileDescriptorProto`. */
const FILE = { name: 1, package: 2, import: 3, message: 4, enum: 5, service: 6 } as const;
/** Of a message's descriptor; each has its name as field 1. */
const MESSAGE = { field: 2, message: 3, enum: 4, oneof: 8 } as const;
const NAME = 1;
/** Of an enum's descriptor its values, of a service's its methods. */
const MEMBER = 2;

export class DescriptorIndex {
  readonly #files = new Map<string, File>();
  /** From the full name of a symbol to that of its file. */
  readonly #fileOfSymbol = new Map<string, string>();
  readonly #services: string[] = [];

  constructor(descriptorSet: Uint8Array) {
    for (const file of fieldsOf(descriptorSet).get(1) ?? []) this.#add(file);
  }

  /** Their full names. */
  get services(): readonly string[] {
    return this.#services;
  }

  /** A file and those it imports, itself first; null where there is none of that name. */
  filesOf(name: string): readonly Uint8Array[] | null {
    if (!this.#files.has(name)) return null;
    const names = new Set([name]);
    // What is added on the way is visited too.
    for (const each of names) for (const imported of this.#files.get(each)?.imports ?? []) names.add(imported);
    return [...names].flatMap((each) => this.#files.get(each)?.bytes ?? []);
  }

  /** The same for the file that declares a symbol: a message, a field, an enum or one of its values, a service or a method. */
  filesWith(symbol: string): readonly Uint8Array[] | null {
    const file = this.#fileOfSymbol.get(symbol);
    return file === undefined ? null : this.filesOf(file);
  }

  #add(bytes: Uint8Array): void {
    const fields = fieldsOf(bytes);
    const name = textOf(fields, FILE.name);
    const scope = textOf(fields, FILE.package);
    this.#files.set(name, { bytes, imports: (fields.get(FILE.import) ?? []).map(decodeText) });
    const declare = (symbol: string): unknown => this.#fileOfSymbol.set(symbol, name);
    for (const message of fields.get(FILE.message) ?? []) declareMessage(message, scope, declare);
    for (const each of fields.get(FILE.enum) ?? []) declareEnum(each, scope, declare);
    for (const service of fields.get(FILE.service) ?? []) {
      const [own, members] = namesOf(service, scope);
      this.#services.push(own);
      declare(own);
      for (const method of members) declare(`${own}.${method}`);
    }
  }
}

type Declare = (symbol: string) => unknown;

function declareMessage(descriptor: Uint8Array, scope: string, declare: Declare): void {
  const fields = fieldsOf(descriptor);
  const own = within(scope, textOf(fields, NAME));
  declare(own);
  for (const number of [MESSAGE.field, MESSAGE.oneof]) {
    for (const member of fields.get(number) ?? []) declare(within(own, textOf(fieldsOf(member), NAME)));
  }
  for (const nested of fields.get(MESSAGE.message) ?? []) declareMessage(nested, own, declare);
  for (const nested of fields.get(MESSAGE.enum) ?? []) declareEnum(nested, own, declare);
}

/** The values of an enum are its siblings. */
function declareEnum(descriptor: Uint8Array, scope: string, declare: Declare): void {
  const [own, values] = namesOf(descriptor, scope);
  declare(own);
  for (const value of values) declare(within(scope, value));
}

/** The full name of an enum or a service, and the names of its members. */
function namesOf(descriptor: Uint8Array, scope: string): [own: string, members: readonly string[]] {
  const fields = fieldsOf(descriptor);
  const members = (fields.get(MEMBER) ?? []).map((member) => textOf(fieldsOf(member), NAME));
  return [within(scope, textOf(fields, NAME)), members];
}

function within(scope: string, name: string): string {
  return scope === '' ? name : `${scope}.${name}`;
}

/** The length-delimited fields of a message, by number. */
function fieldsOf(message: Uint8Array): ReadonlyMap<number, readonly Uint8Array[]> {
  const fields = new Map<number, Uint8Array[]>();
  const reader = new BinaryReader(message);
  while (reader.pos < reader.len) {
    const [number, wireType] = reader.tag();
    if (wireType !== WireType.LengthDelimited) {
      reader.skip(wireType, number);
      continue;
    }
    const values = fields.get(number);
    if (values === undefined) fields.set(number, [reader.bytes()]);
    else values.push(reader.bytes());
  }
  return fields;
}

/** Empty where there is none. */
function textOf(fields: ReadonlyMap<number, readonly Uint8Array[]>, number: number): string {
  const value = fields.get(number)?.at(-1);
  return value === undefined ? '' : decodeText(value);
}

function decodeText(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString('utf8');
}
