/** A model, or its file, is at fault; the message says all of it. */
export class UnsupportedModelError extends Error {
  override readonly name = 'UnsupportedModelError';
}
