/** A data set on its way from a connection to a Part 10 file: as it comes, with bounded memory, hashed while it passes. */
import { createHash } from 'node:crypto';
import { open, rm } from 'node:fs/promises';
import type { FileHandle } from 'node:fs/promises';
import { fileMetaInformation } from '../dicom/part10';
import type { MediaStorage } from '../dicom/part10';
import type { OwnPath, Sha256 } from '../model';

/** Bytes that are gathered before they are written; one such batch is written while the next is gathered. */
const BATCH = 256 * 1024;

export interface WrittenFile {
  readonly path: OwnPath;
  readonly bytes: number;
  /** Of the whole file. */
  readonly sha256: Sha256;
}

export class IncomingFile {
  readonly path: OwnPath;
  readonly #handle: FileHandle;
  readonly #hash = createHash('sha256');
  #gathered: Buffer[] = [];
  #held = 0;
  #bytes = 0;
  #writing: Promise<unknown> = Promise.resolve();

  private constructor(path: OwnPath, handle: FileHandle) {
    this.path = path;
    this.#handle = handle;
  }

  /** A new file, 0600, that begins with our File Meta Information. @throws system errors; nothing is left then. */
  static async create(path: OwnPath, storage: MediaStorage): Promise<IncomingFile> {
    const file = new IncomingFile(path, await open(path, 'wx', 0o600));
    const head = fileMetaInformation(storage);
    file.#take(head);
    return file;
  }

  /** Bytes of the data set, not to be changed afterwards. Resolves when there is room for more. @throws system errors. */
  async write(fragment: Buffer): Promise<void> {
    this.#take(fragment);
    if (this.#held >= BATCH) await this.#flush();
  }

  /** Writes what is left and makes the file durable. @throws system errors. */
  async finish(): Promise<WrittenFile> {
    await this.#flush();
    await this.#writing;
    await this.#handle.sync();
    await this.#handle.close();
    return { path: this.path, bytes: this.#bytes, sha256: this.#hash.digest('hex') as Sha256 };
  }

  /** Nothing is kept. Never throws. */
  async discard(): Promise<void> {
    await Promise.allSettled([this.#writing]);
    // A file that is closed already, or a disk that fails: there is nothing better to do.
    await Promise.allSettled([this.#handle.close()]);
    await Promise.allSettled([rm(this.path, { force: true })]);
  }

  #take(bytes: Buffer): void {
    // Nothing of it would ever be written, and it holds all that arrived with it.
    if (bytes.length === 0) return;
    this.#hash.update(bytes);
    this.#gathered.push(bytes);
    this.#held += bytes.length;
    this.#bytes += bytes.length;
  }

  async #flush(): Promise<void> {
    const batch = this.#gathered;
    let left = this.#held;
    this.#gathered = [];
    this.#held = 0;
    await this.#writing;
    this.#writing = (async () => {
      let rest = batch;
      while (left > 0) {
        const { bytesWritten } = await this.#handle.writev(rest);
        left -= bytesWritten;
        rest = left === 0 ? [] : behind(rest, bytesWritten);
      }
    })();
    // The next flush, or the end, throws it; until then it must not count as unhandled.
    this.#writing.catch(() => { /* see above */ });
  }
}

/** What a short write left over. */
function behind(parts: readonly Buffer[], written: number): Buffer[] {
  const rest: Buffer[] = [];
  for (const part of parts) {
    if (written < part.length) rest.push(part.subarray(written));
    written = Math.max(0, written - part.length);
  }
  return rest;
}
