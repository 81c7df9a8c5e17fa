/** `npm run bench`: the pack beside its peers, on the same data, in one run. Data and results lie on tmpfs where there is one. */
import { execFileSync, fork, spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { accessSync, existsSync, linkSync, mkdirSync, mkdtempSync, readdirSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { LOADS, writeStudy } from './data';
import type { LoadName } from './data';
import type { HostReport, StageFigures } from './host';

const ROUNDS = Number(process.env['EXDICOM_BENCH_ROUNDS'] ?? 3);
const parts = process.argv.slice(2);
const wanted = (part: string): boolean => parts.length === 0 || parts.includes(part);
const root = mkdtempSync(join(existsSync('/dev/shm') ? '/dev/shm' : tmpdir(), 'exdicom-bench-'));
process.on('exit', () => { rmSync(root, { recursive: true, force: true }); });
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, () => { process.exit(1); });

const has = (program: string): boolean => (process.env['PATH'] ?? '').split(':').some((folder) => { try { accessSync(join(folder, program)); return true; } catch { return false; } });
const median = (values: readonly number[]): number => [...values].sort((a, b) => a - b)[values.length >> 1] ?? Number.NaN;
const seconds = (milliseconds: number): string => `${(milliseconds / 1000).toFixed(2)} s`;
const megabytes = (bytes: number): string => `${Math.round(bytes / 1e6)} MB`;
const say = (line = ''): void => { process.stdout.write(`${line}\n`); };

async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => { server.listen(0, '127.0.0.1', resolve); });
  const { port } = server.address() as AddressInfo;
  await new Promise((resolve) => { server.close(resolve); });
  return port;
}

/** Runs a program to its end; milliseconds of the whole process. */
async function timed(program: string, options: readonly string[], environment: NodeJS.ProcessEnv = process.env): Promise<number> {
  const start = performance.now();
  await new Promise<void>((resolve, reject) => {
    const child = spawn(program, options, { stdio: 'ignore', env: environment });
    child.on('error', reject);
    child.on('exit', (code) => { if (code === 0) resolve(); else reject(new Error(`${program} ended with ${code}`)); });
  });
  return performance.now() - start;
}

// ------------------------------------------------------------------------------------------------ ours

interface Wiring {
  readonly anonymize: boolean;
  readonly port?: number;
  readonly associations?: number;
}

function flow(data: string, { anonymize, port, associations }: Wiring): Array<Record<string, unknown>> {
  const stages = ['extract', ...(anonymize ? ['anonymize'] : []), ...(port === undefined ? [] : ['c-store-out'])];
  return [
    { id: 'tab', type: 'tab', label: 'bench' },
    { id: 'ledger', type: 'exdicom-ledger', directory: join(data, 'ledger'), reserve: '100' },
    { id: 'profile', type: 'exdicom-deid-profile', name: 'bench', dates: 'shift', keyFile: join(data, 'key') },
    { id: 'pacs', type: 'exdicom-pacs', host: '127.0.0.1', port: String(port ?? 104), aet: 'ANY-SCP', callingAet: 'BENCH', verification: 'response', associations: String(associations ?? 1), nudge: true, identifiedAllowed: true },
    { id: 'in', type: 'exdicom-folder-in', z: 'tab', ledger: 'ledger', folder: join(data, 'inbox'), interval: '1', stable: '0', subfolders: true, wires: [['s0']] },
    ...stages.map((stage, index) => ({ id: `s${index}`, type: `exdicom-${stage}`, z: 'tab', ledger: 'ledger', profile: 'profile', pacs: 'pacs', wires: [[`s${index + 1}`], []] })),
    { id: `s${stages.length}`, type: 'exdicom-finish', z: 'tab', required: [], allowLeftOut: true, wires: [[]] },
  ];
}

/** Starts a Node-RED, gives it one item, and returns the figures of the stage asked for. */
async function ours(item: string, stage: string, wiring: Wiring): Promise<StageFigures> {
  const data = mkdtempSync(join(root, 'ours-'));
  mkdirSync(join(data, 'inbox'));
  writeFileSync(join(data, 'flows.json'), JSON.stringify(flow(data, wiring)));
  const host: ChildProcess = fork(join(__dirname, 'host.js'), [], { execArgv: ['--expose-gc'], stdio: ['ignore', 'ignore', 'inherit', 'ipc'] });
  try {
    return await new Promise<StageFigures>((resolve, reject) => {
      host.on('exit', () => { reject(new Error('Node-RED ended')); });
      host.on('message', (message: HostReport) => {
        if (message.kind === 'error') reject(new Error(message.message));
        if (message.kind === 'ready') give(item, join(data, 'inbox'));
        if (message.kind === 'stage' && message.figures.type === `exdicom-${stage}`) resolve(message.figures);
      });
      host.send({ userDir: data, flow: [] });
    });
  } finally {
    host.removeAllListeners('exit');
    host.kill('SIGKILL');
    rmSync(data, { recursive: true, force: true });
  }
}

/** Hard links cost nothing, and the watcher only reads. */
function give(item: string, inbox: string): void {
  if (statSync(item).isFile()) {
    linkSync(item, join(inbox, 'item'));
    return;
  }
  const staging = join(inbox, '..', 'staging');
  mkdirSync(staging);
  for (const name of readdirSync(item)) linkSync(join(item, name), join(staging, name));
  execFileSync('mv', [staging, join(inbox, 'item')]);
}

// ------------------------------------------------------------------------------------------------ peers

interface Service { readonly port: number; readonly httpPort?: number; stop(): void }

async function untilOpen(port: number): Promise<void> {
  const { connect } = await import('node:net');
  for (;;) {
    const open = await new Promise<boolean>((resolve) => {
      const socket = connect(port, '127.0.0.1', () => { socket.destroy(); resolve(true); });
      socket.on('error', () => { resolve(false); });
    });
    if (open) return;
    await new Promise((resolve) => { setTimeout(resolve, 100); });
  }
}

async function storescp(tuned: boolean): Promise<Service> {
  const port = await freePort();
  const child = spawn('storescp', ['--ignore', String(port)], { stdio: 'ignore', env: tuned ? { ...process.env, TCP_NODELAY: '1' } : process.env });
  await untilOpen(port);
  return { port, stop: () => { child.kill('SIGKILL'); } };
}

async function orthanc(tuned: boolean): Promise<Service> {
  const [port, httpPort] = [await freePort(), await freePort()];
  const folder = mkdtempSync(join(root, 'orthanc-'));
  writeFileSync(join(folder, 'orthanc.json'), JSON.stringify({
    StorageDirectory: folder, IndexDirectory: folder, HttpPort: httpPort, DicomPort: port, DicomAet: 'ORTHANC', RemoteAccessAllowed: false, AuthenticationEnabled: false,
    DicomAlwaysAllowStore: true, UnknownSopClassAccepted: true, OverwriteInstances: true, Plugins: [],
  }));
  const child = spawn('Orthanc', [join(folder, 'orthanc.json')], { stdio: 'ignore', env: tuned ? { ...process.env, TCP_NODELAY: '1' } : process.env });
  await untilOpen(httpPort);
  await untilOpen(port);
  return { port, httpPort, stop: () => { child.kill('SIGKILL'); rmSync(folder, { recursive: true, force: true }); } };
}

/** Uploads, then anonymises every instance by REST, four at a time; milliseconds of the second part alone. */
async function orthancAnonymize(files: readonly string[]): Promise<number> {
  const { readFileSync } = await import('node:fs');
  const service = await orthanc(true);
  try {
    const base = `http://127.0.0.1:${service.httpPort}`;
    const ids: string[] = [];
    for (const file of files) {
      const answer = await fetch(`${base}/instances`, { method: 'POST', body: readFileSync(file) });
      ids.push(((await answer.json()) as { ID: string }).ID);
    }
    const start = performance.now();
    const queue = [...ids];
    await Promise.all(Array.from({ length: 4 }, async () => {
      for (let id = queue.pop(); id !== undefined; id = queue.pop()) await (await fetch(`${base}/instances/${id}/anonymize`, { method: 'POST', body: '{}' })).arrayBuffer();
    }));
    return performance.now() - start;
  } finally {
    service.stop();
  }
}

// ------------------------------------------------------------------------------------------------ comparing

const figures: string[] = [];

/** Runs ours and the peers in turn, round by round, and prints the medians and the ratios pair by pair. */
async function compare(title: string, mine: () => Promise<StageFigures>, peers: ReadonlyArray<readonly [name: string, run: () => Promise<number>]>): Promise<void> {
  const own: StageFigures[] = [];
  const theirs = new Map<string, number[]>();
  for (let round = 0; round < ROUNDS; round += 1) {
    own.push(await mine());
    for (const [name, run] of peers) {
      try {
        theirs.set(name, [...theirs.get(name) ?? [], await run()]);
      } catch (error) {
        theirs.set(name, [...theirs.get(name) ?? [], Number.NaN]);
        if (round === 0) say(`  ${name}: ${error instanceof Error ? error.message : String(error)}`);
      }
    }
  }
  say(title);
  say(`  ours ${seconds(median(own.map((one) => one.milliseconds)))}, memory +${megabytes(median(own.map((one) => one.rssPeak - one.rssBefore)))} (peak ${megabytes(Math.max(...own.map((one) => one.rssPeak)))}), loop delay p99 ${median(own.map((one) => one.delayP99)).toFixed(1)} ms, max ${Math.max(...own.map((one) => one.delayMax)).toFixed(1)} ms`);
  for (const [name, times] of theirs) {
    const ratio = median(times.map((time, round) => own[round]!.milliseconds / time));
    say(`  ${name} ${seconds(median(times))}, ours/${name.split(' ')[0]} ${ratio.toFixed(2)}`);
  }
  figures.push(title);
}

/** Gives a peer an empty folder to write into. */
async function into(run: (folder: string) => Promise<number>): Promise<number> {
  const folder = mkdtempSync(join(root, 'peer-'));
  try { return await run(folder); } finally { rmSync(folder, { recursive: true, force: true }); }
}

async function main(): Promise<void> {
  say(`Node ${process.version}, ${ROUNDS} rounds in turn; peers are whole processes, ours is the stage inside a running Node-RED, its ledger included.`);
  const loads = (Object.keys(LOADS) as LoadName[]).map((name) => {
    const folder = join(root, name);
    return { name, title: LOADS[name].title, folder, files: writeStudy(folder, LOADS[name].count, LOADS[name].shape) };
  });
  if (wanted('deid')) {
    say('\nDe-identification (whole Basic Profile, dates shifted)');
    for (const load of loads) {
      await compare(load.title, () => ours(load.folder, 'anonymize', { anonymize: true }), [
        ['cp -r', () => into((folder) => timed('cp', ['-r', load.folder, folder]))],
        ...(has('gdcmanon') ? [['gdcmanon --dumb', () => into((folder) => timed('gdcmanon', ['--dumb', '--remove', '10,30', '--replace', '10,10=X', '--replace', '10,20=X', '--recursive', '-i', load.folder, '-o', folder]))] as const] : []),
        ...(has('Orthanc') && load.name !== 'multiframe' ? [['Orthanc /anonymize x4', () => orthancAnonymize(load.files)] as const] : []),
      ]);
    }
  }

  if (wanted('store')) {
    for (const tuned of [true, false]) {
      say(`\nC-STORE, peers ${tuned ? 'tuned (TCP_NODELAY=1)' : 'as packaged (a subset: 100 CT, 200 tiny)'}`);
      const environment = tuned ? { ...process.env, TCP_NODELAY: '1' } : process.env;
      for (const load of loads) {
        let { folder } = load;
        if (!tuned && load.name !== 'multiframe') {
          folder = join(root, `${load.name}-subset`);
          if (!existsSync(folder)) {
            mkdirSync(folder);
            for (const file of load.files.slice(0, load.name === 'ct' ? 100 : 200)) linkSync(file, join(folder, file.slice(file.lastIndexOf('/') + 1)));
          }
        }
        for (const [peerName, open, associations] of [['storescp', storescp, 1], ['Orthanc', orthanc, 4]] as const) {
          if (!has(peerName)) continue;
          const service = async <T>(run: (port: number) => Promise<T>): Promise<T> => {
            const one = await open(tuned);
            try { return await run(one.port); } finally { one.stop(); }
          };
          await compare(`${load.title} to ${peerName}`, () => service((port) => ours(folder, 'c-store-out', { anonymize: false, port, associations })), [
            ['dcmsend', () => service((port) => timed('dcmsend', ['--scan-directories', '127.0.0.1', String(port), folder], environment))],
          ]);
        }
      }
    }
  }

  if (wanted('extract')) {
    say('\nExtraction of a zip (identified, digested and classified by ours)');
    for (const load of loads) {
      const zip = join(root, `${load.name}.zip`);
      execFileSync('bsdtar', ['-a', ...(load.name === 'multiframe' ? ['--options', 'zip:compression=store'] : []), '-cf', zip, '-C', load.folder, '.']);
      await compare(load.title, () => ours(zip, 'extract', { anonymize: false }), [
        ['bsdtar', () => into((folder) => timed('bsdtar', ['-xf', zip, '-C', folder]))],
        ...(has('unar') ? [['unar', () => into((folder) => timed('unar', ['-q', '-o', folder, zip]))] as const] : []),
      ]);
    }
  }
  say(`\n${figures.length} comparisons.`);
}

main().then(() => process.exit(0), (error: unknown) => { say(String(error)); process.exit(1); });
