export interface Exposure {
  /** Only this machine reaches the listeners. */
  readonly isPrivate: boolean;
  /** They speak TLS. */
  readonly isEncrypted: boolean;
  readonly asksForTokens: boolean;
}

/** Whether an operator should be told that whoever reaches the server may use it, or listen in. */
export function isExposed({ isPrivate, isEncrypted, asksForTokens }: Exposure): boolean {
  return !isPrivate && !isEncrypted && !asksForTokens;
}
