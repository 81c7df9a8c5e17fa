import { strict as assert } from 'node:assert';
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { form, LANGUAGES, nodeNames, nodesFolder, read, texts } from './pack';

/** Keys that scripts name, in this node's own files and in what the dialogs share. */
function keysInScripts(name: string): Set<string> {
  const own = readdirSync(join(nodesFolder, name)).filter((file) => file.endsWith('.editor.ts')).map((file) => read('nodes', name, file));
  return new Set(own.flatMap((source) => [...source.matchAll(/'((?:label|hint|group|unit|port|placeholder|echo|risk|per|validate|choice)\.[\w-]+)'/g)].map((match) => match[1] ?? '')));
}

const keysInForm = (name: string): Set<string> =>
  new Set([...form(name).matchAll(/data-i18n="([^"]+)"/g)].flatMap((match) => (match[1] ?? '').split(';')).map((key) => key.replace(/^\[[\w-]+\]/, '')));

const placeholders = (text: string): string[] => [...text.matchAll(/__\w+?__/g)].map((match) => match[0]).sort();

describe('the texts of the dialogs', () => {
  it('are of all the nodes', () => { assert.ok(nodeNames.length >= 10); });

  for (const name of nodeNames) {
    it(`${name}: every language has the same keys, none empty, with the same values put in`, () => {
      const [english, ...others] = LANGUAGES.map((language) => texts(name, language));
      assert.ok(english !== undefined);
      for (const other of others) {
        assert.deepEqual([...other.keys()], [...english.keys()]);
        for (const [key, text] of other) {
          assert.notEqual(text.trim(), '', key);
          assert.deepEqual(placeholders(text), placeholders(english.get(key) ?? ''), key);
        }
      }
    });

    it(`${name}: every key that the form or the script names is there`, () => {
      const known = texts(name, 'en-US');
      const missing = [...keysInForm(name), ...keysInScripts(name)].filter((key) => !known.has(key));
      assert.deepEqual(missing, []);
    });

    it(`${name}: the form holds no text of its own`, () => {
      const visible = form(name).replace(/<[^>]*>/g, '').trim();
      assert.equal(visible, '');
    });
  }

  it('say the same thing in the same words in every dialog', () => {
    // The reason why a list is not valid depends on the list.
    const isShared = (key: string): boolean => /^(?:choice|validate)\.|^label\.(?:name|ledger|tls|issuer|identifiedAllowed)$/.test(key) && key !== 'validate.list';
    for (const language of LANGUAGES) {
      const known = new Map<string, string>();
      for (const name of nodeNames) {
        for (const [key, text] of texts(name, language)) {
          if (!isShared(key)) continue;
          assert.equal(text, known.get(key) ?? text, `${name} ${key}, ${language}`);
          known.set(key, text);
        }
      }
    }
  });

  it('in Chinese are Chinese', () => {
    for (const name of nodeNames) {
      for (const [key, text] of texts(name, 'zh-TW')) {
        const isName = /^(placeholder\.host|unit\.(megabytes|percent)|label\.(ledger|pacs|tls|callers)|group\.peer)$/.test(key);
        assert.ok(isName || /[\u4e00-\u9fff]/.test(text), `${name} ${key}: ${text}`);
      }
    }
  });
});
