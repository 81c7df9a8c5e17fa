/** Writes a planned file and takes its SHA-256 on the way; never more than a few MiB in memory. */
import { createHash } from 'node:crypto';
import type { Hash } from 'node:crypto';
import { closeSync, openSync, read, rmSync, write, writeSync } from 'node:fs';
import { promisify } from 'node:util';
import { createDeflateRaw } from 'node:zlib';
import type { Piece, Plan } from './plan';
import { Unreadable } from './source';
import type { ByteSource } from './source';

const BLOCK = 1 << 20;
/** Above this, reading and writing go on in other threads while this one hashes. */
const LARGE = 4 << 20;

const readAsync = promisify(read);
const writeAsync = promisify(write);

export interface Written {
  readonly bytes: number;
  readonly sha256: string;
}

const blocks: Buffer[] = [];
const takeBlock = (): Buffer => blocks.pop() ?? Buffer.allocUnsafeSlow(BLOCK);
const giveBlock = (block: Buffer): void => { if (blocks.length < 3) blocks.push(block); };

/** Goes through a plan in blocks. */
class PlanReader {
  readonly #plan: Plan;
  readonly #source: ByteSource;
  readonly #fd: number;
  readonly #piece: Piece = { literal: false, start: 0, length: 0 };
  #index = 0;

  constructor(plan: Plan, source: ByteSource, fd: number) {
    this.#plan = plan;
    this.#source = source;
    this.#fd = fd;
  }

  /** Copies the next bytes of the result into `target` from `position`; gives the position reached. Less than full: the end. */
  fill(target: Buffer, position: number): number {
    let at = position;
    while (at < target.length && this.#next()) at = this.#copy(target, at);
    return at;
  }

  /** The same, but whole blocks that only have to be read do not hold up this thread. */
  async fillAsync(target: Buffer): Promise<number> {
    let at = 0;
    while (at < target.length && this.#next()) {
      const piece = this.#piece;
      const count = Math.min(piece.length, target.length - at);
      if (piece.literal || count < BLOCK / 2) {
        at = this.#copy(target, at);
        continue;
      }
      const { start } = piece;
      piece.start += count;
      piece.length -= count;
      for (let done = 0; done < count;) {
        const { bytesRead } = await readAsync(this.#fd, target, at + done, count - done, start + done);
        if (bytesRead === 0) throw new Unreadable(start + done, 'the file is shorter than it was');
        done += bytesRead;
      }
      at += count;
    }
    return at;
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
    else this.#source.copy(piece.start, count, target, at);
    piece.start += count;
    piece.length -= count;
    return at + count;
  }
}

/**
 * Writes `head` and the planned data set to the new file `to` (0600).
 * @throws system errors, Unreadable; nothing is left at `to` then.
 */
export async function writeFile(to: string, head: Buffer, plan: Plan, source: ByteSource, fd: number, deflated: boolean): Promise<Written> {
  const target = openSync(to, 'wx', 0o600);
  try {
    const reader = new PlanReader(plan, source, fd);
    if (deflated) return await writeDeflated(target, head, reader);
    return head.length + plan.bytes <= LARGE ? writeSmall(target, head, reader) : await writeLarge(target, head, reader);
  } catch (thrown) {
    rmSync(to, { force: true });
    throw thrown;
  } finally {
    closeSync(target);
  }
}

function writeSmall(target: number, head: Buffer, reader: PlanReader): Written {
  const hash = createHash('sha256');
  const block = takeBlock();
  try {
    let position = head.copy(block, 0);
    let bytes = 0;
    for (;;) {
      position = reader.fill(block, position);
      const content = block.subarray(0, position);
      hash.update(content);
      writeAll(target, content);
      bytes += position;
      if (position < block.length) return { bytes, sha256: hash.digest('hex') };
      position = 0;
    }
  } finally {
    giveBlock(block);
  }
}

async function writeLarge(target: number, head: Buffer, reader: PlanReader): Promise<Written> {
  const hash = createHash('sha256');
  hash.update(head);
  writeAll(target, head);
  let bytes = head.length;
  let current = takeBlock();
  let other = takeBlock();
  let filled = await reader.fillAsync(current);
  while (filled > 0) {
    const content = current.subarray(0, filled);
    const writing = writeAllAsync(target, content);
    const reading = filled < current.length ? Promise.resolve(0) : reader.fillAsync(other);
    hash.update(content);
    // Both have to come to rest before the descriptors may be closed.
    const [written, filledNext] = await Promise.allSettled([writing, reading]);
    if (written.status === 'rejected') throw written.reason;
    if (filledNext.status === 'rejected') throw filledNext.reason;
    bytes += filled;
    filled = filledNext.value;
    [current, other] = [other, current];
  }
  giveBlock(current);
  giveBlock(other);
  return { bytes, sha256: hash.digest('hex') };
}

/** The data set goes through Deflate (PS3.5, A.5), padded to an even number of bytes. */
async function writeDeflated(target: number, head: Buffer, reader: PlanReader): Promise<Written> {
  const hash = createHash('sha256');
  let bytes = 0;
  const put = (content: Buffer): void => {
    hash.update(content);
    writeAll(target, content);
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
  return finish(hash, bytes);
}

const finish = (hash: Hash, bytes: number): Written => ({ bytes, sha256: hash.digest('hex') });

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
    deflate.destroy();
    throw thrown;
  } finally {
    giveBlock(block);
  }
}

function writeAll(fd: number, content: Buffer): void {
  for (let done = 0; done < content.length;) done += writeSync(fd, content, done, content.length - done);
}

async function writeAllAsync(fd: number, content: Buffer): Promise<void> {
  for (let done = 0; done < content.length;) done += (await writeAsync(fd, content, done, content.length - done)).bytesWritten;
}
