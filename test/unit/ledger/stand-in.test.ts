import assert from 'node:assert/strict';
import test from 'node:test';
import { standIn } from '../../../nodes/engine/ledger/stand-in';

const KEYS = ['message:extract/Tab/CT#a1', 'message:extract/Tab/MR#a2', 'message:extract/Tab/MR#a3', 'message:anonymize/Tab/CT#a4', 'message:extract/Sub/CT#i1-a5', 'folder:/data/in#a6'];
const found = (key: string): string | undefined => standIn('message', key, KEYS);

test('a node is found under its own key, and under its id wherever it stands now', () => {
  for (const key of KEYS) assert.equal(found(key), key);
  assert.equal(found('message:extract/Old name of the tab/CT#a1'), KEYS[0]);
  assert.equal(found('message:extract/Tab/Old name#a2'), KEYS[1]);
});

test('a node that was moved into a subflow, or out of it, is found by the id that it had', () => {
  assert.equal(found('message:extract/Tab/CT#a5'), KEYS[4]);
  assert.equal(found('message:extract/Sub/MR#i2-a2'), KEYS[1]);
});

test('a node that was imported anew is found in its place, unless two stand there', () => {
  assert.equal(found('message:extract/Tab/CT#b1'), KEYS[0]);
  assert.equal(found('message:extract/Tab/MR#b2'), undefined);
  assert.equal(found('message:extract/Other/CT#b1'), undefined);
  assert.equal(found('message:transcode/Tab/CT#b1'), undefined);
});

test('what is no node is only itself', () => {
  assert.equal(found('folder:/data/in#b6'), undefined);
  assert.equal(found('folder:/data/in#a1'), undefined);
});
