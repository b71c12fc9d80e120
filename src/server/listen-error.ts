/** Why a port could not be opened: one line, cause and remedy. @param flag that chooses another, `--port` */
export function explainListenError(error: unknown, host: string, port: number, flag: string): string {
  const { code, message } = error as NodeJS.ErrnoException;
  switch (code) {
    case 'EADDRINUSE':
      return `port ${port} on ${host} is in use: end the program that has it, or choose another with ${flag}`;
    case 'EACCES':
      return `port ${port} needs rights that this process lacks: choose one above 1023 with ${flag}`;
    case 'EADDRNOTAVAIL':
    case 'ENOTFOUND':
      return `${host} is not an address of this machine: choose one with --host`;
    default:
      return `cannot listen on ${host}:${port}: ${message}`;
  }
}
