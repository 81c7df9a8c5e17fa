/**
 * Writes the chain of events into the files of the journal, behind the commit that made them. The database is the truth: what
 * cannot be written now waits there, and after a crash the newest file is cut back to its last whole line and goes on from
 * there, so that no line is missing and none is there twice.
 */
import { chmodSync, closeSync, constants, fstatSync, fsyncSync, ftruncateSync, mkdirSync, openSync, rmSync, statSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { toExdicomError } from '../../errors';
import type { ErrorCode } from '../../errors';
import { firstLine, isTorn, journalFiles, journalName, scanJournal } from '../journal-files';
import type { JournalFile } from '../journal-files';
import type { JournalLine } from '../journal-line';
import type { JournalSettings } from '../ledger-types';
import type { Database } from './database';

const DAY = 86_400_000;
/** Events read from the database at once. */
const GROUP = 500;
/** Milliseconds until what was written is flushed to the disk; it is in the database until then. */
const FLUSH = 1000;
/** Milliseconds until a write that failed is tried again. */
const AGAIN = 5000;

interface Open extends JournalFile {
  readonly handle: number;
  bytes: number;
  /** Time of its first line; undefined while it has none. */
  since: number | undefined;
}

export class Journal {
  readonly #database: Database;
  readonly #folder: string;
  readonly #settings: JournalSettings;
  readonly #told: (failure: ErrorCode | undefined) => void;
  #file: Open | undefined;
  /** Number of the newest file there is. */
  #newest = 0;
  /** The last event that is in the files; undefined where that must be looked up. */
  #written: number | undefined;
  #failure: ErrorCode | undefined;
  #flushing: NodeJS.Timeout | undefined;
  #again: NodeJS.Timeout | undefined;

  /** @param told is called when the journal falls behind, with the reason, and when it has caught up. */
  constructor(database: Database, settings: JournalSettings, told: (failure: ErrorCode | undefined) => void) {
    this.#database = database;
    this.#folder = join(database.directory, 'journal');
    this.#settings = settings;
    this.#told = told;
  }

  /** Writes what is committed and not in the files yet. Never throws. */
  write(): void {
    // After a failure its timer tries again: it is not to cost every change something.
    if (this.#failure === undefined) this.#catchUp();
  }

  #catchUp(): void {
    try {
      const head = this.#head();
      if (this.#written === head) return;
      const known = this.#isThere() ? this.#written : undefined;
      this.#written = known ?? this.#resume();
      while (this.#written < head) this.#written = this.#append(this.#written);
      if (known === undefined) this.#flush();
      this.#flushing ??= setTimeout(() => { this.#flush(); }, FLUSH).unref();
      this.#tell(undefined);
    } catch (thrown) {
      this.#failed(thrown);
    }
  }

  /** The last words; what cannot be written now is written at the next start. */
  close(): void {
    this.#catchUp();
    this.#flush();
    clearTimeout(this.#again);
    this.#release();
  }

  #head(): number {
    return Number(String(this.#database.get("SELECT value FROM meta WHERE name = 'head'")?.['value'] ?? '0').split(' ')[0]);
  }

  #tell(failure: ErrorCode | undefined): void {
    if (this.#failure === failure) return;
    this.#failure = failure;
    this.#told(failure);
  }

  #failed(thrown: unknown): void {
    this.#release();
    this.#written = undefined;
    clearTimeout(this.#again);
    this.#again = setTimeout(() => { this.#catchUp(); }, AGAIN).unref();
    this.#tell(toExdicomError(thrown).code === 'DISK_FULL' ? 'DISK_FULL' : 'STORAGE_FAILED');
  }

  #release(): void {
    clearTimeout(this.#flushing);
    this.#flushing = undefined;
    if (this.#file !== undefined) closeSync(this.#file.handle);
    this.#file = undefined;
  }

  /** Somebody may have moved the files away. */
  #isThere(): boolean {
    const file = this.#file;
    return file === undefined || statSync(file.path, { throwIfNoEntry: false })?.ino === fstatSync(file.handle).ino;
  }

  #flush(): void {
    clearTimeout(this.#flushing);
    this.#flushing = undefined;
    if (this.#file === undefined || this.#written === undefined) return;
    try {
      fsyncSync(this.#file.handle);
      // From here on the database may forget them.
      this.#database.journaled = this.#written;
    } catch (thrown) {
      this.#failed(thrown);
    }
  }

  // ---------------------------------------------------------------------------------------------- going on

  /** Whether the database goes on from this line, and has all that follows. */
  #goesOnFrom({ seq, hash }: JournalLine): boolean {
    if (this.#database.get("SELECT value FROM meta WHERE name = 'head'")?.['value'] === `${seq} ${hash}`) return true;
    const next = this.#database.get('SELECT line FROM event WHERE seq = ?', seq + 1)?.['line'];
    if (typeof next !== 'string' || (JSON.parse(next) as JournalLine).prev !== hash) return false;
    return this.#database.get('SELECT count(*) AS n FROM event WHERE seq > ? AND line IS NOT NULL', seq)?.['n'] === this.#head() - seq;
  }

  /** Finds the last line that is in the files, and opens its file again. */
  #resume(): number {
    this.#release();
    mkdirSync(this.#folder, { recursive: true, mode: 0o700 });
    chmodSync(this.#folder, 0o700);
    this.#expire();
    const files = journalFiles(this.#folder);
    this.#newest = files.at(-1)?.number ?? 0;
    for (const file of files.toReversed()) {
      const { first, last, final, bytes, more } = scanJournal(file.path);
      if (last !== undefined && first !== undefined && this.#goesOnFrom(last)) {
        if (more) this.#cut(file, bytes);
        // What comes behind it is not of this chain, and stays as it is.
        if (file.number === this.#newest) this.#file = { ...file, handle: this.#open(file.path), bytes, since: Date.parse(first.at) };
        return last.seq;
      }
      // Damaged before its end, by whatever hand: it is left for whoever verifies it, and a new one goes on.
      if (final !== undefined && this.#goesOnFrom(final)) return final.seq;
      if (final !== undefined) break;
      if (isTorn(file.path)) rmSync(file.path, { force: true });
    }
    // None, or those of another ledger: from the oldest event that nothing is missing behind.
    const oldest = this.#database.get(
      `SELECT max(seq) AS seq FROM event AS one WHERE line IS NOT NULL
        AND NOT EXISTS (SELECT 1 FROM event AS before WHERE before.seq = one.seq - 1 AND before.line IS NOT NULL)`,
    )?.['seq'];
    return typeof oldest === 'number' ? oldest - 1 : this.#head();
  }

  #cut({ path }: JournalFile, bytes: number): void {
    const handle = openSync(path, 'r+');
    try {
      ftruncateSync(handle, bytes);
      fsyncSync(handle);
    } finally {
      closeSync(handle);
    }
  }

  #open(path: string): number {
    return openSync(path, constants.O_WRONLY | constants.O_APPEND | constants.O_CREAT | constants.O_NOFOLLOW, 0o600);
  }

  // ---------------------------------------------------------------------------------------------- writing

  /** Appends the next events to one file; resolves with the last of them. */
  #append(after: number): number {
    const rows = this.#database.all('SELECT seq, at, line FROM event WHERE seq > ? AND line IS NOT NULL ORDER BY seq LIMIT ?', after, GROUP);
    const lines: Buffer[] = [];
    let file = this.#file;
    let last = after;
    let bytes = 0;
    for (const { seq, at, line } of rows) {
      const text = Buffer.from(`${String(line)}\n`);
      if (file !== undefined && lines.length === 0 && this.#isFull(file, text.length, Number(at))) file = undefined;
      file ??= this.#next(Number(at));
      if (lines.length > 0 && this.#isFull({ ...file, bytes: file.bytes + bytes }, text.length, Number(at))) break;
      file.since ??= Number(at);
      lines.push(text);
      bytes += text.length;
      last = Number(seq);
    }
    if (file === undefined || lines.length === 0) return this.#head();
    const content = Buffer.concat(lines);
    try {
      for (let done = 0; done < content.length;) done += writeSync(file.handle, content, done);
    } catch (thrown) {
      // No half line stays, not even until the next attempt.
      ftruncateSync(file.handle, file.bytes);
      throw thrown;
    }
    file.bytes += content.length;
    return last;
  }

  #isFull({ bytes, since }: Pick<Open, 'bytes' | 'since'>, more: number, at: number): boolean {
    return bytes > 0 && (bytes + more > this.#settings.bytes || (since !== undefined && at - since > this.#settings.days * DAY));
  }

  /** The next file; the one before is on disk as a whole before it begins. */
  #next(at: number): Open {
    if (this.#file !== undefined) {
      fsyncSync(this.#file.handle);
      this.#release();
    }
    const number = this.#newest + 1;
    const path = join(this.#folder, journalName(number, at));
    const handle = this.#open(path);
    this.#newest = number;
    this.#file = { number, path, handle, bytes: fstatSync(handle).size, since: undefined };
    const folder = openSync(this.#folder, 'r');
    try { fsyncSync(folder); } finally { closeSync(folder); }
    this.#expire();
    return this.#file;
  }

  /** Removes files whose last line is older than the retention: the first one of the file behind tells. */
  #expire(): void {
    if (this.#settings.retention === 0) return;
    const files = journalFiles(this.#folder);
    const before = Date.now() - this.#settings.retention * DAY;
    for (const [index, file] of files.entries()) {
      const next = files[index + 1];
      const since = next === undefined ? undefined : firstLine(next.path)?.at;
      if (since === undefined || Date.parse(since) >= before) return;
      rmSync(file.path, { force: true });
    }
  }
}
