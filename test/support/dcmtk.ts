/** DCMTK's programs as peers in tests: on 127.0.0.1, in folders of their own, ended with the test. */
import { spawn } from 'node:child_process';
import { accessSync, constants, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { freePort } from './orthanc';

const START_LIMIT = 15_000;

/** Why a test that needs these programs must be skipped, or false. */
export function programsMissing(...programs: readonly string[]): string | false {
  const folders = (process.env['PATH'] ?? '').split(delimiter);
  const missing = programs.filter((program) => !folders.some((folder) => {
    try {
      accessSync(join(folder, program), constants.X_OK);
      return true;
    } catch {
      return false;
    }
  }));
  return missing.length === 0 ? false : `not installed: ${missing.join(', ')}`;
}

export interface StorescpOptions {
  /** Further options of storescp; by default it takes every transfer syntax (`+xa`) and keeps bytes as received (`+B`). */
  readonly options?: readonly string[];
  /** False leaves Nagle on, as packaged. Default true. */
  readonly noDelay?: boolean;
  readonly port?: number;
}

export interface Storescp extends AsyncDisposable {
  readonly port: number;
  /** Where it writes what it received. */
  readonly folder: string;
  /** Paths of the files that it holds. */
  files(): string[];
  /** What it said until now. */
  log(): string;
  stop(): Promise<void>;
}

/** Starts a storescp and waits until it listens. */
export async function startStorescp(settings: StorescpOptions = {}): Promise<Storescp> {
  const port = settings.port ?? await freePort();
  const folder = mkdtempSync(join(tmpdir(), 'exdicom-storescp-'));
  const child = spawn('storescp', ['-v', ...(settings.options ?? ['+B', '+xa']), '--output-directory', folder, String(port)], {
    stdio: ['ignore', 'pipe', 'pipe'],
    env: { ...process.env, ...((settings.noDelay ?? true) ? { TCP_NODELAY: '1' } : {}) },
  });
  let log = '';
  for (const stream of [child.stdout, child.stderr]) stream.setEncoding('utf8').on('data', (text: string) => { log = (log + text).slice(-100_000); });
  const ended = new Promise<void>((resolve) => { child.once('exit', () => { resolve(); }); });
  const kill = (): void => { child.kill('SIGKILL'); };
  process.once('exit', kill);
  const stop = async (): Promise<void> => {
    process.off('exit', kill);
    kill();
    await ended;
    rmSync(folder, { recursive: true, force: true });
  };
  for (const deadline = Date.now() + START_LIMIT; !await listens(port);) {
    if (child.exitCode !== null || Date.now() > deadline) {
      await stop();
      throw new Error(`storescp did not start: ${log}`);
    }
    await pause(20);
  }
  return {
    port, folder, stop,
    [Symbol.asyncDispose]: stop,
    files: () => readdirSync(folder).map((name) => join(folder, name)),
    log: () => log,
  };
}

/** Whether something listens on a port of 127.0.0.1. */
export function listens(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1');
    socket.once('connect', () => { socket.destroy(); resolve(true); });
    socket.once('error', () => { resolve(false); });
  });
}

export interface Ran {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** Runs a program to its end. */
export function run(program: string, options: readonly string[], environment: NodeJS.ProcessEnv = {}): Promise<Ran> {
  return new Promise((resolve, reject) => {
    const child = spawn(program, options, { stdio: ['ignore', 'pipe', 'pipe'], env: { ...process.env, ...environment } });
    let [stdout, stderr] = ['', ''];
    child.stdout.setEncoding('utf8').on('data', (text: string) => { stdout += text; });
    child.stderr.setEncoding('utf8').on('data', (text: string) => { stderr += text; });
    child.once('error', reject);
    child.once('close', (code) => { resolve({ code, stdout, stderr }); });
  });
}
