import { ELEMENT_BYTES, elementCount, type Datatype } from '../../scheduler/domain/tensor.js';
import { ELEMENT_TYPES } from '../onnx-runtime/element-types.js';
import { ProtobufMessage } from './protobuf-writer.js';

/*
 * Writes ONNX model files: enough of the format for the graphs that this project makes itself. Field numbers are those
 * of the public schema, github.com/onnx/onnx, `onnx/onnx.proto`. Nothing is checked here beyond the sizes of weights;
 * ONNX Runtime checks the graph when it loads it.
 */

/** Intermediate representation 8 and operator set 17 came with ONNX 1.12 (2022): every ONNX Runtime since 1.12 reads them. */
const IR_VERSION = 8;
const OPERATOR_SET = 17;

/**
 * One entry an axis, outermost first: a fixed size, or the name of a size that the caller chooses for each run. Null where
 * not even the rank is declared.
 */
type OnnxShape = readonly (number | string)[] | null;

/** An operator's attribute; the key says its ONNX type, which a JavaScript number cannot. */
type OnnxAttribute =
  | { readonly int: number }
  | { readonly ints: readonly number[] }
  | { readonly text: string }
  | { readonly graph: OnnxGraph };

/** What ONNX can keep as raw bytes: everything but strings. */
type RawDatatype = Exclude<Datatype, 'BYTES'>;

/**
 * A graph under construction: operators are added in the order they run, each named value is made once. Values are
 * referred to by name; a subgraph (the body of a Loop) may also use the values of the graph around it.
 */
export class OnnxGraph {
  readonly #name: string;
  readonly #inputs: ProtobufMessage[] = [];
  readonly #outputs: ProtobufMessage[] = [];
  readonly #constants: ProtobufMessage[] = [];
  readonly #nodes: ProtobufMessage[] = [];
  readonly #domains = new Set<string>();
  #parameterCount = 0;

  /** @param name also the prefix of the values that are not named by the caller */
  constructor(name: string) {
    this.#name = name;
  }

  /** Elements in all constants so far. */
  get parameterCount(): number {
    return this.#parameterCount;
  }

  /** Declares an input and returns its name. */
  input(name: string, datatype: Datatype, shape: OnnxShape): string {
    this.#inputs.push(valueInfo(name, datatype, shape));
    return name;
  }

  /** Declares that the value `name` is an output. */
  output(name: string, datatype: Datatype, shape: OnnxShape): void {
    this.#outputs.push(valueInfo(name, datatype, shape));
  }

  /**
   * Adds a constant (ONNX: initializer) and returns its name.
   * @param data row-major, in the machine's byte order, which must be little-endian; not copied, so leave it unchanged
   */
  constant(name: string, datatype: RawDatatype, shape: readonly number[], data: ArrayBufferView): string {
    const byteCount = elementCount(shape) * ELEMENT_BYTES[datatype];
    if (data.byteLength !== byteCount) {
      throw new RangeError(
        `constant ${name}: ${data.byteLength} bytes given, [${shape.join(', ')}] needs ${byteCount}`,
      );
    }
    this.#parameterCount += elementCount(shape);
    const tensor = new ProtobufMessage();
    for (const size of shape) tensor.integer(TENSOR.dims, size);
    tensor
      .integer(TENSOR.dataType, ELEMENT_TYPES[datatype])
      .text(TENSOR.name, name)
      .bytes(TENSOR.rawData, new Uint8Array(data.buffer, data.byteOffset, data.byteLength));
    this.#constants.push(tensor);
    return name;
  }

  /**
   * Adds an operator and returns the name of its (first and only) result.
   * @param operator its domain in front, `com.microsoft.QuickGelu`, where that is not ONNX's own
   * @param inputs value names; '' leaves an optional input out
   * @param result the name to give the result; made up when absent
   */
  add(
    operator: string,
    inputs: readonly string[],
    attributes: Readonly<Record<string, OnnxAttribute>> = {},
    result = `${this.#name}/${operator}_${this.#nodes.length}`,
  ): string {
    this.addMany(operator, inputs, attributes, [result]);
    return result;
  }

  /** The same for an operator of several results; '' for one that is not wanted. */
  addMany(
    operator: string,
    inputs: readonly string[],
    attributes: Readonly<Record<string, OnnxAttribute>>,
    results: readonly string[],
  ): void {
    const node = new ProtobufMessage();
    for (const input of inputs) node.text(NODE.input, input);
    for (const result of results) node.text(NODE.output, result);
    const dot = operator.lastIndexOf('.');
    const domain = operator.slice(0, Math.max(0, dot));
    node.text(NODE.name, results.find((result) => result !== '') ?? '').text(NODE.operator, operator.slice(dot + 1));
    if (domain !== '') {
      node.text(NODE.domain, domain);
      this.#domains.add(domain);
    }
    for (const [name, attribute] of Object.entries(attributes)) {
      node.message(NODE.attribute, encodeAttribute(name, attribute));
    }
    this.#nodes.push(node);
  }

  /**
   * Adds an input that has a value of its own, which a request may leave out (ONNX: an initializer that is also an input), and
   * returns its name. `data` as for `constant`.
   */
  optionalInput(name: string, datatype: RawDatatype, shape: readonly number[], data: ArrayBufferView): string {
    return this.input(this.constant(name, datatype, shape, data), datatype, shape);
  }

  /** The graph as a complete model file. Domains that are not ONNX's own are of their first version. */
  toModel(operatorSet = OPERATOR_SET): Uint8Array<ArrayBuffer> {
    const model = new ProtobufMessage()
      .integer(MODEL.irVersion, IR_VERSION)
      .text(MODEL.producerName, 'sponge')
      .message(MODEL.graph, this.toMessage())
      .message(MODEL.operatorSetImport, operatorSetId('', operatorSet));
    for (const domain of this.#domains) model.message(MODEL.operatorSetImport, operatorSetId(domain, 1));
    return model.toBytes();
  }

  /** The bare GraphProto, as a subgraph attribute carries it. */
  toMessage(): ProtobufMessage {
    const graph = new ProtobufMessage();
    for (const node of this.#nodes) graph.message(GRAPH.node, node);
    graph.text(GRAPH.name, this.#name);
    for (const constant of this.#constants) graph.message(GRAPH.initializer, constant);
    for (const input of this.#inputs) graph.message(GRAPH.input, input);
    for (const output of this.#outputs) graph.message(GRAPH.output, output);
    return graph;
  }
}

function operatorSetId(domain: string, version: number): ProtobufMessage {
  return new ProtobufMessage().text(OPERATOR_SET_ID.domain, domain).integer(OPERATOR_SET_ID.version, version);
}

/** ValueInfoProto { name, TypeProto { TypeProto.Tensor { element type, TensorShapeProto } } } */
function valueInfo(name: string, datatype: Datatype, shape: OnnxShape): ProtobufMessage {
  const tensorType = new ProtobufMessage().integer(TENSOR_TYPE.elementType, ELEMENT_TYPES[datatype]);
  if (shape !== null) {
    const axes = new ProtobufMessage();
    for (const size of shape) {
      const axis = new ProtobufMessage();
      axes.message(SHAPE.axis, typeof size === 'string' ? axis.text(AXIS.name, size) : axis.integer(AXIS.size, size));
    }
    tensorType.message(TENSOR_TYPE.shape, axes);
  }
  return new ProtobufMessage()
    .text(VALUE_INFO.name, name)
    .message(VALUE_INFO.type, new ProtobufMessage().message(TYPE.tensor, tensorType));
}

function encodeAttribute(name: string, attribute: OnnxAttribute): ProtobufMessage {
  const message = new ProtobufMessage().text(ATTRIBUTE.name, name);
  if ('int' in attribute) {
    return message.integer(ATTRIBUTE.int, attribute.int).integer(ATTRIBUTE.type, ATTRIBUTE_TYPE.int);
  }
  if ('ints' in attribute) {
    for (const value of attribute.ints) message.integer(ATTRIBUTE.ints, value);
    return message.integer(ATTRIBUTE.type, ATTRIBUTE_TYPE.ints);
  }
  if ('text' in attribute)
    return message.text(ATTRIBUTE.text, attribute.text).integer(ATTRIBUTE.type, ATTRIBUTE_TYPE.text);
  return message.message(ATTRIBUTE.graph, attribute.graph.toMessage()).integer(ATTRIBUTE.type, ATTRIBUTE_TYPE.graph);
}

// Field numbers, one table a message, of those fields that are written here.
const MODEL = { irVersion: 1, producerName: 2, graph: 7, operatorSetImport: 8 };
const OPERATOR_SET_ID = { domain: 1, version: 2 };
const GRAPH = { node: 1, name: 2, initializer: 5, input: 11, output: 12 };
const NODE = { input: 1, output: 2, name: 3, operator: 4, attribute: 5, domain: 7 };
const ATTRIBUTE = { name: 1, int: 3, text: 4, graph: 6, ints: 8, type: 20 };
const ATTRIBUTE_TYPE = { int: 2, text: 3, graph: 5, ints: 7 };
const TENSOR = { dims: 1, dataType: 2, name: 8, rawData: 9 };
const VALUE_INFO = { name: 1, type: 2 };
const TYPE = { tensor: 1 };
const TENSOR_TYPE = { elementType: 1, shape: 2 };
const SHAPE = { axis: 1 };
const AXIS = { size: 1, name: 2 };
