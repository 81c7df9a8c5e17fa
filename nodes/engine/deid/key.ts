/**
 * Where the key comes from, and that it stays the same. A key is never made anew where a ledger has used one before: other
 * pseudonyms would tear a patient's studies apart.
 */
import { randomBytes } from 'node:crypto';
import { chmod, link, mkdir, open, readFile, rm } from 'node:fs/promises';
import { dirname, isAbsolute, join, relative } from 'node:path';
import { ExdicomError, toExdicomError } from '../errors';
import type { Ledger } from '../ledger/ledger-types';
import type { JobId } from '../model';
import { keyFingerprint } from './keyed';

/** Characters that a key has at least; a made one has 64, which are 32 random bytes in hexadecimal. */
export const SHORTEST_KEY = 32;

export interface KeySources {
  /** The value of EXDICOM_DEID_KEY. */
  readonly environment?: string | undefined;
  /** The profile's credential. */
  readonly credential?: string | undefined;
  /** Used where neither is given; made, once, where it does not exist. Outside of the ledger's directory. */
  readonly file: string;
}

type KeyMemory = Pick<Ledger, 'knowsKey' | 'rememberKey'> & { readonly folders: Pick<Ledger['folders'], 'root'> };

function checked(text: string): Buffer {
  const key = text.trim();
  if (key.length < SHORTEST_KEY) throw new ExdicomError('KEY_TOO_SHORT');
  return Buffer.from(key, 'utf8');
}

function isMissing(thrown: unknown): boolean {
  return typeof thrown === 'object' && thrown !== null && 'code' in thrown && thrown.code === 'ENOENT';
}

function isTaken(thrown: unknown): boolean {
  return typeof thrown === 'object' && thrown !== null && 'code' in thrown && thrown.code === 'EEXIST';
}

async function readKeyFile(file: string): Promise<Buffer | undefined> {
  let text: string;
  try {
    text = await readFile(file, 'utf8');
  } catch (thrown) {
    if (isMissing(thrown)) return undefined;
    throw toExdicomError(thrown, { detail: 'key file' });
  }
  return checked(text);
}

async function syncFolder(folder: string): Promise<void> {
  // Windows opens no folders; there the rename is as durable as it gets.
  if (process.platform === 'win32') return;
  await using handle = await open(folder, 'r');
  await handle.sync();
}

/** Writes a random key under a name of its own, on disk, then gives it its name, which only one process can do. */
async function makeKeyFile(file: string): Promise<void> {
  const folder = dirname(file);
  await mkdir(folder, { recursive: true, mode: 0o700 });
  const temporary = `${file}.${randomBytes(6).toString('hex')}`;
  try {
    {
      await using handle = await open(temporary, 'wx', 0o600);
      await handle.writeFile(`${randomBytes(32).toString('hex')}\n`);
      await handle.sync();
    }
    await chmod(temporary, 0o600);
    try {
      await link(temporary, file);
    } catch (thrown) {
      if (!isTaken(thrown)) throw thrown;
    }
    await syncFolder(folder);
  } catch (thrown) {
    throw toExdicomError(thrown, { detail: 'key file' });
  } finally {
    await rm(temporary, { force: true });
  }
}

function isInside(folder: string, file: string): boolean {
  const path = relative(folder, file);
  return path !== '' && !path.startsWith('..') && !isAbsolute(path);
}

/** Under which name a ledger remembers the fingerprint of a scope's key. */
export function keyName(scope: string): string {
  return `deid:${scope}`;
}

/**
 * The key of a scope, for one ledger.
 * @throws {ExdicomError} KEY_TOO_SHORT; KEY_MISSING where the ledger has used a key and none is found; KEY_CHANGED where it
 *   was another; CONFIG_INVALID where the file would lie in the ledger's directory, which is copied and deleted as a whole.
 */
export async function loadKey({ environment, credential, file }: KeySources, scope: string, ledger: KeyMemory): Promise<Buffer> {
  const name = keyName(scope);
  const given = [environment, credential].find((text) => text !== undefined && text.trim() !== '');
  let key: Buffer | undefined;
  if (given === undefined) {
    if (isInside(ledger.folders.root, file)) throw new ExdicomError('CONFIG_INVALID', { detail: 'the key file must be outside of the ledger' });
    key = await readKeyFile(file);
    if (key === undefined) {
      if (await ledger.knowsKey(name)) throw new ExdicomError('KEY_MISSING');
      await makeKeyFile(file);
      key = await readKeyFile(file);
    }
    if (key === undefined) throw new ExdicomError('KEY_MISSING');
  } else {
    key = checked(given);
  }
  await ledger.rememberKey(name, keyFingerprint(key, scope));
  return key;
}

/**
 * A random key of this job alone. It lies in the job's work folder so that a crash does not change it, and goes with the job.
 * Should it vanish while the job is open, the job stops as PROFILE_CHANGED, since its fingerprint is pinned.
 */
export async function jobKey(ledger: Pick<Ledger, 'stageFolder'>, job: JobId): Promise<Buffer> {
  const file = join(await ledger.stageFolder(job, 'deid-key'), 'key');
  const found = await readKeyFile(file);
  if (found !== undefined) return found;
  await makeKeyFile(file);
  const made = await readKeyFile(file);
  if (made === undefined) throw new ExdicomError('KEY_MISSING');
  return made;
}
