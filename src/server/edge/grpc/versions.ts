/** A requested model version; empty in a message is absent: the latest. */
export function versionOf(version: string): string | undefined {
  return version === '' ? undefined : version;
}
