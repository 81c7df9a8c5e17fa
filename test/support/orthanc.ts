/** A real Orthanc on ports and in a folder of its own, for tests: DICOM and REST on 127.0.0.1, inventory by REST. */
import { spawn } from 'node:child_process';
import { accessSync, constants, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';

const PROGRAM = '/usr/sbin/Orthanc';
const START_LIMIT = 30_000;

/** Why a test that needs Orthanc must be skipped, or false. */
export function orthancMissing(): string | false {
  try {
    accessSync(PROGRAM, constants.X_OK);
    return false;
  } catch {
    return 'Orthanc is not installed';
  }
}

export interface OrthancOptions {
  /** Merged over the configuration below. */
  readonly config?: Readonly<Record<string, unknown>>;
  /** Where Orthanc can send to and from whom it takes queries: name, AE title, port on 127.0.0.1. */
  readonly modalities?: Readonly<Record<string, { readonly aet: string; readonly port: number }>>;
  /** Lua scripts that it loads: name to text. */
  readonly scripts?: Readonly<Record<string, string>>;
  /** False leaves Nagle on, as packaged. Default true. */
  readonly noDelay?: boolean;
}

export interface OrthancInstance {
  /** Orthanc's own id, for `/instances/{id}/file`. */
  readonly id: string;
  readonly sopInstanceUID: string;
}

export interface Orthanc extends AsyncDisposable {
  readonly aet: 'ORTHANC';
  readonly dicomPort: number;
  readonly httpPort: number;
  /** `http://127.0.0.1:<port>` */
  readonly url: string;
  readonly folder: string;
  instances(): Promise<readonly OrthancInstance[]>;
  /** Patients, studies, series, instances. */
  counts(): Promise<{ readonly patients: number; readonly studies: number; readonly series: number; readonly instances: number }>;
  /** Body of GET as JSON; throws on anything but 200. */
  get(path: string): Promise<unknown>;
  /** GET as bytes, for `/instances/{id}/file`. */
  bytes(path: string): Promise<Buffer>;
  /** A string or Buffer goes as it is, anything else as JSON. Answers parsed JSON; throws on anything but 200. */
  post(path: string, body: string | Uint8Array | object): Promise<unknown>;
  delete(path: string): Promise<void>;
  /** Ends the process at once and removes its folder. */
  stop(): Promise<void>;
}

/** A port that is free now on 127.0.0.1. */
export async function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const server = createServer().once('error', reject);
    server.listen(0, '127.0.0.1', () => {
      const address = server.address();
      server.close(() => { resolve(typeof address === 'object' && address !== null ? address.port : 0); });
    });
  });
}

/** Starts Orthanc and waits until it answers. The caller stops it; a test process that ends takes it along. */
export async function startOrthanc(options: OrthancOptions = {}): Promise<Orthanc> {
  const folder = mkdtempSync(join(tmpdir(), 'exdicom-orthanc-'));
  const [httpPort, dicomPort] = [await freePort(), await freePort()];
  const configuration = {
    StorageDirectory: join(folder, 'db'), IndexDirectory: join(folder, 'db'),
    HttpPort: httpPort, DicomPort: dicomPort, DicomAet: 'ORTHANC',
    RemoteAccessAllowed: false, AuthenticationEnabled: false, DicomAlwaysAllowStore: true, DicomAlwaysAllowFind: true, DicomAlwaysAllowEcho: true,
    UnknownSopClassAccepted: true, OverwriteInstances: true, Plugins: [], StorageCommitmentReportsSize: 100,
    DicomModalities: Object.fromEntries(Object.entries(options.modalities ?? {}).map(([name, { aet, port }]) => [name, [aet, '127.0.0.1', port]])),
    ...(options.scripts === undefined ? {} : { LuaScripts: Object.keys(options.scripts).map((name) => join(folder, name)) }),
    ...options.config,
  };
  for (const [name, text] of Object.entries(options.scripts ?? {})) writeFileSync(join(folder, name), text);
  const file = join(folder, 'orthanc.json');
  writeFileSync(file, JSON.stringify(configuration));
  const child = spawn(PROGRAM, [file], {
    stdio: ['ignore', 'ignore', 'pipe'],
    env: { ...process.env, ...((options.noDelay ?? true) ? { TCP_NODELAY: '1' } : {}) },
  });
  let log = '';
  child.stderr.setEncoding('utf8').on('data', (text: string) => { log = (log + text).slice(-4_000); });
  const ended = new Promise<void>((resolve) => { child.once('exit', () => { resolve(); }); });
  const kill = (): void => { child.kill('SIGKILL'); };
  process.once('exit', kill);
  const stop = async (): Promise<void> => {
    process.off('exit', kill);
    kill();
    await ended;
    rmSync(folder, { recursive: true, force: true });
  };

  const url = `http://127.0.0.1:${httpPort}`;
  const ask = async (path: string, init: RequestInit = {}): Promise<Response> => {
    const response = await fetch(url + path, init);
    if (!response.ok) throw new Error(`Orthanc: ${init.method ?? 'GET'} ${path}: ${response.status} ${await response.text()}`);
    return response;
  };
  for (const deadline = Date.now() + START_LIMIT; ;) {
    if (child.exitCode !== null || Date.now() > deadline) {
      await stop();
      throw new Error(`Orthanc did not start: ${log}`);
    }
    try {
      await (await ask('/system')).arrayBuffer();
      break;
    } catch {
      await pause(100);
    }
  }

  return {
    aet: 'ORTHANC', dicomPort, httpPort, url, folder, stop,
    [Symbol.asyncDispose]: stop,
    async instances() {
      const list = await (await ask('/instances?expand')).json() as ReadonlyArray<{ ID: string; MainDicomTags: { SOPInstanceUID: string } }>;
      return list.map(({ ID, MainDicomTags }) => ({ id: ID, sopInstanceUID: MainDicomTags.SOPInstanceUID }));
    },
    async counts() {
      const all = await (await ask('/statistics')).json() as Record<'CountPatients' | 'CountStudies' | 'CountSeries' | 'CountInstances', number>;
      return { patients: all.CountPatients, studies: all.CountStudies, series: all.CountSeries, instances: all.CountInstances };
    },
    get: async (path) => (await ask(path)).json(),
    bytes: async (path) => Buffer.from(await (await ask(path)).arrayBuffer()),
    post: async (path, body) => (await ask(path, {
      method: 'POST',
      body: typeof body === 'string' ? body : body instanceof Uint8Array ? new Uint8Array(body) : JSON.stringify(body),
    })).json(),
    delete: async (path) => { await (await ask(path, { method: 'DELETE' })).arrayBuffer(); },
  };
}
