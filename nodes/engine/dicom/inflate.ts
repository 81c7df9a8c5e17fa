/** Inflating a deflated data set (PS3.5, A.5) into a file beside the result, so that it can be read like any other. */
import { createReadStream, createWriteStream, rmSync } from 'node:fs';
import { Transform } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { createInflateRaw } from 'node:zlib';
import { Unreadable } from './source';

/** Inflated bytes at most: what a native data set of the largest objects takes. */
const MOST_BYTES = 4 * 1024 ** 3;
/** Above this size the ratio is looked at. Images of one grey deflate well, but not like a bomb. */
const FREE_BYTES = 64 << 20;
const MOST_RATIO = 200;

export class InflatesTooFar extends Error {}

/**
 * @throws {Unreadable} where the stream is damaged or cut off. @throws {InflatesTooFar} @throws system errors; nothing is
 * left at `to` then.
 */
export async function inflateFile(from: string, offset: number, size: number, to: string): Promise<void> {
  const most = Math.min(MOST_BYTES, Math.max(FREE_BYTES, (size - offset) * MOST_RATIO));
  let bytes = 0;
  const guard = new Transform({
    transform(content: Buffer, _encoding, done) {
      bytes += content.length;
      if (bytes > most) done(new InflatesTooFar());
      else done(null, content);
    },
  });
  try {
    await pipeline(
      createReadStream(from, { start: offset, highWaterMark: 256 << 10 }),
      createInflateRaw({ chunkSize: 256 << 10 }),
      guard,
      createWriteStream(to, { flags: 'wx', mode: 0o600 }),
    );
  } catch (thrown) {
    rmSync(to, { force: true });
    const code = typeof thrown === 'object' && thrown !== null && 'code' in thrown ? String(thrown.code) : '';
    if (code.startsWith('Z_')) throw new Unreadable(offset, 'the deflated data set is damaged');
    throw thrown;
  }
}
