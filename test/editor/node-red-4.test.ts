/** The same dialogs in the editor of Node-RED 4.1, which lacks some of what 5 has. */
import { strict as assert } from 'node:assert';
import { after, before, describe, it } from 'node:test';
import type { Browser } from 'playwright-core';
import { chromiumMissing, closeDialog, deploy, drop, inPage, openConfigDialog, openDialog, openEditor, startBrowser, startNodeRed } from './running-editor';
import type { Editor, NodeRed } from './running-editor';

const NODES = ['folder-in', 'extract', 'anonymize', 'c-store-out', 'c-store-in', 'folder-out', 'finish'];

describe('the editor of Node-RED 4.1', { skip: chromiumMissing }, () => {
  let nodeRed: NodeRed;
  let browser: Browser;
  let editor: Editor;

  before(async () => {
    nodeRed = await startNodeRed('node-red-4');
    browser = await startBrowser();
    editor = await openEditor(browser, nodeRed);
  });
  after(async () => {
    await browser?.close();
    await nodeRed?.stop();
  });

  it('is 4.1', async () => {
    assert.match((await nodeRed.get('settings') as { version: string }).version, /^4\.1\./);
  });

  it('takes, opens and deploys every node without a complaint', async () => {
    const { page } = editor;
    for (const [index, name] of NODES.entries()) {
      const id = await drop(page, `exdicom-${name}`, 180 + 280 * (index % 3), 100 + 80 * Math.floor(index / 3));
      await openDialog(page, id);
      assert.ok(await page.locator('#dialog-form .exdicom-form label').count() > 0, name);
      await closeDialog(page, 'node-dialog-ok');
    }
    for (const name of ['ledger', 'pacs', 'deid-profile']) {
      await openConfigDialog(page, `exdicom-${name}`, '_ADD_');
      assert.ok(await page.locator('#node-config-dialog-edit-form .exdicom-form label').count() > 0, name);
      await closeDialog(page, 'node-config-dialog-cancel');
    }
    assert.equal(await inPage(page, `RED.nodes.filterNodes({ type: 'exdicom-folder-in' })[0].valid`), true);
    await deploy(page);
    assert.deepEqual(editor.complaints, []);
  });
});
