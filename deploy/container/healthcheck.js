import { connect } from 'node:net';

/*
 * The image's HEALTHCHECK: exit code 0 when the server is ready. Where it has TLS nothing can be asked without a name and perhaps a
 * certificate, so it is asked whether it accepts connections.
 */

const port = Number(process.env.SPONGE_PORT ?? 8000);
const TIMEOUT_MS = 2500;

try {
  const isReady = process.env.SPONGE_TLS_CERT === undefined ? await answersReady() : await accepts();
  process.exit(isReady ? 0 : 1);
} catch {
  process.exit(1);
}

async function answersReady() {
  const response = await fetch(`http://127.0.0.1:${port}/v2/health/ready`, { signal: AbortSignal.timeout(TIMEOUT_MS) });
  return response.ok;
}

function accepts() {
  return new Promise((resolve) => {
    const socket = connect({ port, host: '127.0.0.1', timeout: TIMEOUT_MS });
    const end = (isThere) => {
      socket.destroy();
      resolve(isThere);
    };
    socket.once('connect', () => end(true));
    socket.once('error', () => end(false));
    socket.once('timeout', () => end(false));
  });
}
