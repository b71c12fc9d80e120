import { researchProgram } from './cli/experiments.js';
import { runProgram } from '../src/cli/run-program.js';

/* `npm run research -- <name>`: how our numbers, and the paper's, come about. Not part of the package. */

await runProgram(researchProgram());
