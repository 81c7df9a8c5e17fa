/** Flow 01 as a newcomer meets it: imported from the menu, deployed, fed with a study, and done without an error. */
import { strict as assert } from 'node:assert';
import { existsSync, readdirSync, renameSync } from 'node:fs';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { after, before, describe, it } from 'node:test';
import type { Browser, Page } from 'playwright-core';
import { chromiumMissing, deploy, importExample, inPage, openEditor, overlapping, screenshotFolder, settled, startBrowser, startNodeRed } from './running-editor';
import type { Editor, NodeRed } from './running-editor';

const RUN_LIMIT = 180_000;
/** What a debug message may show at most without being opened, in characters. */
const READABLE = 400;

describe('flow 01 in the editor', { skip: chromiumMissing }, () => {
  let nodeRed: NodeRed;
  let browser: Browser;
  let editor: Editor;
  let page: Page;
  const shots = screenshotFolder();

  before(async () => {
    nodeRed = await startNodeRed();
    browser = await startBrowser();
    editor = await openEditor(browser, nodeRed);
    page = editor.page;
  });
  after(async () => {
    await browser?.close();
    await nodeRed?.stop();
  });

  it('comes from the examples menu', async () => {
    assert.deepEqual(await importExample(page, '01 - Folder to PACS'), []);
  });

  it('lies tidily on the canvas', async () => {
    assert.deepEqual(await overlapping(page), []);
    await page.screenshot({ path: join(shots, 'flow-light.png') });
  });

  it('takes the sample study to the small PACS, with every node green', async () => {
    await deploy(page);
    await page.waitForFunction(`RED.nodes.filterNodes({ type: 'exdicom-c-store-in' })[0].status?.text === 'idle'`);
    const { writeSampleStudy } = await import(pathToFileURL(join(process.cwd(), 'scripts', 'sample-study.mjs')).href) as { writeSampleStudy: (path: string) => Promise<void> };
    await writeSampleStudy(join(nodeRed.data, 'study.zip'));
    renameSync(join(nodeRed.data, 'study.zip'), join(nodeRed.data, 'inbox', 'study.zip'));
    const workers = ['extract', 'anonymize', 'c-store-out', 'folder-out', 'finish'];
    // Statuses are shown at most once a second, so that the last one may come a little later.
    const isDone = `${JSON.stringify(workers)}.every((name) => RED.nodes.filterNodes({ type: 'exdicom-' + name }).every((node) => /^(done|failed)/.test(node.status?.text)))`;
    await page.waitForFunction(isDone, undefined, { timeout: RUN_LIMIT });
    const received = readdirSync(join(nodeRed.data, 'received'), { recursive: true }).filter((name) => String(name).endsWith('.dcm'));
    assert.equal(received.length, 24);
    assert.equal(existsSync(join(nodeRed.data, 'inbox', 'study.zip')), false, 'the original has left the inbox');
    const statuses = await inPage<Record<string, { fill: string; text: string } | undefined>>(page, `(() => { const found = {}; RED.nodes.eachNode((node) => { if (/^exdicom-/.test(node.type)) found[node.type] = node.status && { fill: node.status.fill, text: node.status.text }; }); return found; })()`);
    for (const type of workers) {
      assert.deepEqual(statuses[`exdicom-${type}`], { fill: 'green', text: 'done 24' }, type);
    }
  });

  it('shows small and readable debug messages of every stage, and no error', async () => {
    const messages = await page.locator('.red-ui-debug-msg').allInnerTexts();
    for (const name of ['taken', 'extracted', 'de-identified', 'delivered', 'receipt', 'received']) {
      assert.ok(messages.some((message) => message.includes(`node: ${name}`)), `${name} in ${JSON.stringify(messages)}`);
    }
    for (const message of messages) {
      assert.ok(message.length <= READABLE, message);
      assert.doesNotMatch(message, /node: (error|quarantined)/);
    }
    await page.screenshot({ path: join(shots, 'flow-run-light.png') });
    assert.deepEqual(editor.complaints, []);
  });

  it('looks right in the dark', async () => {
    const dark = await openEditor(browser, nodeRed, { theme: 'dark' });
    await inPage(dark.page, `RED.workspaces.show(RED.nodes.filterNodes({ type: 'exdicom-folder-in' })[0].z)`);
    await settled(dark.page);
    await dark.page.screenshot({ path: join(shots, 'flow-run-dark.png') });
    assert.deepEqual(dark.complaints, []);
  });
});
