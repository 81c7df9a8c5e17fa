/** A real Node-RED with this pack, and a browser with its editor: what the tests of the dialogs work with. */
import { spawn } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { chromium } from 'playwright-core';
import type { Browser, BrowserContextOptions, Page } from 'playwright-core';
import { freePort } from '../support/orthanc';

export const CHROMIUM = process.env['CHROMIUM'] ?? '/usr/bin/chromium';
export const chromiumMissing: string | false = existsSync(CHROMIUM) ? false : 'not installed: chromium';

/** Where package.json lies beside the build that this file belongs to. */
const PACK = resolve(__dirname, '..', '..', '..');
const START_LIMIT = 60_000;
const FLAGS = [
  '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking',
  '--disable-component-update', '--disable-sync',
];

export interface NodeRed extends AsyncDisposable {
  readonly url: string;
  /** The ledger's directory of flow 01. */
  readonly data: string;
  /** Variables that the process was given. */
  readonly environment: Readonly<Record<string, string>>;
  log(): string;
  /** The answer of the admin API, as JSON. */
  get(path: string): Promise<unknown>;
  stop(): Promise<void>;
}

/** Starts the Node-RED that `packageName` names, in a process and user directory of its own, without flows. */
export async function startNodeRed(packageName = 'node-red'): Promise<NodeRed> {
  const folder = mkdtempSync(join(tmpdir(), 'exdicom-editor-'));
  const data = join(folder, 'data');
  mkdirSync(data);
  const [port, listenPort] = [await freePort(), await freePort()];
  writeFileSync(join(folder, 'settings.js'), `module.exports = ${JSON.stringify({
    userDir: folder, flowFile: 'flows.json', uiHost: '127.0.0.1', uiPort: port, nodesDir: [PACK], credentialSecret: 'test',
    editorTheme: { tours: false }, externalModules: { palette: { allowInstall: false } }, telemetry: { enabled: false, updateNotification: false },
  })};\n`);
  const environment = {
    EXDICOM_DATA: data, EXDICOM_LISTEN_PORT: String(listenPort), EXDICOM_PACS_PORT: String(listenPort), EXDICOM_DEID_KEY: 'a key for tests, longer than 32 characters',
  };
  const child = spawn(process.execPath, [require.resolve(`${packageName}/red.js`), '-s', join(folder, 'settings.js')], {
    stdio: ['ignore', 'pipe', 'pipe'], env: { ...process.env, ...environment },
  });
  let log = '';
  for (const stream of [child.stdout, child.stderr]) stream.setEncoding('utf8').on('data', (text: string) => { log += text; });
  const ended = new Promise<void>((done) => { child.once('exit', () => { done(); }); });
  const kill = (): void => { child.kill('SIGKILL'); };
  process.once('exit', kill);
  const stop = async (): Promise<void> => {
    process.off('exit', kill);
    child.kill('SIGTERM');
    const timer = setTimeout(kill, 10_000);
    await ended;
    clearTimeout(timer);
    rmSync(folder, { recursive: true, force: true });
  };
  const url = `http://127.0.0.1:${port}/`;
  const get = async (path: string): Promise<unknown> => {
    const answer = await fetch(new URL(path, url), { headers: { accept: 'application/json' } });
    return answer.json();
  };
  for (const deadline = Date.now() + START_LIMIT; !log.includes('Started flows');) {
    if (child.exitCode !== null || Date.now() > deadline) {
      await stop();
      throw new Error(`Node-RED did not start: ${log}`);
    }
    await pause(100);
  }
  return { url, data, environment, get, stop, log: () => log, [Symbol.asyncDispose]: stop };
}

export const startBrowser = (): Promise<Browser> => chromium.launch({ executablePath: CHROMIUM, args: FLAGS });

export interface Editor {
  readonly page: Page;
  /** What the browser complained of since the start. */
  readonly complaints: string[];
}

/** The editor in a new browser profile, loaded, with an empty tab before it. */
export async function openEditor(browser: Browser, nodeRed: NodeRed, options: BrowserContextOptions & { theme?: 'light' | 'dark' } = {}): Promise<Editor> {
  const { theme = 'light', ...others } = options;
  const context = await browser.newContext({ viewport: { width: 1600, height: 1000 }, locale: 'en-US', ...others });
  await context.addInitScript(`localStorage.setItem('view-dark-theme', '${theme}')`); // the editor's own choice of theme
  const page = await context.newPage();
  const complaints: string[] = [];
  page.on('console', (message) => { if (message.type() === 'error') complaints.push(message.text()); });
  page.on('requestfailed', (request) => { complaints.push(`${request.url()}: ${request.failure()?.errorText ?? ''}`); });
  page.on('pageerror', (error) => { complaints.push(String(error)); });
  await page.goto(nodeRed.url);
  await page.waitForSelector('.red-ui-palette-node[data-palette-type="exdicom-finish"]', { state: 'attached', timeout: START_LIMIT });
  await page.waitForSelector('#red-ui-loading-progress', { state: 'hidden' });
  return { page, complaints };
}

/** Runs an expression in the page. Its scripts are not ours to type, so the caller says what comes back. */
export async function inPage<T>(page: Page, expression: string): Promise<T> {
  return await page.evaluate(expression) as T;
}

/** Drags a node from the palette onto the workspace, at a place in pixels, and gives its id. */
export async function drop(page: Page, type: string, x: number, y: number): Promise<string> {
  const entry = page.locator(`.red-ui-palette-node[data-palette-type="${type}"]`);
  await entry.scrollIntoViewIfNeeded();
  const [from, chart] = [await entry.boundingBox(), await page.locator('#red-ui-workspace-chart').boundingBox()];
  if (from === null || chart === null) throw new Error('the palette or the workspace cannot be seen');
  await page.mouse.move(from.x + from.width / 2, from.y + from.height / 2);
  await page.mouse.down();
  await page.mouse.move(chart.x + x, chart.y + y, { steps: 8 });
  await page.mouse.up();
  const id = await inPage<string | undefined>(page, `RED.nodes.filterNodes({ type: ${JSON.stringify(type)} }).at(-1)?.id`);
  if (id === undefined) throw new Error(`${type} did not come onto the workspace`);
  return id;
}

/** Opens a node's dialog and waits until it can be used. */
export async function openDialog(page: Page, id: string): Promise<void> {
  await inPage(page, `RED.editor.edit(RED.nodes.node(${JSON.stringify(id)}))`);
  await page.waitForSelector('#node-dialog-ok', { state: 'visible' });
  await settled(page);
}

/** Opens the dialog of a configuration node, by itself. */
export async function openConfigDialog(page: Page, type: string, id: string): Promise<void> {
  await inPage(page, `RED.editor.editConfig("", ${JSON.stringify(type)}, ${JSON.stringify(id)})`);
  await page.waitForSelector('#node-config-dialog-ok', { state: 'visible' });
  await settled(page);
}

/** Presses a dialog's button and waits until the dialog has gone. */
export async function closeDialog(page: Page, button: 'node-dialog-ok' | 'node-dialog-cancel' | 'node-config-dialog-ok' | 'node-config-dialog-cancel'): Promise<void> {
  await page.click(`#${button}`);
  await page.waitForSelector(`#${button}`, { state: 'detached' });
  await settled(page);
}

/** Cancels whatever dialogs an earlier test left open. */
export async function closeEverything(page: Page): Promise<void> {
  for (let left = 5; left > 0; left -= 1) {
    const cancel = page.locator('#node-config-dialog-cancel:visible, #node-dialog-cancel:visible').last();
    if (await cancel.count() === 0) return;
    await cancel.click();
    await settled(page);
  }
}

interface Box { readonly label: string; readonly left: number; readonly right: number; readonly top: number; readonly bottom: number }

/** Imports an example of the pack from the menu, and goes to its tab. Gives the types of nodes that are unknown or not valid. */
export async function importExample(page: Page, title: string): Promise<string[]> {
  const before = await inPage<number>(page, 'RED.nodes.filterNodes({}).length');
  await inPage(page, `RED.actions.invoke('core:show-examples-import-dialog')`);
  const entry = (text: string) => page.locator('#red-ui-clipboard-dialog .red-ui-treeList-label:visible', { hasText: text });
  await entry('@exdicom/node-red-dicom').click();
  await entry('flows').nth(1).click(); // the first is the root of all flows
  await entry(title).click();
  await page.locator('#red-ui-clipboard-dialog-ok').click();
  await page.waitForFunction(`RED.nodes.filterNodes({}).length > ${before}`);
  await settled(page);
  await inPage(page, `RED.workspaces.show(RED.nodes.filterNodes({}).at(-1).z)`);
  await settled(page);
  return inPage(page, `(() => { const found = []; RED.nodes.eachNode((node) => { if (node.type === 'unknown' || node.valid === false) found.push(node.type); }); return found; })()`);
}

/** Pairs of nodes of the tab that lie on each other. */
export async function overlapping(page: Page): Promise<string[]> {
  const boxes = await inPage<Box[]>(page, `RED.nodes.filterNodes({ z: RED.workspaces.active() }).map((node) => ({ label: node.type + ' ' + node.name, left: node.x - node.w / 2, right: node.x + node.w / 2, top: node.y - node.h / 2, bottom: node.y + node.h / 2 }))`);
  // 18 pixels below a node are its status's.
  const apart = (a: Box, b: Box): boolean => a.right <= b.left || b.right <= a.left || a.bottom + 18 <= b.top || b.bottom + 18 <= a.top;
  return boxes.flatMap((a, index) => boxes.slice(index + 1).filter((b) => !apart(a, b)).map((b) => `${a.label} and ${b.label}`));
}

/** Where pictures are left for somebody to look at; the next run writes over them. */
export function screenshotFolder(): string {
  const folder = join(tmpdir(), 'exdicom-screenshots');
  mkdirSync(folder, { recursive: true });
  console.log(`screenshots: ${folder}`);
  return folder;
}

/** Dialogs slide in and out. */
export async function settled(page: Page): Promise<void> {
  await page.waitForTimeout(350);
}

/** Deploys everything and waits for Node-RED's word that it is done. */
export async function deploy(page: Page): Promise<void> {
  await page.click('#red-ui-header-button-deploy');
  const confirm = page.locator('.red-ui-notification button', { hasText: /confirm deploy/i });
  await page.waitForTimeout(300);
  if (await confirm.isVisible()) await confirm.click();
  await page.waitForFunction('!RED.nodes.dirty()');
}
