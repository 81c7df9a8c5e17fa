// Starts Node-RED with the pack and an example flow, a sample study in its inbox. Everything it writes lies in EXDICOM_DATA
// (default ./data), but for Node-RED's own files, in ./.node-red. What can be set by environment variables is listed in the README.
import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { copyFile, mkdir, readdir, readFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import { createRequire } from 'node:module';
import { dirname, join, resolve } from 'node:path';
import { setTimeout } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { writeSampleStudy } from './sample-study.mjs';

const root = join(dirname(fileURLToPath(import.meta.url)), '..');
const require = createRequire(import.meta.url);

execFileSync(process.execPath, [join(root, 'scripts', 'build.mjs'), '--quick'], { stdio: 'inherit' });

const data = resolve(process.env.EXDICOM_DATA || join(root, 'data'));
process.env.EXDICOM_DATA = data;
// Node-RED's own files, and with them the de-identification key, must not lie where data is copied and deleted as a whole.
const userDir = join(root, '.node-red', createHash('sha256').update(data).digest('hex').slice(0, 8));
const inbox = join(data, 'inbox');
const fresh = !existsSync(inbox);
await mkdir(userDir, { recursive: true });
await mkdir(inbox, { recursive: true });
if (fresh) await writeSampleStudy(join(inbox, 'sample-study.zip'));

// The embedded receiver is where the flow sends to, unless it is told otherwise.
if (!process.env.EXDICOM_PACS_HOST) process.env.EXDICOM_PACS_PORT ||= process.env.EXDICOM_LISTEN_PORT || '11112';

const number = process.env.EXDICOM_FLOW || '01';
const examples = join(root, 'examples', 'flows');
const example = (await readdir(examples)).find((name) => name.startsWith(`${number} `));
if (example === undefined) throw new Error(`EXDICOM_FLOW=${number}: examples/flows has no such flow`);
const flowFile = join(userDir, `flows-${number}.json`);
if (!existsSync(flowFile)) await copyFile(join(examples, example), flowFile);

const port = Number(process.env.PORT || 1880);
const host = process.env.HOST || '127.0.0.1';
const express = require('express');
const RED = require('node-red');
const app = express();
const server = createServer(app);
RED.init(server, {
  userDir,
  flowFile,
  nodesDir: [root],
  uiPort: port,
  uiHost: host,
  httpAdminRoot: '/',
  httpNodeRoot: '/',
  credentialSecret: process.env.EXDICOM_CREDENTIAL_SECRET || undefined,
  editorTheme: { tours: false },
  telemetry: { enabled: false, updateNotification: false },
  logging: { console: { level: 'info', metrics: false, audit: false } },
});
// The port is taken first, so that a second start fails before it touches anything; who asks before Node-RED can answer waits.
const loaded = Promise.withResolvers();
app.use(async (_request, _response, next) => {
  await loaded.promise;
  next();
});
app.use('/', RED.httpAdmin);
app.use('/', RED.httpNode);

let stopping;
const stop = () => {
  stopping ??= RED.stop().finally(() => { server.close(); process.exit(0); });
};
process.on('SIGINT', stop);
process.on('SIGTERM', stop);

server.listen(port, host);
await once(server, 'listening');
await RED.start();
// It answers with an error until it has its flows, which come a little later.
for (let wait = 0; wait < 200 && !RED.nodes.getFlows(); wait += 1) await setTimeout(50);
loaded.resolve();
const site = `http://${host}:${server.address().port}`;
// Pages of the example that a browser can open as they are.
const pages = JSON.parse(await readFile(join(examples, example), 'utf8')).filter(({ type, method, url }) => type === 'http in' && method === 'get' && !url.includes(':'));
console.log(`\n  ${example.replace(/\.json$/, '')}\n  editor    ${site}/\n${pages.map(({ url }) => `  page      ${site}${url}\n`).join('')}  inbox     ${inbox}\n  received  ${join(data, 'received')}\n`);
