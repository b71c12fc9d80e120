import { expect, it } from 'vitest';
import { isExposed } from './exposure.js';

it('a server is exposed where others reach it and it has neither TLS nor tokens', () => {
  const states = [false, true].flatMap((isPrivate) =>
    [false, true].flatMap((isEncrypted) =>
      [false, true].map((asksForTokens) => ({ isPrivate, isEncrypted, asksForTokens })),
    ),
  );
  expect(states.filter(isExposed)).toEqual([{ isPrivate: false, isEncrypted: false, asksForTokens: false }]);
});
