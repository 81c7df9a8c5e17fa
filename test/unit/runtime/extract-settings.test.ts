import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { NAME_ENCODINGS } from '../../../nodes/engine/archive/name-encodings';
import { DEFAULT_SETTINGS } from '../../../nodes/engine/archive/settings';
import { extractSettings } from '../../../nodes/extract/extract-settings';
import { defaults } from '../../../nodes/extract/properties';
import type { ExtractCredentials, ExtractProperties } from '../../../nodes/extract/properties';
import type { Node } from '../../../nodes/runtime/red';
import { Settings } from '../../../nodes/runtime/settings';
import { FakeNode, fakeRed } from '../../support/fake-node';

function read(saved: Partial<ExtractProperties>, credentials?: Partial<ExtractCredentials>): ReturnType<typeof extractSettings> {
  const red = fakeRed({ variables: { NAMES: 'gbk' } });
  const node = Object.assign(new FakeNode().asNode(), { credentials }) as Node<Partial<ExtractCredentials>>; // Node-RED puts them there
  return extractSettings(new Settings(red, node, saved, defaults), node);
}

describe('the settings of extract', () => {
  it('are those of the engine unless set otherwise', () => {
    assert.deepEqual(read({}), { how: DEFAULT_SETTINGS, division: { per: 'job', byPatient: false } });
  });

  it('take code pages in their order, from a variable as well, or none', () => {
    assert.deepEqual(read({ encodings: 'cp932,cp437  cp950' }).how.encodings, ['cp932', 'cp437', 'cp950']);
    assert.deepEqual(read({ encodings: NAME_ENCODINGS.join(', ') }).how.encodings, [...NAME_ENCODINGS]);
    assert.deepEqual(read({ encodings: '${NAMES}' }).how.encodings, ['gbk']);
    assert.deepEqual(read({ encodings: '' }).how.encodings, []);
  });

  it('name the property that holds an unknown code page', () => {
    assert.throws(() => read({ encodings: 'cp950, latin-9' }), { code: 'CONFIG_INVALID', detail: /^encodings: / });
  });

  it('have passwords line by line', () => {
    assert.deepEqual(read({}, { passwords: 'one\r\ntwo \n\nthree' }).how.passwords, ['one', 'two ', 'three']);
  });
});
