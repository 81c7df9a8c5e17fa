/** Writes a planned file and takes its SHA-256 on the way; never more than a few MiB in memory. */
import { createHash, hash } from 'node:crypto';
import type { Hash } from 'node:crypto';
import { closeSync, constants, fstatSync, openSync, rmSync, writeSync } from 'node:fs';
import { createDeflateRaw } from 'node:zlib';
import { BLOCK, giveBlock, takeBlock } from '../memory';
import { Copier } from './copier';
import type { CopyOrder } from './copier';
import { clear } from './overlay-bits';
import type { Mask } from './overlay-bits';
import type { Piece, Plan } from './plan';
import type { ByteSource } from './source';
import { WordGuard } from './word-guard';
import type { GuardState } from './word-guard';

/** Ranges of at least so many bytes are copied by a second thread while this one hashes; a smaller file does not start it. */
const LONG = 8 << 20;
/** A new file, by numbers: their names are looked up at every call. */
const NEW_FILE = constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL;

interface Content {
  readonly bytes: number;
  readonly sha256: string;
}

export interface Written extends Content {
  /** When the file was changed last, as the system tells it: milliseconds since the epoch, with fractions. */
  readonly mtimeMs: number;
}

type FileNames = Pick<CopyOrder, 'from' | 'to'>;

/** What is written: a plan, what it is a plan of, and who looks on, if anybody. */
export interface Planned {
  readonly plan: Plan;
  readonly source: ByteSource;
  readonly guard: WordGuard | undefined;
  readonly masks: readonly Mask[];
}

/** Goes through a plan in blocks. */
class PlanReader {
  readonly #plan: Plan;
  readonly #source: ByteSource;
  readonly #guard: WordGuard | undefined;
  readonly #masks: readonly Mask[];
  readonly #piece: Piece = { literal: false, start: 0, length: 0 };
  #index = 0;

  constructor({ plan, source, guard, masks }: Planned) {
    this.#plan = plan;
    this.#source = source;
    this.#guard = guard;
    this.#masks = masks;
  }

  /** Copies the next bytes of the result into `target` from `position`; gives the position reached. Less than full: the end. */
  fill(target: Buffer, position: number): number {
    let at = position;
    while (at < target.length && this.#next()) at = this.#copy(target, at);
    return at;
  }

  /** The next bytes of the result, where at least `least` of them are one range of the original; they are not read here, and have to be shown, or passed. */
  takeRange(least: number): { readonly start: number; readonly length: number } | undefined {
    const piece = this.#piece;
    if (this.#masks.length > 0 || !this.#next() || piece.literal || piece.length < least) return undefined;
    const { start, length } = piece;
    piece.length = 0;
    return { start, length };
  }

  /** For whoever reads a range instead. */
  get guardState(): GuardState | undefined {
    return this.#guard?.state;
  }

  /** Bytes of a range that was taken, in order. @throws {Leak} */
  show(offset: number, content: Buffer): void {
    this.#guard?.see(offset, content, 0, content.length);
  }

  /** The bytes of a range up to `end` were looked at elsewhere; `last` are those before that. */
  passTo(end: number, last: Buffer): void {
    this.#guard?.passTo(end, last);
  }

  #next(): boolean {
    while (this.#piece.length === 0) {
      if (this.#index >= this.#plan.count) return false;
      this.#plan.read(this.#index++, this.#piece);
    }
    return true;
  }

  #copy(target: Buffer, at: number): number {
    const piece = this.#piece;
    const count = Math.min(piece.length, target.length - at);
    if (piece.literal) this.#plan.literals.copy(target, at, piece.start, piece.start + count);
    else {
      this.#source.copy(piece.start, count, target, at);
      this.#guard?.see(piece.start, target, at, at + count);
      for (const mask of this.#masks) clear(mask, piece.start, target, at, at + count);
    }
    piece.start += count;
    piece.length -= count;
    return at + count;
  }
}

/**
 * Writes `head` and the planned data set to the new file `to` (0600). `from` is the file that the plan's source reads.
 * @throws system errors, Unreadable, Leak; nothing is left at `to` then.
 */
export async function writeFile(from: string, to: string, head: Buffer, planned: Planned, deflated: boolean): Promise<Written> {
  const target = openSync(to, NEW_FILE, 0o600);
  try {
    const content = await writeContent(target, head, planned, deflated, { from, to });
    return { ...content, mtimeMs: fstatSync(target).mtimeMs };
  } catch (thrown) {
    rmSync(to, { force: true });
    throw thrown;
  } finally {
    closeSync(target);
  }
}

function writeContent(target: number, head: Buffer, planned: Planned, deflated: boolean, files: FileNames): Content | Promise<Content> {
  const { bytes } = planned.plan;
  const reader = new PlanReader(planned);
  if (deflated) return writeDeflated(target, head, reader);
  return head.length + bytes <= BLOCK ? writeSmall(target, head, reader) : writeLarge(target, head, reader, bytes >= 2 * LONG, files);
}

function writeSmall(target: number, head: Buffer, reader: PlanReader): Content {
  const block = takeBlock();
  try {
    const content = block.subarray(0, reader.fill(block, head.copy(block, 0)));
    writeAll(target, content);
    return { bytes: content.length, sha256: hash('sha256', content) };
  } finally {
    giveBlock(block);
  }
}

/** Copies a range that was taken from `reader`; what the copier has no time to look at is looked at here. */
function copyLong(copier: Copier, reader: PlanReader, order: Omit<CopyOrder, 'guard'>, digest: Hash): void {
  const guard = reader.guardState;
  /** The bytes before `at`. */
  const last = Buffer.allocUnsafe(WordGuard.overlap);
  let at = order.start;
  let passed = false;
  copier.copy({ ...order, ...(guard === undefined ? {} : { guard }) }, (content, lookedAt) => {
    if (!lookedAt) {
      if (passed) reader.passTo(at, last);
      reader.show(at, content);
    }
    passed = lookedAt;
    digest.update(content);
    at += content.length;
    const count = Math.min(content.length, last.length);
    last.copyWithin(0, count);
    content.copy(last, last.length - count, content.length - count);
  });
  if (passed) reader.passTo(at, last);
}

function writeLarge(target: number, head: Buffer, reader: PlanReader, long: boolean, files: FileNames): Content {
  const digest = createHash('sha256');
  const copier = long ? Copier.start() : undefined;
  const block = takeBlock();
  try {
    let bytes = 0;
    const put = (content: Buffer): void => {
      digest.update(content);
      writeAll(target, content, bytes);
      bytes += content.length;
    };
    put(head);
    for (;;) {
      // Until the other thread has started, this one does both.
      const range = copier?.ready === true ? reader.takeRange(LONG) : undefined;
      if (copier !== undefined && range !== undefined) {
        copyLong(copier, reader, { ...files, ...range, position: bytes }, digest);
        bytes += range.length;
        continue;
      }
      const filled = reader.fill(block, 0);
      put(block.subarray(0, filled));
      if (filled < block.length) return { bytes, sha256: digest.digest('hex') };
    }
  } finally {
    giveBlock(block);
  }
}

/** The data set goes through Deflate (PS3.5, A.5), padded to an even number of bytes. */
async function writeDeflated(target: number, head: Buffer, reader: PlanReader): Promise<Content> {
  const digest = createHash('sha256');
  let bytes = 0;
  const put = (content: Buffer): void => {
    digest.update(content);
    writeAll(target, content, bytes);
    bytes += content.length;
  };
  put(head);
  const deflate = createDeflateRaw();
  const feeding = feed(deflate, reader);
  try {
    for await (const content of deflate as AsyncIterable<Buffer>) put(content);
  } finally {
    deflate.destroy();
    await feeding.catch(() => undefined);
  }
  await feeding;
  if (bytes % 2 === 1) put(Buffer.alloc(1));
  return { bytes, sha256: digest.digest('hex') };
}

async function feed(deflate: ReturnType<typeof createDeflateRaw>, reader: PlanReader): Promise<void> {
  const block = takeBlock();
  try {
    for (;;) {
      const filled = reader.fill(block, 0);
      if (filled > 0) {
        await new Promise<void>((resolve, reject) => {
          deflate.write(block.subarray(0, filled), (error) => { if (error) reject(error); else resolve(); });
        });
      }
      if (filled < block.length) break;
    }
    deflate.end();
  } catch (thrown) {
    // Who waits for what comes out hears why nothing does.
    deflate.destroy(thrown instanceof Error ? thrown : undefined);
    throw thrown;
  } finally {
    giveBlock(block);
  }
}

function writeAll(fd: number, content: Buffer, position = 0): void {
  for (let done = 0; done < content.length;) done += writeSync(fd, content, done, content.length - done, position + done);
}
