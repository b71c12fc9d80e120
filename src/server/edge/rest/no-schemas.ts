/**
 * No route has a schema: what comes in is checked by code of our own. Fastify would load its compilers of schemas all the same, a fifth of the
 * CPU of a start.
 */
export const NO_SCHEMAS = { compilersFactory: { buildValidator: compile, buildSerializer: compile } };

function compile(): never {
  throw new Error('a route of the REST server has a schema, and there is nothing that compiles it');
}
