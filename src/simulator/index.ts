/*
 * `sponge-inference/simulator`: scenarios on a virtual clock, under any policy by its name, as `sponge simulate` runs them.
 */
export { simulate } from './comparison/simulate.js';
export type { ScenarioFile, SimulateOptions, SimulationResults } from './comparison/simulate.js';
export { readScenario, readyScenarios } from './scenarios/scenario-files.js';
export { parseScenario } from './scenarios/parse-scenario.js';
export type { Scenario } from './scenarios/schema.js';
export { checkPolicy, policyTitles } from './policies/policies.js';
export type { PolicySummary, SimulationSummary } from './comparison/summary.js';
