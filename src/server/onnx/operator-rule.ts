import type { FlowValue } from './batch-flow.js';
import type { GraphNode } from './model-graph.js';

/** What a rule is asked about. */
export interface OperatorCall {
  readonly node: GraphNode;
  /** Version of the operator set that the node's domain is read by. */
  readonly opset: number;
  /** Null for an optional input that is left out. */
  readonly inputs: readonly (FlowValue | null)[];
}

/**
 * What flows out of an operator, for each of its outputs; fewer where the rest is never used.
 * @throws Coupled, Unknown
 */
export type OperatorRule = (call: OperatorCall) => readonly FlowValue[];
