import { describeCorpus } from './corpus-suite.js';
import { ROW_MODELS } from './row-models.js';

describeCorpus('rows that have to do with each other, and rows that have not', ROW_MODELS);
