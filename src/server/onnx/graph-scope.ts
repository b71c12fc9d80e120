import type { Graph, GraphNode, GraphTensor } from './model-graph.js';

/** Null for a size that is open. */
export type KnownShape = readonly (number | null)[];

/** No tensor has more axes; a file that says otherwise is not believed. */
const MOST_AXES = 64;

/** Their result has the shape of their first input. */
const SHAPE_KEEPING: ReadonlySet<string> = new Set(['Identity', 'Cast', 'QuantizeLinear', 'DequantizeLinear']);

/** What is known of a graph's values without following it, and of those of the graphs around it, which it may use as well. */
export class GraphScope {
  readonly #outer: GraphScope | null;
  readonly #shapes = new Map<string, KnownShape>();
  readonly #elementTypes = new Map<string, number>();
  readonly #constants = new Map<string, readonly number[]>();

  constructor(graph: Graph, outer: GraphScope | null) {
    this.#outer = outer;
    for (const values of [graph.declared, graph.inputs, graph.outputs]) {
      for (const { name, elementType, shape } of values) {
        if (shape !== null) this.#declare(name, shape);
        this.#elementTypes.set(name, elementType);
      }
    }
    for (const [name, tensor] of graph.initializers) this.#addTensor(name, tensor);
    for (const node of graph.nodes) this.#addNode(node);
  }

  shapeOf(name: string): KnownShape | null {
    return this.#shapes.get(name) ?? this.#outer?.shapeOf(name) ?? null;
  }

  /** `TensorProto.DataType`; 0 where it is not known. */
  elementTypeOf(name: string): number {
    return this.#elementTypes.get(name) ?? this.#outer?.elementTypeOf(name) ?? 0;
  }

  /** Elements of a small constant. */
  numbersOf(name: string): readonly number[] | null {
    return this.#constants.get(name) ?? this.#outer?.numbersOf(name) ?? null;
  }

  #declare(name: string, shape: readonly (number | string)[]): void {
    if (shape.length > MOST_AXES) return;
    this.#shapes.set(
      name,
      shape.map((size) => (typeof size === 'number' ? size : null)),
    );
  }

  #addTensor(name: string, { shape, elementType, numbers }: GraphTensor): void {
    this.#declare(name, shape);
    this.#elementTypes.set(name, elementType);
    if (numbers !== null) this.#constants.set(name, numbers);
  }

  #addNode({ operator, domain, inputs, outputs, attributes }: GraphNode): void {
    const [output] = outputs;
    if (domain !== '' || output === undefined) return;
    if (operator === 'Constant') {
      const tensor = attributes.get('value')?.tensor;
      const numbers = attributes.get('value_ints')?.ints ?? [attributes.get('value_int')?.int ?? []].flat();
      if (tensor != null) this.#addTensor(output, tensor);
      else if (numbers.length > 0) this.#constants.set(output, numbers);
    } else if (SHAPE_KEEPING.has(operator) && !this.#shapes.has(output)) {
      const shape = this.shapeOf(inputs[0] ?? '');
      if (shape !== null) this.#shapes.set(output, shape);
    }
  }
}
