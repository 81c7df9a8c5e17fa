/**
 * What becomes of an entry's bytes: a numbered Part 10 file where they are a DICOM instance, a nested archive set aside to be
 * opened, or nothing but a line in the account. Small entries are recognised, hashed and written out of memory in one pass;
 * large ones go to the disk first.
 */
import { createHash, hash } from 'node:crypto';
import { closeSync, copyFileSync, constants, linkSync, openSync, readSync, renameSync, statSync, unlinkSync, write as writeBytes, writeSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import type { DicomIdentity, Identification } from '../dicom/identity';
import { identifyBuffer, identifyFile, normalisePart10, part10Header } from '../dicom/identify';
import { ExdicomError } from '../errors';
import type { ErrorCode } from '../errors';
import { BLOCK, giveBack, withBlock } from '../memory';
import type { FoundInstance } from '../ledger/ledger-types';
import type { OwnPath, Sha256 } from '../model';
import { sniff, SNIFF_BYTES } from './format';
import type { ArchiveFormat } from './format';
import { mayContinue } from './volumes';

/** Entries up to this size are held in memory; larger ones never. */
export const SMALL = 16 << 20;

export interface SettleContext {
  /** The job's stage folder. */
  readonly folder: string;
  /** Random, for this job; makes patient labels meaningless elsewhere. */
  readonly salt: string;
  /** Issuer of Patient ID where the file names none. */
  readonly issuer: string;
}

interface Common {
  /** Number of the entry within the job; names its file. */
  readonly n: number;
  readonly name: string;
  readonly bytes: number;
}

export type Settled = Common & (
  | { readonly kind: 'instance'; readonly file: FoundInstance }
  | { readonly kind: 'index'; readonly references: ReadonlyArray<readonly string[]> }
  | { readonly kind: 'not-dicom'; readonly code?: ErrorCode }
  | { readonly kind: 'unreadable'; readonly code: ErrorCode }
  /** An archive in the archive, on disk until it has been opened. */
  | { readonly kind: 'archive'; readonly path: OwnPath; readonly format: ArchiveFormat }
  /** What goes on in the middle of an archive by its name, on disk until its set has been opened. */
  | { readonly kind: 'part'; readonly path: OwnPath }
  /** `tried`: a password passed the check, but what came out was wrong; or there is reason to think that none can pass. */
  | { readonly kind: 'locked'; readonly tried: boolean }
);

export type Verdict = Settled extends infer S ? (S extends Common ? Omit<S, keyof Common> : never) : never;

const numbered = (context: SettleContext, n: number, extension: string): OwnPath => join(context.folder, `${String(n).padStart(6, '0')}.${extension}`) as OwnPath;

/** Opaque, equal for the same patient within the job: (issuer, Patient ID), or the study where there is no Patient ID. */
function patientLabel(identity: DicomIdentity, { salt, issuer }: SettleContext): string {
  const who = identity.patientId === ''
    ? ['study', identity.studyInstanceUID]
    : ['patient', identity.issuerOfPatientId === '' ? issuer : identity.issuerOfPatientId, identity.patientId];
  return hash('sha256', JSON.stringify([salt, ...who])).slice(0, 32);
}

function instance(identity: DicomIdentity, context: SettleContext, path: OwnPath, bytes: number, sha256: string, dataSetSha256?: string): Verdict {
  const { sopClassUID, sopInstanceUID, seriesInstanceUID, studyInstanceUID, transferSyntaxUID, modality } = identity;
  return {
    kind: 'instance',
    file: {
      path, bytes, sopClassUID, sopInstanceUID, seriesInstanceUID, studyInstanceUID, transferSyntaxUID, modality,
      sha256: sha256 as Sha256, ...(dataSetSha256 === undefined ? {} : { dataSetSha256: dataSetSha256 as Sha256 }), patient: patientLabel(identity, context),
    },
  };
}

/** SHA-256 of a file from `offset` on. */
function digestOf(path: string, offset = 0): { readonly bytes: number; readonly sha256: string } {
  const fd = openSync(path, 'r');
  try {
    return withBlock((block) => {
      const digest = createHash('sha256');
      let at = offset;
      for (let count = readSync(fd, block, 0, BLOCK, at); count > 0; count = readSync(fd, block, 0, BLOCK, at)) {
        digest.update(block.subarray(0, count));
        at += count;
      }
      return { bytes: at, sha256: digest.digest('hex') };
    });
  } finally {
    closeSync(fd);
  }
}

/** SHA-256 of the data set of an instance that was settled. */
export function dataSetDigest(path: string): Sha256 {
  const found = identifyFile(path);
  const identity = identityOf(found);
  if (identity === undefined) throw new ExdicomError('INTERNAL', { detail: found.kind });
  return digestOf(path, identity.dataSetOffset).sha256 as Sha256;
}

function write(path: string, content: Buffer): void {
  const fd = openSync(path, 'wx', 0o600);
  try {
    for (let done = 0; done < content.length;) done += writeSync(fd, content, done);
  } finally {
    closeSync(fd);
  }
}

/** Of what is an instance, or would be one but for a UID that it lacks: `anonymize` sets that aside for a person to see. */
const identityOf = (found: Identification): DicomIdentity | undefined => ('identity' in found ? found.identity : undefined);

/** The verdict where the bytes are no instance. */
function other(found: Identification, head: Buffer): Verdict | ArchiveFormat {
  if (found.kind === 'index') return { kind: 'index', references: found.references };
  if (found.kind === 'unreadable') return { kind: 'unreadable', code: found.code };
  const format = sniff(head);
  if (format.kind === 'archive') return format.format;
  return format.kind === 'foreign' ? { kind: 'not-dicom', code: 'UNSUPPORTED_ARCHIVE' } : { kind: 'not-dicom' };
}

/** Writes a bare data set at `raw` as a Part 10 file, removes `raw`, and tells of the result. */
function normalised(raw: OwnPath, n: number, identity: DicomIdentity, context: SettleContext): Verdict {
  const path = numbered(context, n, 'dcm');
  normalisePart10(raw, path, identity);
  // Another version of this pack may write another head.
  const dataSet = digestOf(raw, identity.dataSetOffset);
  const { bytes, sha256 } = digestOf(path);
  unlinkSync(raw);
  return instance(identity, context, path, bytes, sha256, dataSet.sha256);
}

/** Whether these bytes, which are no instance, may be a volume that does not begin an archive. @param name of the entry, where it lies in an archive. */
const isPart = (verdict: Verdict, name: string): boolean => verdict.kind === 'not-dicom' && verdict.code === undefined && mayContinue(name);

/** For an entry that is in memory as a whole. */
export function settleBuffer(content: Buffer, n: number, context: SettleContext, name: string): Verdict {
  const found = identifyBuffer(content, content.length);
  if (found === 'more') throw new ExdicomError('INTERNAL', { detail: 'a whole file asks for more of itself' });
  const identity = identityOf(found);
  if (identity !== undefined) {
    const dataSet = content.subarray(identity.dataSetOffset);
    const whole = identity.part10 ? content : Buffer.concat([part10Header(identity), dataSet]);
    const path = numbered(context, n, 'dcm');
    write(path, whole);
    const verdict = instance(identity, context, path, whole.length, hash('sha256', whole), identity.part10 ? undefined : hash('sha256', dataSet));
    if (whole !== content) giveBack(whole);
    return verdict;
  }
  const verdict = other(found, content.subarray(0, SNIFF_BYTES));
  const part = typeof verdict !== 'string' && isPart(verdict, name);
  if (typeof verdict !== 'string' && !part) return verdict;
  const path = numbered(context, n, typeof verdict === 'string' ? verdict : 'volume');
  write(path, content);
  return typeof verdict === 'string' ? { kind: 'archive', path, format: verdict } : { kind: 'part', path };
}

/**
 * For a file on disk. `own`: it is ours to move or remove; otherwise (a file of the source) it stays and the instance is a
 * second link to it. `sha256`: where it is known already. `name`: of the entry, where it lay in an archive.
 */
export function settleFile(path: OwnPath, n: number, context: SettleContext, { own, sha256, name = '' }: { readonly own: boolean; readonly sha256?: string; readonly name?: string }): Verdict {
  const found = identifyFile(path);
  const identity = identityOf(found);
  if (identity !== undefined) {
    const target = numbered(context, n, identity.part10 ? 'dcm' : 'raw');
    if (own) renameSync(path, target);
    else linkOrCopy(path, target);
    if (!identity.part10) return normalised(target, n, identity, context);
    const known = sha256 === undefined ? digestOf(target) : { bytes: statSync(target).size, sha256 };
    return instance(identity, context, target, known.bytes, known.sha256);
  }
  const verdict = other(found, readHead(path, SNIFF_BYTES));
  if (typeof verdict === 'string') return { kind: 'archive', path, format: verdict };
  if (own && isPart(verdict, name)) return { kind: 'part', path };
  if (own) unlinkSync(path);
  return verdict;
}

export function readHead(path: string, length: number): Buffer {
  const fd = openSync(path, 'r');
  try {
    const head = Buffer.allocUnsafe(length);
    return head.subarray(0, readSync(fd, head, 0, length, 0));
  } finally {
    closeSync(fd);
  }
}

/** The verdict on an entry that is a copy of another one. */
export function settleCopy(of: Verdict, n: number, context: SettleContext): Verdict {
  if (of.kind === 'instance') {
    const path = numbered(context, n, 'dcm');
    linkOrCopy(of.file.path, path);
    return { kind: 'instance', file: { ...of.file, path } };
  }
  if (of.kind !== 'archive' && of.kind !== 'part') return of;
  const path = numbered(context, n, of.kind === 'archive' ? of.format : 'volume');
  linkOrCopy(of.path, path);
  return { ...of, path };
}

/** A file of the source as a file of the stage: a second name where the file system can, else a copy. */
export function linkOrCopy(from: string, to: string): void {
  try {
    linkSync(from, to);
  } catch {
    copyFileSync(from, to, constants.COPYFILE_EXCL);
  }
}

const writeLater = promisify(writeBytes);

async function writeWhole(fd: number, chunk: Uint8Array): Promise<void> {
  for (let done = 0; done < chunk.length;) done += (await writeLater(fd, chunk, done)).bytesWritten;
}

/** Takes an entry's bytes as they come, in memory while they are few and announced, else on disk. */
export class Sink {
  #memory: Buffer | undefined;
  #fd: number | undefined;
  readonly #path: OwnPath;
  readonly #digest = createHash('sha256');
  /** Where the beginning already told what it is. */
  #known: DicomIdentity | undefined;
  #bytes = 0;

  /** @param announced bytes that will come; undefined where that is not known. */
  constructor(readonly n: number, private readonly context: SettleContext, private readonly announced: number | undefined) {
    this.#path = numbered(context, n, 'part');
    if (announced !== undefined && announced <= SMALL) this.#memory = Buffer.allocUnsafe(announced);
    else this.#fd = openSync(this.#path, 'wx', 0o600);
  }

  get bytes(): number {
    return this.#bytes;
  }

  /** @returns false where more comes than was announced. */
  write(chunk: Uint8Array): boolean {
    if (this.announced !== undefined && this.#bytes + chunk.length > this.announced) return false;
    if (this.#memory !== undefined) this.#memory.set(chunk, this.#bytes);
    else if (this.#fd !== undefined) {
      if (this.#bytes === 0) this.#recognise(chunk);
      this.#digest.update(chunk);
      for (let done = 0; done < chunk.length;) done += writeSync(this.#fd, chunk, done);
    }
    this.#bytes += chunk.length;
    return true;
  }

  /** The same for large entries, hashing while the system writes; `chunk` is not to be touched until then. */
  async writeBeside(chunk: Uint8Array): Promise<boolean> {
    if (this.#memory !== undefined || this.#fd === undefined) return this.write(chunk);
    if (this.announced !== undefined && this.#bytes + chunk.length > this.announced) return false;
    const written = writeWhole(this.#fd, chunk);
    try {
      if (this.#bytes === 0) this.#recognise(chunk);
      this.#digest.update(chunk);
      this.#bytes += chunk.length;
    } finally {
      await written;
    }
    return true;
  }

  #recognise(head: Uint8Array): void {
    if (this.announced === undefined) return;
    const found = identifyBuffer(Buffer.from(head.buffer, head.byteOffset, head.length), this.announced);
    if (found !== 'more' && found.kind === 'instance' && found.identity.part10) this.#known = found.identity;
  }

  /** The bytes are complete and right. @param name of the entry. */
  settle(name: string): Verdict {
    if (this.#memory !== undefined) {
      const verdict = settleBuffer(this.#memory.subarray(0, this.#bytes), this.n, this.context, name);
      this.#forget();
      return verdict;
    }
    this.#close();
    if (this.#known !== undefined && this.#bytes === this.announced) {
      const path = numbered(this.context, this.n, 'dcm');
      renameSync(this.#path, path);
      return instance(this.#known, this.context, path, this.#bytes, this.#digest.digest('hex'));
    }
    return settleFile(this.#path, this.n, this.context, { own: true, sha256: this.#digest.digest('hex'), name });
  }

  /** The bytes are not to be used. */
  discard(): void {
    this.#forget();
    if (this.#fd === undefined) return;
    this.#close();
    unlinkSync(this.#path);
  }

  #forget(): void {
    if (this.#memory !== undefined) giveBack(this.#memory);
    this.#memory = undefined;
  }

  #close(): void {
    if (this.#fd !== undefined) closeSync(this.#fd);
    this.#fd = undefined;
  }
}
