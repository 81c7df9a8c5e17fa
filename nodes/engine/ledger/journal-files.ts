/** The files of a journal: their names, and their lines as far as they follow from one another. Synchronous, for threads. */
import { closeSync, openSync, readSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { openLine } from './journal-line';
import type { JournalLine } from './journal-line';

const NAME = /^journal-(\d{6,})-\d{4}-\d{2}-\d{2}\.jsonl$/;
const CHUNK = 1 << 18;
/** No line that was ever written is longer; what is has lost its end. */
const LONGEST = 1 << 20;

/** `journal-000007-2026-01-31.jsonl`: a number that puts them in order, and the day of the first line. */
export const journalName = (number: number, at: number): string => `journal-${String(number).padStart(6, '0')}-${new Date(at).toISOString().slice(0, 10)}.jsonl`;

export interface JournalFile {
  readonly number: number;
  readonly path: string;
}

/** In order; none where there is no folder. */
export function journalFiles(folder: string): JournalFile[] {
  let names: string[];
  try {
    names = readdirSync(folder);
  } catch (thrown) {
    if (thrown instanceof Error && 'code' in thrown && thrown.code === 'ENOENT') return [];
    throw thrown;
  }
  return names
    .flatMap((name) => { const number = NAME.exec(name)?.[1]; return number === undefined ? [] : [{ number: Number(number), path: join(folder, name) }]; })
    .toSorted((a, b) => a.number - b.number);
}

export interface RawLine {
  /** Without its end. */
  readonly text: string;
  /** Offset behind its end in the file. */
  readonly end: number;
  /** False for what follows the last line's end. */
  readonly whole: boolean;
}

/** The lines of a file, one after another. */
export function* rawLines(path: string): Generator<RawLine> {
  const file = openSync(path, 'r');
  try {
    const chunk = Buffer.allocUnsafe(CHUNK);
    let rest = Buffer.alloc(0);
    let end = 0;
    for (let read = readSync(file, chunk, 0, CHUNK, null); read > 0; read = readSync(file, chunk, 0, CHUNK, null)) {
      let bytes = Buffer.concat([rest, chunk.subarray(0, read)]);
      for (let at = bytes.indexOf(10); at !== -1; at = bytes.indexOf(10)) {
        end += at + 1;
        yield { text: bytes.toString('utf8', 0, at), end, whole: true };
        bytes = bytes.subarray(at + 1);
      }
      rest = bytes;
      if (rest.length > LONGEST) break;
    }
    if (rest.length > 0) yield { text: rest.toString('utf8'), end: end + rest.length, whole: false };
  } finally {
    closeSync(file);
  }
}

/** Whether a line may follow another. */
export const follows = (line: Pick<JournalLine, 'seq' | 'prev'>, before: Pick<JournalLine, 'seq' | 'hash'>): boolean => line.seq === before.seq + 1 && line.prev === before.hash;

export interface JournalScan {
  readonly first?: JournalLine;
  /** The last line of an unbroken row from the first. */
  readonly last?: JournalLine;
  /** Where that ends. */
  readonly bytes: number;
  /** Something else follows. */
  readonly more: boolean;
  /** The last sound line of all, also behind a break. */
  readonly final?: JournalLine;
}

export function scanJournal(path: string): JournalScan {
  let first: JournalLine | undefined, last: JournalLine | undefined, final: JournalLine | undefined;
  let bytes = 0, more = false;
  for (const { text, end, whole } of rawLines(path)) {
    const line = whole ? openLine(text) : undefined;
    if (line !== undefined) final = line;
    if (line === undefined || (last !== undefined && !follows(line, last))) more = true;
    if (more) continue;
    first ??= line;
    last = line;
    bytes = end;
  }
  return { bytes, more, ...(first === undefined ? {} : { first }), ...(last === undefined ? {} : { last }), ...(final === undefined ? {} : { final }) };
}

/** Whether all that is in a file is the beginning of a line. */
export function isTorn(path: string): boolean {
  for (const { whole } of rawLines(path)) if (whole) return false;
  return true;
}

/** The first line alone. */
export function firstLine(path: string): JournalLine | undefined {
  for (const { text, whole } of rawLines(path)) return whole ? openLine(text) : undefined;
  return undefined;
}
