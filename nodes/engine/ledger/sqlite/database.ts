/** One SQLite database and its lock: opening, migrating, transactions, statements and the sealing of what identifies. */
import { createCipheriv, createDecipheriv, createHmac, createSecretKey, randomBytes } from 'node:crypto';
import type { KeyObject } from 'node:crypto';
import { chmodSync, closeSync, mkdirSync, openSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import type { SQLInputValue, SQLOutputValue, StatementSync } from 'node:sqlite';
import { ExdicomError, toExdicomError } from '../../errors';
import { APPLICATION_ID, MIGRATIONS } from './schema';

export const DATABASE_FILE = 'ledger.sqlite';
/**
 * Held with an exclusive SQLite lock while a store is open: the operating system lets go of it when the process dies, however
 * it dies. Nothing else in this process may open it: POSIX locks end when any handle of theirs is closed.
 */
export const LOCK_FILE = 'ledger.lock';

/** Milliseconds to wait for a process that is just going. */
const LOCK_PATIENCE = 1500;

export type Row = Record<string, SQLOutputValue>;
export type Value = SQLInputValue | boolean | undefined;

/** Primary result codes of SQLite (sqlite.org/rescode.html). */
const BUSY = 5, LOCKED = 6, NO_MEMORY = 7, READONLY = 8, IO_ERROR = 10, CORRUPT = 11, FULL = 13, CANNOT_OPEN = 14, NOT_A_DATABASE = 26;
/** After these SQLite may have rolled back the whole transaction. */
const BREAKING: ReadonlySet<number> = new Set([BUSY, LOCKED, NO_MEMORY, READONLY, IO_ERROR, CORRUPT, FULL, CANNOT_OPEN, NOT_A_DATABASE]);

function resultCode(thrown: unknown): number | undefined {
  const known = typeof thrown === 'object' && thrown !== null && 'errcode' in thrown ? thrown.errcode : undefined;
  return typeof known === 'number' ? known & 0xff : undefined;
}

/** Anything that the database threw, in the words of the error table. */
export function storageError(thrown: unknown): ExdicomError {
  if (thrown instanceof ExdicomError) return thrown;
  const details = { stage: 'ledger', origin: thrown } as const;
  switch (resultCode(thrown)) {
    case undefined: return toExdicomError(thrown, { stage: 'ledger' });
    case FULL: return new ExdicomError('DISK_FULL', details);
    case BUSY: case LOCKED: return new ExdicomError('LEDGER_LOCKED', details);
    case CORRUPT: case NOT_A_DATABASE: return new ExdicomError('LEDGER_DAMAGED', details);
    case READONLY: case IO_ERROR: case CANNOT_OPEN: return new ExdicomError('STORAGE_FAILED', details);
    default: return new ExdicomError('INTERNAL', details);
  }
}

const plain = (value: Value): SQLInputValue => (value === undefined ? null : typeof value === 'boolean' ? Number(value) : value);

function connect(file: string): DatabaseSync {
  // SQLite gives its files the mode of the database file, which it would make readable by all.
  closeSync(openSync(file, 'a', 0o600));
  chmodSync(file, 0o600);
  return new DatabaseSync(file);
}

const inodeOf = (directory: string): bigint | undefined => statSync(join(directory, DATABASE_FILE), { bigint: true, throwIfNoEntry: false })?.ino;

export class Database {
  readonly #sqlite: DatabaseSync;
  readonly #lock: DatabaseSync;
  readonly #statements = new Map<string, StatementSync>();
  readonly #keys = new Map<number, KeyObject>();
  readonly #salt: KeyObject;
  /** Which file this is, whatever bears its name by now. */
  readonly #inode: bigint | undefined;
  /** Number of the last event that is in the journal and on disk there; what is newer must not be forgotten here. */
  journaled = 0;
  #broken: unknown;
  #checkpointDue = false;

  private constructor(readonly directory: string, sqlite: DatabaseSync, lock: DatabaseSync) {
    this.#sqlite = sqlite;
    this.#lock = lock;
    this.#inode = inodeOf(directory);
    // A sixth of the time that bare bytes take.
    this.#salt = createSecretKey(this.transaction(() => {
      const known = this.get('SELECT value FROM meta WHERE name = ?', 'salt')?.['value'];
      if (known instanceof Uint8Array) return Buffer.from(known);
      const made = randomBytes(32);
      this.run('INSERT INTO meta (name, value) VALUES (?, ?)', 'salt', made);
      return made;
    }));
  }

  /**
   * @param directory root of the ledger; made 0700 where it is absent.
   * @throws {ExdicomError} LEDGER_LOCKED, LEDGER_NEWER, LEDGER_DAMAGED (nothing is changed then), DISK_FULL, STORAGE_FAILED
   */
  static open(directory: string): Database {
    mkdirSync(directory, { recursive: true, mode: 0o700 });
    const lock = connect(join(directory, LOCK_FILE));
    let sqlite: DatabaseSync | undefined;
    try {
      lock.exec(`PRAGMA busy_timeout = ${LOCK_PATIENCE}; BEGIN EXCLUSIVE`);
      sqlite = connect(join(directory, DATABASE_FILE));
      prepare(sqlite);
      return new Database(directory, sqlite, lock);
    } catch (thrown) {
      sqlite?.close();
      lock.close();
      throw storageError(thrown);
    }
  }

  close(): void {
    this.#statements.clear();
    try {
      this.#sqlite.exec('PRAGMA wal_checkpoint(TRUNCATE)');
    } finally {
      this.#sqlite.close();
      this.#lock.close();
    }
  }

  #statement(sql: string): StatementSync {
    let statement = this.#statements.get(sql);
    if (statement === undefined) {
      statement = this.#sqlite.prepare(sql);
      this.#statements.set(sql, statement);
    }
    return statement;
  }

  /** Rows changed. */
  run(sql: string, ...values: Value[]): number {
    return Number(this.#statement(sql).run(...values.map(plain)).changes);
  }

  get(sql: string, ...values: Value[]): Row | undefined {
    return this.#statement(sql).get(...values.map(plain));
  }

  all(sql: string, ...values: Value[]): Row[] {
    return this.#statement(sql).all(...values.map(plain));
  }

  /** @throws {ExdicomError} STORAGE_FAILED where the file was taken away: SQLite would go on writing into what nobody finds after a restart. */
  transaction<T>(body: () => T): T {
    if (inodeOf(this.directory) !== this.#inode) throw new ExdicomError('STORAGE_FAILED', { stage: 'ledger', detail: 'the ledger file is gone' });
    this.#sqlite.exec('BEGIN IMMEDIATE');
    this.#broken = undefined;
    try {
      const result = body();
      if (this.#broken !== undefined) throw this.#broken;
      this.#sqlite.exec('COMMIT');
      return result;
    } catch (thrown) {
      this.#keys.clear();
      try { this.#sqlite.exec('ROLLBACK'); } catch { /* SQLite has rolled back by itself already. */ }
      throw thrown;
    }
  }

  /** Undone alone when it throws; a failure of the disk takes the whole transaction with it. */
  nested<T>(body: () => T): T {
    if (this.#broken !== undefined) throw this.#broken;
    this.#sqlite.exec('SAVEPOINT request');
    try {
      const result = body();
      this.#sqlite.exec('RELEASE request');
      return result;
    } catch (thrown) {
      this.#keys.clear();
      if (BREAKING.has(resultCode(thrown) ?? -1)) this.#broken = thrown;
      else this.#sqlite.exec('ROLLBACK TO request; RELEASE request');
      throw thrown;
    }
  }

  /** Something was forgotten in this transaction: empty the write-ahead log after it. */
  checkpoint(): void {
    this.#checkpointDue = true;
  }

  afterCommit(): void {
    if (!this.#checkpointDue) return;
    this.#checkpointDue = false;
    try {
      this.#sqlite.exec('PRAGMA wal_checkpoint(TRUNCATE)');
    } catch { /* A full disk; the next one does it. */
      this.#checkpointDue = true;
    }
  }

  // ---------------------------------------------------------------------------------------------- what identifies

  /** A keyed digest, for finding a value again that is not stored. */
  mark(text: string): Uint8Array {
    return createHmac('sha256', this.#salt).update(text).digest().subarray(0, 16);
  }

  makeKey(job: number): void {
    this.run('INSERT INTO secret (job, key) VALUES (?, ?)', job, randomBytes(32));
  }

  dropKey(job: number): void {
    // Overwritten in place before the row goes, so that nothing depends on how SQLite frees a cell.
    this.run('UPDATE secret SET key = zeroblob(32) WHERE job = ?', job);
    this.run('DELETE FROM secret WHERE job = ?', job);
    this.#keys.delete(job);
    this.checkpoint();
  }

  #key(job: number): KeyObject {
    let key = this.#keys.get(job);
    if (key === undefined) {
      const stored = this.get('SELECT key FROM secret WHERE job = ?', job)?.['key'];
      if (!(stored instanceof Uint8Array)) throw new ExdicomError('INTERNAL', { stage: 'ledger', detail: 'sealed' });
      // A third of the time that bare bytes take.
      key = createSecretKey(stored);
      this.#keys.set(job, key);
    }
    return key;
  }

  /** Under the job's own key. */
  seal(job: number, value: unknown): Uint8Array | undefined {
    return value === undefined ? undefined : sealWith(this.#key(job), value);
  }

  unseal(job: number, sealed: SQLOutputValue | undefined): unknown {
    return sealed instanceof Uint8Array ? unsealWith(this.#key(job), sealed) : undefined;
  }
}

const NONCE = 12;
/** Random bytes that no nonce has used: thousands at a time cost what one does. */
let randomness = Buffer.alloc(0);

function newNonce(): Buffer {
  if (randomness.length < NONCE) randomness = randomBytes(NONCE * 1024);
  const nonce = randomness.subarray(0, NONCE);
  randomness = randomness.subarray(NONCE);
  return nonce;
}

/** AES-256-GCM: nonce, tag, text. For what lives longer than its job, with a key that goes when that does. */
export function sealWith(key: KeyObject | Uint8Array, value: unknown): Uint8Array {
  const nonce = newNonce();
  const cipher = createCipheriv('aes-256-gcm', key, nonce);
  const text = Buffer.concat([cipher.update(JSON.stringify(value), 'utf8'), cipher.final()]);
  return Buffer.concat([nonce, cipher.getAuthTag(), text]);
}

export function unsealWith(key: KeyObject | Uint8Array, sealed: Uint8Array): unknown {
  const bytes = Buffer.from(sealed.buffer, sealed.byteOffset, sealed.byteLength);
  const decipher = createDecipheriv('aes-256-gcm', key, bytes.subarray(0, 12)).setAuthTag(bytes.subarray(12, 28));
  return JSON.parse(decipher.update(bytes.subarray(28), undefined, 'utf8') + decipher.final('utf8'));
}

function prepare(sqlite: DatabaseSync): void {
  const pragma = (name: string): unknown => sqlite.prepare(`PRAGMA ${name}`).get()?.[name];
  const version = Number(pragma('user_version'));
  const application = Number(pragma('application_id'));
  const empty = sqlite.prepare('SELECT count(*) AS n FROM sqlite_schema').get()?.['n'] === 0;
  if (!empty && application !== APPLICATION_ID) throw new ExdicomError('LEDGER_DAMAGED', { detail: 'another program wrote this file' });
  if (version > MIGRATIONS.length) throw new ExdicomError('LEDGER_NEWER', { detail: `version ${version}, this pack knows ${MIGRATIONS.length}` });
  sqlite.exec('PRAGMA busy_timeout = 2000; PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA secure_delete = ON; PRAGMA cache_size = -16000');
  if (!empty && pragma('quick_check') !== 'ok') throw new ExdicomError('LEDGER_DAMAGED');
  for (let at = version; at < MIGRATIONS.length; at += 1) {
    sqlite.exec(`BEGIN IMMEDIATE; PRAGMA application_id = ${APPLICATION_ID}; ${MIGRATIONS[at]!}; PRAGMA user_version = ${at + 1}; COMMIT`);
  }
}
