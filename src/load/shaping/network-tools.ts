import { execFileSync } from 'node:child_process';

/* `ip` and `tc`, and what is said where they cannot do what they are asked. */

export type NetworkTool = 'ip' | 'tc';

/** Milliseconds of kernel work; more is a machine that hangs. */
const TOOL_TIMEOUT_MS = 10_000;

/**
 * Blocks for a few ms, so that no signal comes between two steps.
 * @param batch commands for `-batch -`, one a line
 * @throws Error, one line with a remedy
 */
export function runTool(tool: NetworkTool, args: readonly string[], batch: readonly string[] = []): string {
  try {
    return execFileSync(tool, args, {
      input: batch.map((line) => `${line}\n`).join(''),
      encoding: 'utf8',
      stdio: 'pipe',
      timeout: TOOL_TIMEOUT_MS,
    });
  } catch (error) {
    const { code, stderr } = error as { code?: string; stderr?: string };
    if (code === 'ENOENT')
      throw new Error(`--shaping tc needs ip and tc (package iproute2); ${REMEDY}`, { cause: error });
    throw new Error(`--shaping tc: ${toolFailure([tool, ...args].join(' '), stderr ?? '')}; ${REMEDY}`, {
      cause: error,
    });
  }
}

/** In one line: what they print first is what went wrong, the rest is where. */
export function toolFailure(command: string, stderr: string): string {
  return `"${command}" failed: ${stderr.trim().split('\n', 1)[0]! || 'without a word'}`;
}

const REMEDY = 'without them, use --shaping paced';

/** @throws Error where namespaces are out of reach, before anything is tried */
export function assertMayShape(): void {
  if (process.platform === 'linux' && process.getuid?.() === 0) return;
  throw new Error(`--shaping tc makes a network namespace, which takes Linux and root; ${REMEDY}`);
}
