import { strict as assert } from 'node:assert';
import { describe, it } from 'node:test';
import { ERRORS } from '../../../nodes/engine/errors';
import type { ErrorCode, Stage } from '../../../nodes/engine/errors';
import { help, LANGUAGES, nodeNames } from './pack';

const SECTIONS: Readonly<Record<string, readonly string[]>> = {
  'en-US': ['Inputs', 'Outputs', 'Details', 'Error codes', 'References'],
  'zh-TW': ['輸入', '輸出', '細節', '錯誤代碼', '參考資料'],
};

/** Stages of which a node's help lists every code, and codes of those that are another node's. */
const STAGES: Readonly<Record<string, { readonly stages: readonly Stage[]; readonly but?: readonly ErrorCode[] }>> = {
  ledger: { stages: ['ledger'], but: ['REQUEST_INVALID', 'REQUEST_REFUSED'] },
  'folder-in': { stages: ['intake'], but: ['NOTHING_TO_DO'] },
  'c-store-in': { stages: ['receive'] },
  extract: { stages: ['extract'] },
  anonymize: { stages: ['anonymize'] },
  'c-store-out': { stages: ['deliver', 'verify'], but: ['VERIFY_DIGEST'] },
  finish: { stages: ['finish'] },
};

const plain = (html: string): string => html.replace(/<[^>]*>/g, '').replace(/&amp;/g, '&').replace(/&lt;/g, '<').replace(/&gt;/g, '>').replace(/\s+/g, ' ').trim();

/** The codes that a help page explains, with what it says of each. */
function explained(name: string, language: string): Map<string, string> {
  return new Map([...help(name, language).matchAll(/<dt><code>([A-Z_]+)<\/code><\/dt>\s*<dd>([\s\S]*?)<\/dd>/g)].map((match) => [match[1] ?? '', plain(match[2] ?? '')]));
}

describe('the help of the nodes', () => {
  for (const name of nodeNames) {
    for (const language of LANGUAGES) {
      it(`${name}, ${language}: is this node's, begins with its tooltip and has the five sections`, () => {
        const page = help(name, language);
        assert.ok(page.startsWith(`<script type="text/html" data-help-name="exdicom-${name}">\n  <p>`));
        assert.deepEqual([...page.matchAll(/<h3>(.*?)<\/h3>/g)].map((match) => match[1]), SECTIONS[language]);
        for (const tag of ['p', 'dl', 'dt', 'dd', 'ul', 'ol', 'li', 'code', 'b', 'a', 'span']) {
          assert.equal([...page.matchAll(new RegExp(`<${tag}[ >]`, 'g'))].length, [...page.matchAll(new RegExp(`</${tag}>`, 'g'))].length, `<${tag}> is closed`);
        }
      });
    }

    it(`${name}: explains each code in the words of the table`, () => {
      for (const [code, text] of explained(name, 'en-US')) {
        assert.ok(code in ERRORS, `${code} is in the table`);
        const { cause, remedy } = ERRORS[code as ErrorCode]; // checked in the line above
        assert.equal(text, `${cause} ${remedy}`);
      }
    });

    it(`${name}: explains the same codes in every language`, () => {
      assert.deepEqual([...explained(name, 'zh-TW').keys()], [...explained(name, 'en-US').keys()]);
    });

    it(`${name}: explains every code of its stages`, () => {
      const { stages, but = [] } = STAGES[name] ?? { stages: [] };
      const known = explained(name, 'en-US');
      const missing = Object.entries(ERRORS).filter(([code, { stage }]) => stages.includes(stage) && !but.includes(code as ErrorCode) && !known.has(code)).map(([code]) => code);
      assert.deepEqual(missing, []);
    });
  }

  it('explains every code of the table at some node', () => {
    const known = new Set(nodeNames.flatMap((name) => [...explained(name, 'en-US').keys()]));
    assert.deepEqual(Object.keys(ERRORS).filter((code) => !known.has(code)), []);
  });

  it('explains a code in the same words at every node', () => {
    for (const language of LANGUAGES) {
      const known = new Map<string, string>();
      for (const name of nodeNames) {
        for (const [code, text] of explained(name, language)) {
          assert.equal(text, known.get(code) ?? text, `${name}, ${language}`);
          known.set(code, text);
        }
      }
    }
  });

  it('promises a catch node no more of an error than Node-RED hands on', () => {
    for (const name of nodeNames) {
      for (const language of LANGUAGES) {
        for (const [paragraph] of help(name, language).matchAll(/<p>[^\n]*Catch [^\n]*<code>msg\.error<\/code>[^\n]*/g)) assert.doesNotMatch(paragraph, /<code>(?:remedy|retryable)/, `${name}, ${language}`);
      }
    }
  });

  it('says at every node that works on jobs that what lies between the stages may run again', () => {
    for (const name of ['folder-in', 'c-store-in', 'extract', 'anonymize', 'c-store-out', 'folder-out', 'retry', 'finish', 'ledger']) {
      assert.match(help(name, 'en-US'), /nodes between the stages run again/);
      assert.match(help(name, 'zh-TW'), /再執行一次/);
    }
  });
});
