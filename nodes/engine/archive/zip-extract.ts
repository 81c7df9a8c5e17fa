/** Unpacks entries of a zip. Small ones by one synchronous inflate, which nothing beats; large ones in bounded blocks. */
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { createInflateRaw, createZstdDecompress, crc32, inflateRawSync, zstdDecompressSync } from 'node:zlib';
import { toExdicomError } from '../errors';
import type { ErrorCode } from '../errors';
import { BLOCK, giveBlock, takeBlock } from '../memory';
import type { ByteSource } from './byte-source';
import { EntryRefused } from './entry-refused';
import { PackedBytes } from './packed-bytes';
import { decodeName, isJunkName, passwordBytes } from './names';
import type { NameEncoding } from './settings';
import { Sink, settleBuffer, SMALL } from './settle';
import type { SettleContext, Settled, Verdict } from './settle';
import { aesOverhead, openAes, openZipCrypto, zipCryptoOverhead } from './zip-decrypt';
import type { Decryptor } from './zip-decrypt';
import type { ZipDirectory, ZipEntry } from './zip-directory';
import { isInPlace, isLocalHeader, LOCAL_SIZE } from './zip-local';
import { DECODERS, DEFLATED, ZSTANDARD, ZSTANDARD_BOUNDS } from './zip-methods';

export interface ZipShare {
  readonly source: ByteSource;
  readonly directory: ZipDirectory;
  readonly from: number;
  readonly to: number;
  /** Number of the archive's first entry within the job. */
  readonly base: number;
  readonly encoding: NameEncoding;
  readonly prefix: string;
  readonly passwords: readonly string[];
  /** Code pages that a password may be written in. */
  readonly encodings: readonly NameEncoding[];
  readonly context: SettleContext;
}

export interface ShareResult {
  readonly settled: Settled[];
  /** Whether any entry was decrypted and found right. */
  readonly proven: boolean;
}

/** Data of one entry as it lies in the source. */
interface Extent {
  readonly start: number;
  readonly length: number;
  readonly trailer: Buffer;
  readonly decryptor: Decryptor | undefined;
}

/** What zlib throws about bytes is the entry's fault; all else is ours. */
function entryFault(thrown: unknown): ErrorCode | undefined {
  if (thrown instanceof EntryRefused) return thrown.code;
  const code = thrown instanceof Error && 'code' in thrown ? String(thrown.code) : '';
  if (code === 'ZSTD_error_frameParameter_windowTooLarge') return 'ENTRY_METHOD';
  return code.startsWith('Z_') || code.startsWith('ZSTD_') || code === 'ERR_BUFFER_TOO_LARGE' ? 'ENTRY_DAMAGED' : undefined;
}

/** Where the entry's data begins: its local header says so (APPNOTE 4.3.7). */
function locate(source: ByteSource, entry: ZipEntry, end: number): { readonly start: number; readonly length: number } {
  const header = source.view(entry.offset, LOCAL_SIZE);
  if (header.length < LOCAL_SIZE || !isLocalHeader(header)) throw new EntryRefused('ENTRY_DAMAGED');
  const start = entry.offset + LOCAL_SIZE + header.readUInt16LE(26) + header.readUInt16LE(28);
  if (start + entry.packed > end) throw new EntryRefused('ENTRY_DAMAGED');
  return { start, length: entry.packed };
}

/** The data once for each password that passes the entry's check, or once for an entry without encryption. */
function* openings(source: ByteSource, entry: ZipEntry, place: { readonly start: number; readonly length: number }, passwords: readonly Buffer[]): Generator<Extent & { readonly password: number }> {
  if (entry.encryption === 'none') {
    yield { ...place, trailer: Buffer.alloc(0), decryptor: undefined, password: -1 };
    return;
  }
  const overhead = entry.aes === undefined ? zipCryptoOverhead : aesOverhead(entry.aes);
  const length = place.length - overhead.before - overhead.after;
  if (length < 0) throw new EntryRefused('ENTRY_DAMAGED');
  const header = source.read(place.start, overhead.before);
  const trailer = source.read(place.start + overhead.before + length, overhead.after);
  for (const [index, password] of passwords.entries()) {
    const decryptor = entry.aes === undefined ? openZipCrypto(header, entry.check, password) : openAes(header, entry.aes, password);
    if (decryptor !== undefined) yield { start: place.start + overhead.before, length, trailer, decryptor, password: index };
  }
}

/** AE-2 leaves the CRC-32 empty on purpose. */
const hasCrc = (entry: ZipEntry): boolean => entry.aes?.version !== 2;

/** @throws where it is not packed as the entry says, or comes to more bytes. */
function inflate(packed: Buffer, { method, size }: ZipEntry): Buffer {
  // With room for one more, all comes out in one piece.
  const options = { maxOutputLength: Math.max(1, size), chunkSize: Math.max(64, size + 1) };
  if (method === DEFLATED) return inflateRawSync(packed, options);
  if (method === ZSTANDARD) return zstdDecompressSync(packed, { ...options, params: ZSTANDARD_BOUNDS });
  const decode = DECODERS.get(method);
  if (decode === undefined) return packed;
  const content = Buffer.allocUnsafe(size);
  let filled = 0;
  decode(new PackedBytes([packed].values()), size, (chunk) => {
    if (filled + chunk.length > size) throw new EntryRefused('ENTRY_DAMAGED');
    content.set(chunk, filled);
    filled += chunk.length;
  });
  return content.subarray(0, filled);
}

/** A small entry's content. */
function unpackSmall(source: ByteSource, entry: ZipEntry, { start, length, trailer, decryptor }: Extent): Buffer {
  // Decryption changes the bytes, so it works on a copy.
  const packed = decryptor === undefined ? source.view(start, length) : source.read(start, length);
  if (packed.length !== length) throw new EntryRefused('ENTRY_DAMAGED');
  decryptor?.update(packed);
  if (decryptor !== undefined && !decryptor.authentic(trailer)) throw new EntryRefused('ENTRY_CRC');
  const content = inflate(packed, entry);
  if (content.buffer !== packed.buffer) source.giveBack(packed);
  if (content.length !== entry.size) throw new EntryRefused('ENTRY_DAMAGED');
  if (hasCrc(entry) && crc32(content) !== entry.crc) throw new EntryRefused('ENTRY_CRC');
  return content;
}

/** Gives `length` bytes from `start` to `take` in blocks, and reads the next one meanwhile. Ends early where the source ends. */
async function readAhead(source: ByteSource, start: number, length: number, take: (block: Buffer) => Promise<void>): Promise<void> {
  const buffers = [takeBlock(), takeBlock()] as const;
  try {
    let at = start;
    const next = async (buffer: Buffer): Promise<Buffer> => {
      const block = buffer.subarray(0, await source.fill(buffer.subarray(0, Math.min(BLOCK, start + length - at)), at));
      at += block.length;
      return block;
    };
    for (let turn = 1, block = await next(buffers[0]); block.length > 0; turn ^= 1) {
      // Neither is left behind when the other fails: they use buffers and files that go then.
      const [following, taken] = await Promise.allSettled([next(buffers[turn === 1 ? 1 : 0]), take(block)]);
      if (taken.status === 'rejected') throw taken.reason;
      if (following.status === 'rejected') throw following.reason;
      block = following.value;
    }
  } finally {
    for (const buffer of buffers) giveBlock(buffer);
  }
}

/** A large entry's content, to the disk. */
async function unpackLarge(source: ByteSource, entry: ZipEntry, { start, length, trailer, decryptor }: Extent, sink: Sink): Promise<void> {
  let crc = 0;
  function* plain(): Generator<Buffer> {
    let read = 0;
    for (const block of source.blocks(start, length)) {
      read += block.length;
      decryptor?.update(block);
      yield block;
    }
    if (read !== length) throw new EntryRefused('ENTRY_DAMAGED');
  }
  const take = (chunk: Buffer): void => {
    if (!sink.write(chunk)) throw new EntryRefused('ENTRY_DAMAGED');
    crc = crc32(chunk, crc);
  };
  const takeBeside = async (chunk: Buffer): Promise<void> => {
    const written = sink.writeBeside(chunk);
    crc = crc32(chunk, crc);
    if (!await written) throw new EntryRefused('ENTRY_DAMAGED');
  };
  const decode = DECODERS.get(entry.method);
  if (decode !== undefined) {
    const blocks = plain();
    decode(new PackedBytes(blocks), entry.size, take);
    // What follows the data is authenticated with it.
    while (blocks.next().done !== true);
  } else if (entry.method === DEFLATED || entry.method === ZSTANDARD) {
    // The stream keeps blocks while more are read, and `plain` uses one buffer for all.
    function* kept(): Generator<Buffer> {
      for (const block of plain()) yield Buffer.from(block);
    }
    const options = { chunkSize: 1 << 18 };
    await pipeline(Readable.from(kept(), { highWaterMark: 1 }), entry.method === DEFLATED ? createInflateRaw(options) : createZstdDecompress({ ...options, params: ZSTANDARD_BOUNDS }), async (chunks: AsyncIterable<Buffer>) => {
      for await (const chunk of chunks) await takeBeside(chunk);
    });
  } else {
    let read = 0;
    await readAhead(source, start, length, async (block) => {
      read += block.length;
      decryptor?.update(block);
      await takeBeside(block);
    });
    if (read !== length) throw new EntryRefused('ENTRY_DAMAGED');
  }
  if (sink.bytes !== entry.size) throw new EntryRefused('ENTRY_DAMAGED');
  if (decryptor !== undefined && !decryptor.authentic(trailer)) throw new EntryRefused('ENTRY_CRC');
  if (hasCrc(entry) && crc !== entry.crc) throw new EntryRefused('ENTRY_CRC');
}

/** Unpacks entries `from` to `to` of a zip. Stops early at an entry for which no password fits: the job waits for one then. */
export async function extractZip(share: ZipShare, tick: () => void): Promise<ShareResult> {
  const { source, directory, context } = share;
  const passwords = share.passwords.flatMap((password) => passwordBytes(password, share.encodings));
  const settled: Settled[] = [];
  let proven = false;

  const unpack = async (entry: ZipEntry, n: number, name: string): Promise<Verdict> => {
    if (entry.refused !== undefined) return { kind: 'unreadable', code: entry.refused };
    const place = locate(source, entry, directory.end);
    let tried = false;
    for (const opening of openings(source, entry, place, passwords)) {
      const small = entry.size <= SMALL && entry.packed <= SMALL + 1024;
      const sink = small ? undefined : new Sink(n, context, entry.size);
      try {
        let verdict: Verdict;
        if (sink === undefined) {
          const content = unpackSmall(source, entry, opening);
          verdict = settleBuffer(content, n, context, name);
          source.giveBack(content);
        } else {
          await unpackLarge(source, entry, opening, sink);
          verdict = sink.settle(name);
        }
        if (opening.password >= 0) {
          proven = true;
          // The next entry most likely has the same one.
          passwords.unshift(...passwords.splice(opening.password, 1));
        }
        return verdict;
      } catch (thrown) {
        sink?.discard();
        if (entry.encryption === 'none' || entryFault(thrown) === undefined) throw thrown;
        tried = true;
      }
    }
    // By a damaged header no password fits, as by a wrong password.
    return { kind: 'locked', tried: tried || !isInPlace(source, entry, directory.end) };
  };

  for (let i = share.from; i < share.to; i += 1) {
    const entry = directory.entries[i]!;
    const common = { n: share.base + i, name: share.prefix + decodeName(entry.name, share.encoding), bytes: entry.size };
    let verdict: Verdict;
    try {
      verdict = await unpack(entry, common.n, common.name);
    } catch (thrown) {
      const code = entryFault(thrown);
      if (code === undefined) throw toExdicomError(thrown);
      verdict = { kind: 'unreadable', code };
    }
    if (isJunkName(common.name) && (verdict.kind === 'unreadable' || verdict.kind === 'locked')) verdict = { kind: 'not-dicom' };
    settled.push({ ...common, ...verdict });
    if (verdict.kind === 'locked' && !verdict.tried) break;
    tick();
  }
  return { settled, proven };
}
