import { describe, expect, it } from 'vitest';
import { ModelListings } from './model-listings.js';
import type { ModelSource } from './model-repository.js';
import { NO_SETTINGS } from './model-settings.js';
import type { ServedModel } from '../served/served-model.js';

function sourceOf(name: string, version: string): ModelSource {
  const folder = `/models/${name}/${version}`;
  return {
    ...{ name, version, modelPath: `${folder}/model.onnx` },
    ...{ profilePath: `${folder}/model.profile.json`, settings: NO_SETTINGS },
  };
}

/** As far as it is listed. */
function servedOf(name: string, version: string): ServedModel {
  const signature = { inputs: [], outputs: [] };
  return {
    source: sourceOf(name, version),
    state: 'READY',
    stateReason: '',
    contract: { clients: signature },
  } as unknown as ServedModel;
}

function statesOf(listings: ModelListings): readonly string[] {
  return listings
    .entries()
    .map(({ name, version, state, stateReason }) => `${name} ${version} ${state} ${stateReason}`);
}

describe('the listings of models', () => {
  it('give a call without a version the highest that is served, and any other one by its number', () => {
    const listings = new ModelListings();
    const [two, ten] = [servedOf('a', '2'), servedOf('a', '10')];
    listings.add(ten);
    listings.add(two);
    listings.expect(sourceOf('a', '11'));
    expect(listings.find('a').served).toBe(ten);
    expect(listings.find('a', '2').served).toBe(two);
    expect(listings.entry('a', '2').versions).toEqual(['2', '10']);
    expect(() => listings.find('a', '11')).toThrow("model 'a' is still being loaded");
    expect(() => listings.find('a', '3')).toThrow("'a' has no version 3 here, only 2, 10");
    expect(() => listings.find('b')).toThrow("'b' is not served here");
  });

  it('have one take the place of another in one step, and forget the other when it has ended', () => {
    const listings = new ModelListings();
    const [one, two] = [servedOf('a', '1'), servedOf('a', '2')];
    listings.add(one);
    listings.expect(two.source);
    expect(listings.find('a').served).toBe(one);
    listings.add(two);
    listings.end(one);
    expect(listings.find('a').served).toBe(two);
    expect(() => listings.find('a', '1')).toThrow("'a' is being unloaded");
    expect(statesOf(listings)).toEqual(['a 1 UNLOADING the model is answering what it has', 'a 2 READY ']);
    listings.forgetEnded(one);
    expect(statesOf(listings)).toEqual(['a 2 READY ']);
  });

  it('have one of the same version take its place, whose end is nothing to them', () => {
    const listings = new ModelListings();
    const [old, successor] = [servedOf('a', '1'), servedOf('a', '1')];
    listings.add(old);
    listings.expect(successor.source);
    listings.fail(successor.source, 'it is broken');
    // What goes on is what is told of.
    expect(statesOf(listings)).toEqual(['a 1 READY ']);
    listings.add(successor);
    listings.end(old);
    listings.forgetEnded(old);
    expect(listings.find('a', '1').served).toBe(successor);
    listings.end(successor);
    listings.forgetEnded(successor);
    expect(listings.entries()).toEqual([]);
  });

  it('say why one is not served, without where it lies', () => {
    const listings = new ModelListings();
    const source = sourceOf('a', '1');
    listings.expect(source);
    listings.fail(source, `${source.modelPath} is no model, says /models/a/model.yaml`);
    expect(() => listings.find('a')).toThrow("model 'a' could not be loaded: model.onnx is no model, says model.yaml");
    listings.forgetUnserved(source);
    expect(listings.entries()).toEqual([]);
  });
});
