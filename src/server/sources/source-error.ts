/** What could not be fetched and why, in one line with its remedy. */
export class SourceError extends Error {
  override readonly name = 'SourceError';
  /** It may be different in a moment: nobody answered, or the server was at fault. What is in the cache will do meanwhile. */
  readonly isPassing: boolean;

  constructor(message: string, isPassing = false) {
    super(message);
    this.isPassing = isPassing;
  }
}
