import { get } from 'node:http';
import { connect } from 'node:net';

/*
 * The image's HEALTHCHECK: exit code 0 when the server is ready. Where it has TLS nothing can be asked without a name and perhaps a
 * certificate, so it is asked whether it accepts connections.
 */

const TIMEOUT_MS = 2500;
const { SPONGE_PORT: port = '8000', SPONGE_TLS_CERT: certificate } = process.env;
const server = { host: '127.0.0.1', port: Number(port), timeout: TIMEOUT_MS };

const attempt = certificate === undefined ? get({ ...server, path: '/v2/health/ready' }) : connect(server);
attempt.once('response', ({ statusCode }) => process.exit(statusCode === 200 ? 0 : 1));
attempt.once('connect', () => certificate !== undefined && process.exit(0));
attempt.once('timeout', () => process.exit(1));
attempt.once('error', () => process.exit(1));
