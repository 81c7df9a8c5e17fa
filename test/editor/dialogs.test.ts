/** The palette and the dialogs of the pack in a real Node-RED, in a real browser. */
import { strict as assert } from 'node:assert';
import { createServer } from 'node:net';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { after, before, beforeEach, describe, it } from 'node:test';
import type { Browser, Page } from 'playwright-core';
import { programsMissing, startStorescp } from '../support/dcmtk';
import { freePort } from '../support/orthanc';
import {
  chromiumMissing, closeDialog, closeEverything, deploy, drop, inPage, openConfigDialog, openDialog, openEditor, screenshotFolder, settled, startBrowser, startNodeRed,
} from './running-editor';
import type { Editor, NodeRed } from './running-editor';

const NODES = ['folder-in', 'extract', 'anonymize', 'c-store-out', 'c-store-in', 'folder-out', 'retry', 'finish', 'jobs'];
const CONFIG_NODES = ['ledger', 'pacs', 'deid-profile'];
const SECRETS = ['correct horse', 'battery staple', 'a key that nobody should ever see again'];

interface SavedNode { readonly id: string; readonly type: string; readonly [property: string]: unknown }

describe('the editor', { skip: chromiumMissing }, () => {
  let nodeRed: NodeRed;
  let browser: Browser;
  let editor: Editor;
  let page: Page;
  const ids = new Map<string, string>();
  const shots = screenshotFolder();

  before(async () => {
    nodeRed = await startNodeRed();
    browser = await startBrowser();
    editor = await openEditor(browser, nodeRed);
    page = editor.page;
  });
  beforeEach(() => closeEverything(page));
  after(async () => {
    await browser?.close();
    await nodeRed?.stop();
  });

  const saved = async (name: string): Promise<SavedNode> => {
    const flows = await nodeRed.get('flows') as SavedNode[];
    const node = flows.find(({ type }) => type === `exdicom-${name}`);
    assert.ok(node !== undefined, `${name} was saved`);
    return node;
  };
  const reasons = (id: string): Promise<string[]> => inPage(page, `(RED.nodes.node("${id}").validationErrors || []).map(String)`);
  const openOwnConfig = (name: string): Promise<void> => openConfigDialog(page, `exdicom-${name}`, ids.get(name)!);
  const configId = (name: string): Promise<string> =>
    inPage(page, `(() => { let id = ''; RED.nodes.eachConfig((config) => { if (config.type === 'exdicom-${name}') id = config.id; }); return id; })()`);

  it('has every node in one category of the palette, under its short name and with its icon', async () => {
    for (const name of NODES) {
      const entry = page.locator(`#red-ui-palette-EXDICOM .red-ui-palette-node[data-palette-type="exdicom-${name}"]`);
      assert.equal((await entry.locator('.red-ui-palette-label').innerText()).replace(/[\u2011\n]/g, (c) => (c === '\n' ? '' : '-')), name);
      const icon = await entry.locator('.red-ui-palette-icon-container').getAttribute('data-palette-icon') ?? '';
      assert.match(icon, new RegExp(`/${name}\\.svg$`));
      const answer = await fetch(new URL(icon, nodeRed.url));
      assert.equal(answer.status, 200);
      assert.match(answer.headers.get('content-type') ?? '', /svg/);
    }
  });

  it('takes every node by drag and drop, valid as it is but for a PACS that somebody must name', async () => {
    for (const [index, name] of NODES.entries()) {
      const id = await drop(page, `exdicom-${name}`, 180 + 280 * (index % 3), 100 + 80 * Math.floor(index / 3));
      ids.set(name, id);
      if (name === 'c-store-out') assert.match((await reasons(id)).join(), /PACS: none chosen/);
      else assert.deepEqual(await reasons(id), [], name);
    }
    for (const name of ['ledger', 'deid-profile']) ids.set(name, await configId(name));
    const ledgers = await inPage<string[]>(page, `['folder-in', 'c-store-in', 'jobs'].map((name) => RED.nodes.filterNodes({ type: 'exdicom-' + name })[0].ledger)`);
    assert.deepEqual(ledgers, [ids.get('ledger'), ids.get('ledger'), ids.get('ledger')], 'the sources share the ledger that was made for the first');
  });

  it('shows the first words of the help as a tooltip, and the whole in the sidebar', async () => {
    await inPage(page, `RED.sidebar.help.show('exdicom-extract')`);
    const text = await page.locator('.red-ui-help .red-ui-help-content, .red-ui-sidebar-help-stack').first().innerText();
    assert.match(text, /Unpacks an archive or folder/);
    assert.match(text, /NEEDS_PASSWORD/);
    await page.screenshot({ path: join(shots, 'help.png') });
  });

  it('opens every dialog with all its texts and saves it unchanged', async () => {
    for (const name of NODES) {
      const values = `(() => { const node = RED.nodes.node("${ids.get(name)}"); return JSON.stringify(Object.keys(node._def.defaults).map((property) => [property, node[property]])); })()`;
      const earlier = await inPage<string>(page, values);
      await openDialog(page, ids.get(name)!);
      await expectTexts(page, '#dialog-form');
      await page.screenshot({ path: join(shots, `light-${name}.png`) });
      await closeDialog(page, 'node-dialog-ok');
      assert.equal(await inPage<string>(page, values), earlier, name);
    }
    for (const name of CONFIG_NODES) {
      await openConfigDialog(page, `exdicom-${name}`, '_ADD_');
      await expectTexts(page, '#node-config-dialog-edit-form');
      await page.screenshot({ path: join(shots, `light-${name}.png`) });
      await closeDialog(page, 'node-config-dialog-cancel');
    }
  });

  it('says what is wrong with a value and takes a right one', async () => {
    const id = ids.get('folder-in')!;
    await openDialog(page, id);
    await page.fill('#node-input-interval', 'often');
    await page.fill('#node-input-folder', '');
    await page.locator('#node-input-folder').blur();
    assert.equal(await page.locator('#node-input-interval.input-error, #node-input-folder.input-error').count(), 2);
    await closeDialog(page, 'node-dialog-ok');
    assert.deepEqual((await reasons(id)).sort(), ['Folder: must not be empty', 'Look every: a number from 0.1 to 86,400']);
    await openDialog(page, id);
    await page.fill('#node-input-interval', '${EXDICOM_INTERVAL:-7}');
    assert.equal(await inPage(page, `$('#node-input-interval').toArray().every((field) => field.scrollWidth <= field.clientWidth)`), true, 'a variable has room');
    await page.fill('#node-input-folder', 'inbox/ward 3');
    await page.uncheck('#node-input-subfolders');
    await closeDialog(page, 'node-dialog-ok');
    assert.deepEqual(await reasons(id), []);
    assert.equal(await inPage(page, `RED.utils.getNodeLabel(RED.nodes.node("${id}"))`), 'folder-in: inbox/ward 3');
  });

  it('takes hours and days for retries, and says what is no time of day', async () => {
    const id = ids.get('retry')!;
    await openDialog(page, id);
    assert.equal(await page.locator('#node-input-activeFrom').isVisible(), false);
    await page.locator('#dialog-form summary').first().click();
    await page.fill('#node-input-activeFrom', '8 pm');
    await page.fill('#node-input-activeDays', 'mon, someday');
    await page.fill('#node-input-attempts', '-1');
    await closeDialog(page, 'node-dialog-ok');
    assert.deepEqual((await reasons(id)).sort(), ['At most: a whole number from 0 to 1,000,000', 'From: a time of day such as 20:00', 'On: only sun, mon, tue, wed, thu, fri, sat, with commas between']);
    await openDialog(page, id);
    assert.equal(await page.locator('#node-input-activeFrom').isVisible(), true);
    await page.fill('#node-input-activeFrom', '20:00');
    await page.fill('#node-input-activeTo', '${EXDICOM_NIGHT_ENDS:-06:00}');
    await page.fill('#node-input-activeDays', 'mon, tue');
    await page.fill('#node-input-attempts', '12');
    await page.screenshot({ path: join(shots, 'light-retry-hours.png') });
    await closeDialog(page, 'node-dialog-ok');
    assert.deepEqual(await reasons(id), []);
    assert.deepEqual(await inPage(page, `RED.nodes.node("${id}")._def.outputs`), 2);
  });

  it('asks of jobs only what the chosen action needs', async () => {
    const id = ids.get('jobs')!;
    await openDialog(page, id);
    const shown = (): Promise<string[]> => inPage(page, `$('#exdicom-jobs-parameters .form-row:visible').toArray().map((row) => row.id.replace('exdicom-jobs-', ''))`);
    assert.deepEqual(await shown(), ['state', 'outcome', 'source', 'destination', 'code', 'since', 'limit', 'offset']);
    assert.equal(await page.locator('#exdicom-jobs-acts').isVisible(), false);
    await page.fill('#node-input-since', 'lately');
    await page.fill('#node-input-answer', 'req');
    await closeDialog(page, 'node-dialog-ok');
    assert.deepEqual((await reasons(id)).sort(), ['Answer in msg.: the name of a property that is free for the answer, such as payload', 'Changed since: a span such as 24h, a date such as 2026-11-01, or milliseconds since 1970']);
    await openDialog(page, id);
    await page.fill('#node-input-since', '7d');
    await page.fill('#node-input-answer', 'list');
    for (const [action, fields, hint] of [['release', ['job', 'instances', 'profile'], 'acts'], ['password', ['job'], 'password'], ['find', ['profile'], 'find'], ['counts', [], ''], ['pause', ['source', 'destination'], 'acts'], ['message', ['profile'], 'from-message']] as const) {
      await page.selectOption('#node-input-action', action);
      assert.deepEqual(await shown(), fields, action);
      if (hint !== '') assert.equal(await page.locator(`#exdicom-jobs-${hint}`).isVisible(), true, action);
      await page.screenshot({ path: join(shots, `light-jobs-${action}.png`) });
    }
    await page.selectOption('#node-input-action', 'cancel');
    await closeDialog(page, 'node-dialog-ok');
    assert.deepEqual(await reasons(id), []);
    assert.equal(await inPage(page, `RED.utils.getNodeLabel(RED.nodes.node("${id}"))`), 'jobs: cancel');
  });

  it('opens what is folded when something is wrong in it', async () => {
    await openDialog(page, ids.get('extract')!);
    assert.equal(await page.locator('#node-input-maxRatio').isVisible(), false);
    await page.locator('#dialog-form summary').first().click();
    await page.fill('#node-input-maxRatio', '0');
    await closeDialog(page, 'node-dialog-ok');
    await openDialog(page, ids.get('extract')!);
    assert.equal(await page.locator('#node-input-maxRatio').isVisible(), true);
    await page.fill('#node-input-maxRatio', '2000');
    await closeDialog(page, 'node-dialog-ok');
    assert.deepEqual(await reasons(ids.get('extract')!), []);
  });

  it('takes a PACS, with a choice from a variable and its red switch', async () => {
    await openDialog(page, ids.get('c-store-out')!);
    await page.click('#node-input-btn-pacs-add');
    await page.waitForSelector('#node-config-input-host', { state: 'visible' });
    await settled(page);
    await page.fill('#node-config-input-host', 'pacs.hospital.example');
    await page.fill('#node-config-input-aet', 'ARCHIVE');
    await page.selectOption('#node-config-input-verification', 'response');
    assert.equal(await page.locator('#node-config-input-findWait').isVisible(), false, 'what only C-FIND needs is hidden');
    await page.selectOption('#node-config-input-verification', { label: 'From an environment variable' });
    await page.fill('#node-config-input-verification-variable', '${PACS_LEVEL:-response}');
    await page.locator('#node-config-input-verification-variable').blur();
    await page.check('#node-config-input-identifiedAllowed');
    await page.screenshot({ path: join(shots, 'light-pacs-variable.png') });
    await closeDialog(page, 'node-config-dialog-ok');
    await closeDialog(page, 'node-dialog-ok');
    ids.set('pacs', await configId('pacs'));
    assert.deepEqual(await reasons(ids.get('c-store-out')!), []);
    await openOwnConfig('pacs');
    assert.equal(await page.inputValue('#node-config-input-verification-variable'), '${PACS_LEVEL:-response}');
    await closeDialog(page, 'node-config-dialog-cancel');
  });

  it('tests a connection with unsaved values, and says in plain words why there is none', async () => {
    await using storescp = programsMissing('storescp') === false ? await startStorescp() : undefined;
    const mute = createServer((socket) => { socket.end('HTTP/1.1 400 Bad Request\r\n\r\n'); }).listen(0, '127.0.0.1');
    await openOwnConfig('pacs');
    const ask = async (values: Record<string, string>): Promise<string> => {
      for (const [property, value] of Object.entries(values)) await page.fill(`#node-config-input-${property}`, value);
      await page.click('#exdicom-pacs-echo');
      await page.waitForFunction(`!$('#exdicom-pacs-echo').prop('disabled')`);
      return page.locator('#exdicom-pacs-echo-result').innerText();
    };
    assert.match(await ask({ host: '127.0.0.1', port: String(await freePort()) }), /^No connection: nothing listens there/);
    assert.match(await ask({ port: String((mute.address() as AddressInfo).port) }), /not in DICOM|closed the connection/);
    assert.match(await ask({ port: 'eleven' }), /must be filled in and valid/);
    if (storescp !== undefined) {
      assert.match(await ask({ port: String(storescp.port) }), /^The PACS answered C-ECHO in \d+ ms\.$/);
      await page.screenshot({ path: join(shots, 'light-pacs-echo.png') });
      await page.fill('#node-config-input-port', '104');
      assert.equal(await page.locator('#exdicom-pacs-echo-result').innerText(), '', 'an answer is one to what was asked');
    }
    await closeDialog(page, 'node-config-dialog-cancel');
    mute.close();
    assert.equal(await inPage(page, `RED.nodes.node("${ids.get('pacs')}").host`), 'pacs.hospital.example', 'nothing of it was saved');
  });

  it('lets a profile be chosen by preset and by risk', async () => {
    await openOwnConfig('deid-profile');
    assert.equal(await page.inputValue('#exdicom-deid-profile-preset'), 'basic');
    await page.selectOption('#exdicom-deid-profile-preset', 'basic-shifted-dates');
    assert.equal(await page.inputValue('#node-config-input-dates'), 'shift');
    await page.uncheck('#exdicom-deid-profile-RISK_DOCUMENT');
    assert.equal(await page.inputValue('#exdicom-deid-profile-preset'), 'own');
    assert.equal(await page.locator('.exdicom-warning').isVisible(), true);
    await page.fill('#node-config-input-key', 'too short');
    await page.locator('#node-config-input-key').blur();
    assert.equal(await page.locator('#node-config-input-key.input-error').count(), 1);
    await page.fill('#node-config-input-key', SECRETS[2]!);
    await page.screenshot({ path: join(shots, 'light-deid-profile-own.png') });
    await closeDialog(page, 'node-config-dialog-ok');
  });

  it('takes passwords and destinations as lists', async () => {
    await openDialog(page, ids.get('extract')!);
    for (const secret of SECRETS.slice(0, 2)) {
      await page.locator('#dialog-form').getByText('add a password').click();
      await page.locator('#dialog-form ol input[type=password]').last().fill(secret);
    }
    assert.equal(await page.locator('#dialog-form .exdicom-form input[type=password]:visible').count(), 2);
    await page.screenshot({ path: join(shots, 'light-extract-passwords.png') });
    await closeDialog(page, 'node-dialog-ok');
    await openDialog(page, ids.get('finish')!);
    await page.locator('#dialog-form').getByText('add a destination').click();
    await page.locator('#dialog-form ol input').last().fill(' Archive ');
    await page.locator('#dialog-form').getByText('add a destination').click();
    await closeDialog(page, 'node-dialog-ok');
  });

  it('deploys what was set, and no secret with it', async () => {
    await deploy(page);
    const flows = JSON.stringify(await nodeRed.get('flows'));
    for (const secret of SECRETS) assert.ok(!flows.includes(secret));
    const folderIn = await saved('folder-in');
    assert.deepEqual([folderIn['interval'], folderIn['folder'], folderIn['subfolders'], folderIn['ledger']], ['${EXDICOM_INTERVAL:-7}', 'inbox/ward 3', false, ids.get('ledger')]);
    const pacs = await saved('pacs');
    assert.deepEqual([pacs['aet'], pacs['verification'], pacs['identifiedAllowed'], pacs['nudge']], ['ARCHIVE', '${PACS_LEVEL:-response}', true, true]);
    const profile = await saved('deid-profile');
    assert.deepEqual([profile['dates'], profile['allowedRisks']], ['shift', ['RISK_DOCUMENT']]);
    assert.deepEqual((await saved('finish'))['required'], ['Archive']);
    assert.deepEqual(await nodeRed.get(`credentials/exdicom-extract/${ids.get('extract')}`), { has_passwords: true });
    assert.deepEqual(await nodeRed.get(`credentials/exdicom-deid-profile/${ids.get('deid-profile')}`), { has_key: true });
  });

  it('shows of stored secrets only that they are there, and replaces them when asked', async () => {
    const next = await openEditor(browser, nodeRed);
    page = next.page;
    await openDialog(page, ids.get('extract')!);
    await page.getByText('Passwords are stored.').waitFor();
    await closeDialog(page, 'node-dialog-ok');
    assert.equal(await inPage(page, 'RED.nodes.dirty()'), false, 'opening and closing changes nothing');
    await openDialog(page, ids.get('extract')!);
    await page.locator('#exdicom-extract-stored button').click();
    await closeDialog(page, 'node-dialog-ok');
    await deploy(page);
    assert.deepEqual(await nodeRed.get(`credentials/exdicom-extract/${ids.get('extract')}`), { has_passwords: false });
    assert.deepEqual(next.complaints, []);
  });

  it('looks right in the dark', async () => {
    const dark = await openEditor(browser, nodeRed, { theme: 'dark' });
    page = dark.page;
    assert.equal(await page.locator('html.nr-theme-dark').count(), 1);
    for (const name of NODES) {
      await openDialog(page, ids.get(name)!);
      await page.screenshot({ path: join(shots, `dark-${name}.png`) });
      await closeDialog(page, 'node-dialog-cancel');
    }
    for (const name of CONFIG_NODES) {
      await openOwnConfig(name);
      await inPage(page, `$('#node-config-dialog-edit-form details').prop('open', true)`);
      assert.ok(await readable(page, '#node-config-dialog-edit-form'), name);
      await page.screenshot({ path: join(shots, `dark-${name}.png`) });
      await closeDialog(page, 'node-config-dialog-cancel');
    }
    assert.deepEqual(dark.complaints, []);
  });

  it('speaks Traditional Chinese', async () => {
    const chinese = await openEditor(browser, nodeRed, { locale: 'zh-TW' });
    page = chinese.page;
    for (const name of NODES) {
      await openDialog(page, ids.get(name)!);
      await expectTexts(page, '#dialog-form', /[\u4e00-\u9fff]/);
      await page.screenshot({ path: join(shots, `zh-TW-${name}.png`) });
      await closeDialog(page, 'node-dialog-cancel');
    }
    for (const name of CONFIG_NODES) {
      await openOwnConfig(name);
      await expectTexts(page, '#node-config-dialog-edit-form', /[\u4e00-\u9fff]/);
      await page.screenshot({ path: join(shots, `zh-TW-${name}.png`) });
      await closeDialog(page, 'node-config-dialog-cancel');
    }
    assert.deepEqual(chinese.complaints, []);
  });

  it('had nothing to complain of', () => {
    assert.deepEqual(editor.complaints, []);
  });
});

/** No text is missing (a key shows instead), and in Chinese most labels are. */
async function expectTexts(page: Page, form: string, wanted?: RegExp): Promise<void> {
  const labels = await inPage<string[]>(page, `$('${form} .exdicom-form').find('label, h4, summary, option, .exdicom-hint, .exdicom-unit, button').map((i, element) => $(element).text().trim()).get().filter((text) => text !== '')`);
  assert.ok(labels.length > 0);
  for (const label of labels) assert.doesNotMatch(label, /^[a-z]+\.[A-Za-z_]+$|__|@exdicom/, label);
  if (wanted !== undefined) assert.ok(labels.filter((label) => wanted.test(label)).length > labels.length * 0.6, labels.join());
}

/** Whether every text of the form stands out from what is behind it by 4.5 to 1 (WCAG 2, AA). */
async function readable(page: Page, form: string): Promise<boolean> {
  return inPage(page, `(() => {
    const channels = (colour) => (colour.match(/[\\d.]+/g) || [0, 0, 0, 0]).map(Number);
    const luminance = (colour) => { const [r, g, b] = channels(colour).map((c) => c / 255).map((c) => c <= 0.03928 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4); return 0.2126 * r + 0.7152 * g + 0.0722 * b; };
    const behind = (element) => { for (let e = element; e; e = e.parentElement) { const colour = getComputedStyle(e).backgroundColor; if (channels(colour)[3] !== 0) return colour; } return 'rgb(255, 255, 255)'; };
    return $('${form} .exdicom-form').find('label, h4, summary, .exdicom-hint, .exdicom-unit').filter(':visible').get().every((element) => {
      const [light, dark] = [luminance(getComputedStyle(element).color), luminance(behind(element))].sort((a, b) => b - a);
      return (light + 0.05) / (dark + 0.05) >= 4.5;
    });
  })()`);
}
