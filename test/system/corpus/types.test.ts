import { describeCorpus } from './corpus-suite.js';
import { TYPE_MODELS } from './type-models.js';

describeCorpus('every kind of tensor', TYPE_MODELS);
