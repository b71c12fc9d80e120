import { describeCorpus } from './corpus-suite.js';
import { SAMPLE_MODELS } from './sample-models.js';

describeCorpus('models that do not run on any input', SAMPLE_MODELS);
