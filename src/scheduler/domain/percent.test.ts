import { expect, it } from 'vitest';
import { percentOfAll, percentText, shortPercentText } from './percent.js';

it('says shares in percent, and 100 of a share only where it is all', () => {
  expect([percentText(0.1234, 1), percentText(0, 2)]).toEqual(['12.3 %', '0.00 %']);
  expect([shortPercentText(0.000_49), shortPercentText(0.12)]).toEqual(['0.049 %', '12 %']);
  expect([1, 0.999_99, 0.9995, 0.987_66, 0].map((share) => percentOfAll(share, 2))).toEqual([
    ...['100', '99.99', '99.95', '98.77', '0.00'],
  ]);
  expect([0.9999, 0.5].map((share) => percentOfAll(share, 1))).toEqual(['99.9', '50.0']);
});
