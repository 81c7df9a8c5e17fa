/** Proves from the files alone that a journal is whole: no line changed, taken out, put in or moved. */
import { basename } from 'node:path';
import type { Task } from '../workers/task';
import { follows, journalFiles, rawLines } from './journal-files';
import { openLine } from './journal-line';
import type { JournalLine } from './journal-line';

/** Problems that are told; after so many the rest says nothing new. */
const MOST = 100;

export interface JournalProblem {
  /** Name of the file, and number of the line in it, from 1; absent where it is an anchor that was not found. */
  readonly file?: string;
  readonly line?: number;
  /**
   * `changed`: its hash is not that of its text. `order`: it does not follow from the line before. `anchor`: the line that a
   * receipt names has another hash. `missing`: the line that a receipt names is not there.
   */
  readonly problem: 'changed' | 'order' | 'anchor' | 'missing';
  readonly seq?: number;
}

export interface JournalReport {
  /** No problem was found. */
  readonly sound: boolean;
  readonly files: number;
  readonly lines: number;
  /** What the first line follows from: empty for the first line of a ledger, else the hash of a line that has gone with its file. */
  readonly first?: { readonly seq: number; readonly prev: string };
  readonly last?: { readonly seq: number; readonly hash: string };
  /** Ledgers that have written here, one after the other: 2 after the database was begun anew. */
  readonly chains: number;
  /** The last line is cut off, as a crash may leave it until the ledger opens again. */
  readonly torn: boolean;
  readonly problems: readonly JournalProblem[];
}

/** What a receipt says of the journal. */
export interface Anchor {
  readonly seq: number;
  readonly hash: string;
}

/** The work of `verifyJournal`, on a worker thread. */
export const verify = (({ folder, anchors }) => {
  const files = journalFiles(folder);
  const problems: JournalProblem[] = [];
  const tell = (problem: JournalProblem): void => { if (problems.length < MOST) problems.push(problem); };
  // Each chain has its own line of a number, so several may be awaited under one.
  const awaited = new Map([...Map.groupBy(anchors, ({ seq }) => seq)].map(([seq, same]) => [seq, { hashes: new Set(same.map(({ hash }) => hash)), at: undefined as Pick<JournalProblem, 'file' | 'line'> | undefined }]));
  let first: JournalLine | undefined, last: JournalLine | undefined;
  let lines = 0, chains = 0, torn = false;
  for (const [index, { path }] of files.entries()) {
    const file = basename(path);
    let n = 0;
    for (const { text, whole } of rawLines(path)) {
      n += 1;
      if (!whole && index === files.length - 1) {
        torn = true;
        break;
      }
      const line = openLine(text);
      if (line === undefined) {
        tell({ file, line: n, problem: 'changed' });
        continue;
      }
      lines += 1;
      // The first line that is left, or one of a ledger that was begun anew.
      const begins = last === undefined || (n === 1 && line.seq === 1 && line.prev === '');
      if (begins) chains += 1;
      else if (last !== undefined && !follows(line, last)) tell({ file, line: n, problem: 'order', seq: line.seq });
      const anchor = awaited.get(line.seq);
      if (anchor !== undefined) anchor.at = anchor.hashes.delete(line.hash) ? anchor.at ?? { file, line: n } : { file, line: n };
      first ??= line;
      last = line;
    }
  }
  for (const [seq, { hashes, at }] of awaited) {
    if (hashes.size > 0 && at !== undefined) tell({ ...at, problem: 'anchor', seq });
    else if (hashes.size > 0 && (first === undefined || seq >= first.seq)) tell({ problem: 'missing', seq });
  }
  return {
    sound: problems.length === 0, files: files.length, lines, chains, torn, problems,
    ...(first === undefined ? {} : { first: { seq: first.seq, prev: first.prev } }), ...(last === undefined ? {} : { last: { seq: last.seq, hash: last.hash } }),
  };
}) satisfies Task<{ readonly folder: string; readonly anchors: readonly Anchor[] }, JournalReport>;
