/** The programs that the pack is measured beside, and the receivers that both send to. */
import { spawn } from 'node:child_process';
import { accessSync, constants, createReadStream, mkdtempSync, readdirSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { request } from 'node:http';
import { connect, createServer } from 'node:net';
import type { AddressInfo } from 'node:net';
import { delimiter, join } from 'node:path';
import { touchMemory } from './data';

export function has(program: string): boolean {
  return `${process.env['PATH'] ?? ''}${delimiter}/usr/sbin`.split(delimiter).some((folder) => {
    try { accessSync(join(folder, program), constants.X_OK); return true; } catch { return false; }
  });
}

/** DCMTK leaves Nagle's algorithm on unless told otherwise, and with it 40 ms for each response. */
export const environment = (tuned: boolean): NodeJS.ProcessEnv => {
  const { TCP_NODELAY: _, ...rest } = process.env;
  return { ...rest, PATH: `${process.env['PATH'] ?? ''}${delimiter}/usr/sbin`, ...(tuned ? { TCP_NODELAY: '1' } : {}) };
};

/** Runs a program to its end; milliseconds of the whole process. */
export async function timed(program: string, options: readonly string[], tuned = false): Promise<number> {
  const begun = performance.now();
  await new Promise<void>((resolve, reject) => {
    const child = spawn(program, options, { stdio: 'ignore', env: environment(tuned) });
    child.on('error', reject);
    child.on('exit', (code) => { if (code === 0) resolve(); else reject(new Error(`${program} ended with ${code}`)); });
  });
  return performance.now() - begun;
}

/** Gives a peer an empty folder to write into, and counts what it wrote. @param touch bytes of memory that it finds in use before */
export async function into(root: string, files: number, touch: number, run: (folder: string) => Promise<number>): Promise<number> {
  const folder = mkdtempSync(join(root, 'peer-'));
  try {
    touchMemory(root, touch);
    const milliseconds = await run(folder);
    const written = readdirSync(folder, { recursive: true, withFileTypes: true }).filter((entry) => entry.isFile()).length;
    if (written !== files) throw new Error(`wrote ${written} of ${files} files`);
    return milliseconds;
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

export interface Receiver extends AsyncDisposable {
  readonly port: number;
  /** Instances that it holds, where it can tell. */
  count(): Promise<number | undefined>;
}

async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => { server.listen(0, '127.0.0.1', resolve); });
  const { port } = server.address() as AddressInfo;
  await new Promise((resolve) => { server.close(resolve); });
  return port;
}

async function start(program: string, options: readonly string[], tuned: boolean, ports: readonly number[]): Promise<() => Promise<void>> {
  const child = spawn(program, options, { stdio: 'ignore', env: environment(tuned) });
  let failure: Error | undefined;
  const ended = new Promise<void>((resolve) => {
    child.on('error', (error) => { failure = error; resolve(); });
    child.on('exit', (code) => { failure ??= new Error(`${program} ended with ${code}`); resolve(); });
  });
  for (const port of ports) {
    while (!await opens(port)) {
      if (failure !== undefined) throw failure;
      await new Promise((resolve) => { setTimeout(resolve, 50); });
    }
  }
  return async () => { child.kill('SIGKILL'); await ended; };
}

const opens = (port: number): Promise<boolean> => new Promise((resolve) => {
  const socket = connect(port, '127.0.0.1', () => { socket.destroy(); resolve(true); });
  socket.on('error', () => { resolve(false); });
});

/** Takes everything and keeps nothing. */
export async function storescp(_root: string, tuned: boolean): Promise<Receiver> {
  const port = await freePort();
  const stop = await start('storescp', ['--ignore', String(port)], tuned, [port]);
  return { port, count: () => Promise.resolve(undefined), [Symbol.asyncDispose]: stop };
}

export interface OrthancServer extends Receiver {
  readonly httpPort: number;
}

/** With an empty database. */
export async function orthanc(root: string, tuned: boolean): Promise<OrthancServer> {
  const [port, httpPort] = [await freePort(), await freePort()];
  const folder = mkdtempSync(join(root, 'orthanc-'));
  const configuration = join(folder, 'orthanc.json');
  writeFileSync(configuration, JSON.stringify({
    StorageDirectory: folder, IndexDirectory: folder, HttpPort: httpPort, DicomPort: port, DicomAet: 'ORTHANC', RemoteAccessAllowed: false, AuthenticationEnabled: false,
    DicomAlwaysAllowStore: true, UnknownSopClassAccepted: true, OverwriteInstances: true, Plugins: [],
  }));
  const stop = await start('Orthanc', [configuration], tuned, [httpPort, port]);
  return {
    port, httpPort,
    count: async () => (await json(httpPort, 'GET', '/statistics') as { readonly CountInstances: number }).CountInstances,
    [Symbol.asyncDispose]: async () => { await stop(); rmSync(folder, { recursive: true, force: true }); },
  };
}

/** One request to Orthanc; what it answers, parsed where it is JSON. */
function json(port: number, method: string, path: string, body?: string | { readonly file: string }): Promise<unknown> {
  return new Promise((resolve, reject) => {
    const length = body === undefined ? 0 : typeof body === 'string' ? Buffer.byteLength(body) : statSync(body.file).size;
    const asked = request({ port, host: '127.0.0.1', method, path, headers: { 'content-length': length } }, (response) => {
      const chunks: Buffer[] = [];
      // An anonymised instance of half a gigabyte is only counted, as curl to nowhere would.
      response.on('data', (chunk: Buffer) => { if (chunks.length < 16) chunks.push(chunk); });
      response.on('error', reject);
      response.on('end', () => {
        if (response.statusCode !== 200) reject(new Error(`Orthanc answered ${response.statusCode}`));
        else resolve(response.headers['content-type']?.includes('json') === true ? JSON.parse(Buffer.concat(chunks).toString()) : undefined);
      });
    });
    asked.on('error', reject);
    if (body === undefined || typeof body === 'string') asked.end(body);
    else createReadStream(body.file).on('error', reject).pipe(asked);
  });
}

/** Uploads, then has every instance anonymised by REST, four at a time, which is the quickest; milliseconds of the second part alone. */
export async function orthancAnonymize(root: string, files: readonly string[]): Promise<number> {
  await using server = await orthanc(root, true);
  const ids = await side(files, async (file) => (await json(server.httpPort, 'POST', '/instances', { file }) as { readonly ID: string }).ID);
  const begun = performance.now();
  await side(ids, (id) => json(server.httpPort, 'POST', `/instances/${id}/anonymize`, '{}'));
  return performance.now() - begun;
}

/** Four at a time. */
async function side<T, R>(items: readonly T[], run: (item: T) => Promise<R>): Promise<R[]> {
  const queue = [...items];
  const results: R[] = [];
  await Promise.all(Array.from({ length: 4 }, async () => {
    for (let item = queue.pop(); item !== undefined; item = queue.pop()) results.push(await run(item));
  }));
  return results;
}
