/** What the workers do for `extract`: look at files, list archives, unpack shares of them. */
import { statSync } from 'node:fs';
import { ExdicomError } from '../errors';
import type { OwnPath, Sha256 } from '../model';
import type { Task, TaskContext } from '../workers/task';
import { ByteSource } from './byte-source';
import { holdsSevenZip, SFX_BYTES } from './format';
import type { ArchiveFormat } from './format';
import { chooseEncoding, decodeName, isJunkName } from './names';
import { readRarDirectory } from './rar-directory';
import type { RarDirectory } from './rar-directory';
import { extractRar } from './rar-extract';
import type { ExtractLimits, NameEncoding } from './settings';
import { dataSetDigest, readHead, settleFile } from './settle';
import type { SettleContext, Settled } from './settle';
import { archiveFormat, isWhole } from './whole';
import { readZipDirectory } from './zip-directory';
import type { ZipDirectory } from './zip-directory';
import { extractZip } from './zip-extract';
import type { ShareResult } from './zip-extract';

export interface FilesInput {
  readonly files: ReadonlyArray<{
    readonly path: OwnPath;
    readonly name: string;
    readonly n: number;
    /** Whether to look for an archive behind other bytes: a self-extracting one, or the last volume of a set. */
    readonly behind: boolean;
  }>;
  readonly context: SettleContext;
}

interface Archive {
  /** Volumes in order, or one file. */
  readonly paths: readonly string[];
  readonly format: ArchiveFormat;
  readonly limits: ExtractLimits;
  readonly encodings: readonly NameEncoding[];
  readonly passwords: readonly string[];
}

export interface ListInput extends Archive {
  /** Bytes and entries that the job may still unpack. */
  readonly remaining: { readonly bytes: number; readonly entries: number };
}

export interface Listing {
  readonly entries: number;
  readonly bytes: number;
  readonly encoding: NameEncoding;
  /** Shares of about equal work, as half-open ranges of entries. */
  readonly shares: ReadonlyArray<readonly [from: number, to: number]>;
}

export interface ExtractInput extends Archive {
  readonly from: number;
  readonly to: number;
  readonly base: number;
  readonly encoding: NameEncoding;
  readonly prefix: string;
  readonly context: SettleContext;
}

/** A share ends at this many bytes or entries: small enough that two workers end together and a crash costs little. */
const SHARE_BYTES = 32 << 20;
const SHARE_ENTRIES = 250;

type Open = { readonly format: 'zip'; readonly directory: ZipDirectory } | { readonly format: 'rar'; readonly directory: RarDirectory };

/** Each worker remembers the archive that it worked on last, so that a share costs no second reading of the directory. */
let last: { readonly key: string; readonly open: Open } | undefined;

async function openArchive({ paths, format, limits, encodings, passwords }: Archive): Promise<Open> {
  const facts = paths.map((path) => { const { ino, size, mtimeMs } = statSync(path); return [path, ino, size, mtimeMs]; });
  const key = JSON.stringify([format, limits, encodings, passwords, facts]);
  if (last?.key === key) return last.open;
  last = undefined;
  let open: Open;
  if (format === 'rar') open = { format, directory: await readRarDirectory(paths, passwords, encodings, limits) };
  else {
    using source = new ByteSource(paths);
    open = { format, directory: readZipDirectory(source, limits) };
  }
  last = { key, open };
  return open;
}

/** Half-open ranges over entries of these sizes; one ends where it has this many bytes or entries. */
function divide(sizes: readonly number[], most: { readonly bytes: number; readonly entries: number }): ReadonlyArray<readonly [number, number]> {
  const shares: Array<readonly [number, number]> = [];
  let from = 0;
  let bytes = 0;
  for (const [i, size] of sizes.entries()) {
    bytes += size;
    if (bytes < most.bytes && i + 1 - from < most.entries && i + 1 < sizes.length) continue;
    shares.push([from, i + 1]);
    from = i + 1;
    bytes = 0;
  }
  return shares;
}

async function list(input: ListInput): Promise<Listing> {
  const open = await openArchive(input);
  const sized = open.directory.entries.map(({ size, packed, refused }) => ({ size: refused === undefined ? size ?? packed : 0 }));
  const bytes = sized.reduce((sum, { size }) => sum + size, 0);
  if (sized.length > input.remaining.entries) throw new ExdicomError('LIMIT_ENTRIES', { detail: `${sized.length}` });
  if (bytes > input.remaining.bytes) throw new ExdicomError('LIMIT_BYTES', { detail: `${bytes}` });

  const encoding = open.format === 'zip' ? chooseEncoding(open.directory.entries.map(({ name }) => name), input.encodings) : 'cp437';
  if (input.passwords.length === 0) {
    const locked = open.format === 'zip'
      ? open.directory.entries.some(({ encryption, refused, name }) => encryption !== 'none' && refused === undefined && !isJunkName(decodeName(name, encoding)))
      : open.directory.entries.some(({ encrypted, refused, name }) => encrypted && refused === undefined && !isJunkName(name));
    if (locked) throw new ExdicomError('NEEDS_PASSWORD');
  }
  let most = { bytes: SHARE_BYTES, entries: SHARE_ENTRIES };
  if (open.format === 'rar') {
    // Every share walks through all headers, so there are no more than two.
    const parts = open.directory.divisible ? 2 : 1;
    most = { bytes: Math.max(SHARE_BYTES, Math.ceil(bytes / parts)), entries: Math.max(SHARE_ENTRIES, Math.ceil(sized.length / parts)) };
    if (parts === 1) most = { bytes: Infinity, entries: Infinity };
  }
  const shares = divide(sized.map(({ size }) => size), most);
  return { entries: sized.length, bytes, encoding, shares };
}

async function extract({ from, to, base, encoding, prefix, context, ...archive }: ExtractInput, task: TaskContext): Promise<ShareResult> {
  const open = await openArchive(archive);
  let done = 0;
  const tick = (): void => { done += 1; task.progress(done); };
  const share = { from, to, base, prefix, context, passwords: archive.passwords };
  if (open.format === 'rar') return extractRar({ ...share, directory: open.directory, limits: archive.limits }, tick);
  using source = new ByteSource(archive.paths);
  return await extractZip({ ...share, source, directory: open.directory, encoding, encodings: archive.encodings }, tick);
}

function settleFiles({ files, context }: FilesInput, task: TaskContext): Settled[] {
  return files.map(({ path, name, n, behind }, i) => {
    let verdict = settleFile(path, n, context, { own: false });
    if (behind && verdict.kind === 'not-dicom' && verdict.code === undefined) {
      const format = archiveFormat([path]);
      if (format !== undefined) verdict = { kind: 'archive', path, format };
      else if (holdsSevenZip(readHead(path, SFX_BYTES))) verdict = { kind: 'not-dicom', code: 'UNSUPPORTED_ARCHIVE' };
    }
    task.progress(i + 1, files.length);
    return { n, name, bytes: statSync(path).size, ...verdict };
  });
}

export const archiveTasks = {
  /** Files of the source that are no volumes: what each of them is. They stay where they are. */
  'archive.files': settleFiles,
  /** What the volumes of a set are together; undefined where they are no archive. */
  'archive.format': ({ paths }: { readonly paths: readonly string[] }): ArchiveFormat | undefined => archiveFormat(paths),
  /** SHA-256 of the data set of each of these instances. */
  'archive.dataSets': ({ paths }: { readonly paths: readonly string[] }): Sha256[] => paths.map(dataSetDigest),
  'archive.list': list,
  'archive.extract': extract,
  /** Whether the volumes of a set, or one file, reach to their end: a copy under way does not. */
  'archive.whole': ({ paths }: { readonly paths: readonly string[] }): boolean => isWhole(paths),
} satisfies Record<string, Task<never, unknown>>;
