import { writeFileSync } from 'node:fs';

/** For its owner alone where we make it, as what is measured tells of models and traffic; one that is there keeps its mode. */
export function writeOwnFile(path: string, text: string): void {
  writeFileSync(path, text, { mode: 0o600 });
}
