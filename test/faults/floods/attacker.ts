import { attack, FLOODS } from './floods.js';

/* A process of its own, so that what a flood costs its sender does not slow down who watches the server. */

const [name, port, durationMs] = process.argv.slice(2);
const end = AbortSignal.timeout(Number(durationMs));
process.send!(await attack(FLOODS[name!]!, Number(port), end));
process.disconnect();
