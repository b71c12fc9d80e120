import { asOneLine } from '../../protocol/one-line.js';
import { UnsupportedModelError } from '../onnx-runtime/unsupported-model-error.js';

/** Why a model did not load: one line, cause and remedy, for the person who runs the server. */

const MAX_MESSAGE_CHARACTERS = 400;

/** A message of ONNX Runtime or the system as one line of bounded length. */
export function oneLine(error: unknown): string {
  return asOneLine(error instanceof Error ? error.message : String(error), MAX_MESSAGE_CHARACTERS);
}

export function describeLoadFailure(modelPath: string, error: unknown): string {
  return `cannot load ${modelPath}: ${explain(error)}`;
}

function explain(error: unknown): string {
  const message = oneLine(error);
  if (error instanceof UnsupportedModelError) return message;
  const code = error instanceof Error && 'code' in error ? error.code : undefined;
  if (code === 'ENOENT') return 'no such file; check the path';
  if (code === 'EACCES' || code === 'EPERM') return 'permission denied; make the file readable for this user';
  if (message.includes('Protobuf parsing failed') || message.includes('ModelProto does not have a graph')) {
    return 'not an ONNX model, or damaged; export or download it again';
  }
  if (message.includes('is a directory')) return 'a directory, not a model file; name the .onnx file in it';
  return `${message}; check that the model and its opset suit this ONNX Runtime`;
}
