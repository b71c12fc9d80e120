import {
  Coupled,
  dimensionsOf,
  freshDimension,
  intsAttribute,
  Unknown,
  valueOf,
  type FlowValue,
} from './batch-flow.js';
import { areEqual, type Dimension } from './dimension.js';
import type { OperatorRule } from './operator-rule.js';

/*
 * Operators on images, which have the rows on their first axis, and change the sizes of the others.
 */

/** Images: rows first, then what the operator works on. */
export function onFirstAxis(input: FlowValue, rank: number): FlowValue {
  if (input.batchAxis === null) return valueOf(null);
  const dimensions = dimensionsOf(input);
  if (input.batchAxis !== 0 || dimensions.length !== rank) throw new Coupled('the rows are not on its first axis');
  return valueOf([dimensions[0]!, ...dimensions.slice(1).map(freshDimension)], 0);
}

const depthToSpace: OperatorRule = ({ inputs: [input] }) => [onFirstAxis(input!, 4)];

const resize: OperatorRule = ({ node, opset, inputs }) => {
  const [input] = inputs;
  const { dimensions, batchAxis } = input!;
  if (batchAxis === null) return [valueOf(dimensions?.map(freshDimension) ?? null)];
  for (const parameter of inputs.slice(1)) {
    if (parameter !== null && parameter.batchAxis !== null) {
      throw new Coupled('how it scales depends on the rows');
    }
  }
  if (intsAttribute(node, 'axes') !== null || batchAxis !== 0) throw new Unknown('which axes it scales is not known');
  const isStretched = ['', 'stretch'].includes(node.attributes.get('keep_aspect_ratio_policy')?.text ?? '');
  const isCut = node.attributes.get('coordinate_transformation_mode')?.text === 'tf_crop_and_resize';
  if (!isStretched || isCut) throw new Unknown('whether it scales the rows is not known');
  const sizes = opset < 11 ? null : inputs[3];
  if (sizes == null) {
    const scales = (opset < 10 && node.operator === 'Upsample' ? inputs[1] : inputs[opset < 11 ? 1 : 2])?.numbers;
    if (scales == null) throw new Unknown('its scales are not known');
    if (scales[0] !== 1) throw new Coupled('rows are scaled');
    const [rows, ...others] = dimensionsOf(input!);
    return [valueOf([rows!, ...others.map((each, i) => (scales[i + 1] === 1 ? each : freshDimension()))], 0)];
  }
  const first = sizes.sizes?.[0];
  if (first == null || !areEqual(first, dimensionsOf(input!)[0]!)) throw new Coupled('rows are scaled');
  if (sizes.sizes!.includes(null)) throw new Coupled('how it scales depends on the number of rows');
  return [valueOf(sizes.sizes as readonly Dimension[], 0)];
};

export const IMAGE_RULES: ReadonlyMap<string, OperatorRule> = new Map<string, OperatorRule>([
  ['DepthToSpace', depthToSpace],
  ['SpaceToDepth', depthToSpace],
  ['Resize', resize],
  ['Upsample', resize],
]);
