/** Flow 04 as an operator meets it: imported from the menu, deployed, and its status page used while jobs wait, fail and are sent again. */
import { strict as assert } from 'node:assert';
import { existsSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { setTimeout as pause } from 'node:timers/promises';
import { pathToFileURL } from 'node:url';
import type { Browser, Locator, Page } from 'playwright-core';
import { instance, zip } from '../support/archives';
import { chromiumMissing, deploy, importExample, inPage, openEditor, overlapping, screenshotFolder, startBrowser, startNodeRed } from './running-editor';
import type { Editor, NodeRed } from './running-editor';

const RUN_LIMIT = 120_000;
const PASSWORD = 'a password of the test';
/** A form with a name in its picture, which no profile lets pass. */
const DOCUMENT = join('..', 'shared', 'data', 'synthetic', 'objects', 'encapsulated_pdf_phi.dcm');

describe('flow 04 and its status page', { skip: chromiumMissing }, () => {
  let nodeRed: NodeRed;
  let browser: Browser;
  let editor: Editor;
  let page: Page;
  const complaints: string[] = [];
  const shots = screenshotFolder();

  before(async () => {
    nodeRed = await startNodeRed();
    browser = await startBrowser();
    editor = await openEditor(browser, nodeRed);
    page = await openPage('light');
  });
  after(async () => {
    await browser?.close();
    await nodeRed?.stop();
  });

  async function openPage(colorScheme: 'light' | 'dark', width = 1200): Promise<Page> {
    const context = await browser.newContext({ viewport: { width, height: 900 }, locale: 'en-US', colorScheme });
    const opened = await context.newPage();
    opened.on('console', (message) => { if (message.type() === 'error') complaints.push(message.text()); });
    opened.on('pageerror', (error) => { complaints.push(String(error)); });
    return opened;
  }
  const drop = (name: string, content: Buffer): void => {
    writeFileSync(join(nodeRed.data, name), content);
    renameSync(join(nodeRed.data, name), join(nodeRed.data, 'inbox', name));
  };
  const status = (): string => new URL('exdicom', nodeRed.url).href;
  /** The row of a job on the page, once it says this. */
  const row = async (job: string, text: RegExp): Promise<Locator> => {
    for (const deadline = Date.now() + RUN_LIMIT; ;) {
      await page.goto(status());
      const found = page.locator('tr', { hasText: job }).filter({ hasText: text }).first();
      if (await found.count() > 0) return found;
      if (Date.now() > deadline) assert.fail(`${job} never was ${String(text)}: ${await page.locator('body').innerText()}`);
      await pause(500);
    }
  };
  const tile = (label: string): Promise<string> => page.locator('.tile', { hasText: label }).locator('b').innerText();

  it('comes from the examples menu and lies tidily on the canvas', async () => {
    assert.deepEqual(await importExample(editor.page, '04 - Retry, dead letter and status page'), []);
    assert.deepEqual(await overlapping(editor.page), []);
    await editor.page.screenshot({ path: join(shots, 'flow-04-light.png') });
  });

  it('has a page that shows an empty ledger, and later a study that arrived', async () => {
    await deploy(editor.page);
    await editor.page.waitForFunction(`RED.nodes.filterNodes({ type: 'exdicom-c-store-in' })[0].status?.text === 'idle'`);
    assert.equal((await page.goto(status()))?.status(), 200);
    assert.match(await page.locator('body').innerText(), /Open jobs\s+None\.\s+Closed jobs\s+None yet\./);
    const { writeSampleStudy } = await import(pathToFileURL(join(process.cwd(), 'scripts', 'sample-study.mjs')).href) as { writeSampleStudy: (path: string) => Promise<void> };
    await writeSampleStudy(join(nodeRed.data, 'study.zip'));
    const study = readFileSync(join(nodeRed.data, 'study.zip'));
    drop('study.zip', study);
    await row('folder-in 0001', /complete/);
    assert.equal(await page.locator('tr', { hasText: 'PACS' }).filter({ hasText: 'in use' }).locator('td').nth(2).innerText(), '24');
    if (existsSync(DOCUMENT)) {
      drop('report.zip', zip([{ name: 'report', data: readFileSync(DOCUMENT) }]));
      for (const deadline = Date.now() + RUN_LIMIT; await page.locator('h2', { hasText: 'Quarantine' }).count() === 0; await page.goto(status())) assert.ok(Date.now() < deadline);
      assert.match(await page.locator('table').last().innerText(), /RISK_/);
    }
  });

  it('shows a job that waits for the PACS, and tries and cancels it when told', async () => {
    await inPage(editor.page, `(() => { RED.nodes.filterNodes({ type: 'exdicom-c-store-in' })[0].d = true; RED.nodes.dirty(true); })()`);
    await deploy(editor.page);
    drop('waits.zip', zip([{ name: 'a', data: instance({ sop: '1.2.3.5', study: '1.2.3.4' }) }]));
    const waits = await row('waiting', /PEER_UNREACHABLE/);
    const name = (await waits.locator('a').innerText()).trim();
    assert.equal(await tile('waiting'), '1');
    drop('locked.zip', zip([{ name: 'a', data: instance({ sop: '1.2.3.7', study: '1.2.3.6' }), encrypt: { kind: 'aes256', password: PASSWORD } }]));
    await row('needs a password', /NEEDS_PASSWORD/);
    await page.screenshot({ path: join(shots, 'status-page-light.png'), fullPage: true });

    await (await row(name, /waiting/)).getByText('Try now').click();
    await page.waitForURL(status());
    const tried = await row(name, /waiting/);
    await tried.getByText('Cancel…').click();
    await tried.getByText('Yes, cancel').click();
    await page.waitForURL(status());
    await row(name, /cancelled/);
    assert.equal(existsSync(join(nodeRed.data, 'inbox', 'waits.zip')), true);
  });

  it('gives a job its password, and sends a closed one again', async () => {
    await inPage(editor.page, `(() => { RED.nodes.filterNodes({ type: 'exdicom-c-store-in' })[0].d = false; RED.nodes.dirty(true); })()`);
    await deploy(editor.page);
    const locked = await row('needs a password', /Open/);
    const name = (await locked.locator('a').innerText()).trim();
    await locked.getByPlaceholder('password').fill(PASSWORD);
    await locked.getByRole('button', { name: 'Open' }).click();
    await page.waitForURL(status());
    await row(name, /complete/);
    await (await row('folder-in 0001', /complete/)).getByText('Send again').click();
    await page.waitForURL(status());
    const { jobs } = await nodeRed.get('exdicom/jobs?limit=100') as { jobs: Array<{ id: string; name: string; againOf?: string }> };
    const first = jobs.find((job) => job.name === 'folder-in 0001');
    const again = jobs.find(({ againOf }) => againOf === first?.id);
    assert.ok(again !== undefined);
    await row(again.name, /complete/);
    const told = await nodeRed.get(`exdicom/job/${first?.id}`) as { events: Array<{ event: string; who?: string }> };
    assert.ok(told.events.some(({ who }) => who === 'status page'));
    assert.doesNotMatch(nodeRed.log(), new RegExp(PASSWORD));
  });

  it('has written down what was given up, and only that', async () => {
    drop('note.txt', Buffer.from('nothing to see'));
    const failed = await row('NO_DICOM', /failed/);
    const name = (await failed.locator('a').innerText()).trim();
    const letters = readFileSync(join(nodeRed.data, 'dead-letter.jsonl'), 'utf8').trim().split('\n').map((line) => JSON.parse(line) as Record<string, string>);
    assert.deepEqual(letters.map(({ job, code, reason }) => [job, code, reason]), [[name, 'NO_DICOM', 'not-retryable']]);
  });

  it('says why something cannot be done, and refuses what another site makes a browser send', async () => {
    await page.goto(status());
    const answer = await page.request.post(new URL('exdicom/cancel', nodeRed.url).href, { form: { job: '<b>nobody</b>' } });
    assert.equal(answer.status(), 404);
    assert.match(await answer.text(), /JOB_UNKNOWN/);
    assert.equal((await page.request.post(new URL('exdicom/cancel', nodeRed.url).href, { form: { job: 'x' }, headers: { origin: 'https://evil.example' } })).status(), 403);
    assert.equal((await page.request.get(new URL('exdicom/job/nobody', nodeRed.url).href)).status(), 404);
  });

  it('has complained of nothing, in the light, in the dark, and on a narrow screen', async () => {
    await editor.page.screenshot({ path: join(shots, 'flow-04-run-light.png') });
    for (const [theme, width] of [['light', 1200], ['dark', 1200], ['dark', 360]] as const) {
      const opened = await openPage(theme, width);
      await opened.goto(status());
      assert.equal(await inPage(opened, 'document.documentElement.scrollWidth <= innerWidth'), true, 'nothing sticks out');
      assert.equal(await inPage(opened, `[...document.querySelectorAll('.scroll')].every((box) => box.scrollWidth <= box.clientWidth)`), true, 'states and buttons are seen without scrolling');
      await opened.screenshot({ path: join(shots, `status-page-${theme}-${width}.png`), fullPage: true });
    }
    const dark = await openEditor(browser, nodeRed, { theme: 'dark' });
    await inPage(dark.page, `RED.workspaces.show(RED.nodes.filterNodes({ type: 'exdicom-folder-in' })[0].z)`);
    await dark.page.waitForTimeout(500);
    await dark.page.screenshot({ path: join(shots, 'flow-04-run-dark.png') });
    assert.deepEqual([...complaints, ...editor.complaints, ...dark.complaints], []);
  });
});
