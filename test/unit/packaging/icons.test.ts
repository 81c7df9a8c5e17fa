import { strict as assert } from 'node:assert';
import { describe, it } from 'node:test';
import { nodeNames, read } from './pack';

describe('the icons', () => {
  const seen = new Set<string>();
  for (const name of nodeNames) {
    it(`${name}: white on transparent, two to three, a drawing of its own`, () => {
      const icon = read('icons', `${name}.svg`);
      assert.match(icon, /^<svg xmlns="http:\/\/www\.w3\.org\/2000\/svg" width="40" height="60" viewBox="0 0 40 60">/);
      const colours = [...icon.replace(/<mask[\s\S]*?<\/mask>/g, '').matchAll(/(?:fill|stroke)="([^"]+)"/g)].map((match) => match[1]);
      assert.ok(colours.length > 0);
      for (const colour of colours) assert.ok(colour === '#fff' || colour === 'none', String(colour));
      assert.doesNotMatch(icon, /<(?:script|image|style|foreignObject|use|text)\b|href|url\((?!#)/);
      assert.ok(!seen.has(icon));
      seen.add(icon);
    });
  }
});
