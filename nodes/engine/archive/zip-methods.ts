/** The ways in which entries of a zip are packed (APPNOTE 4.4.5), and what unpacks them. */
import * as zlib from 'node:zlib';
import { bunzip2 } from './bzip2';
import { inflate64 } from './inflate64';
import { unlzma } from './lzma';
import type { Decoder } from './packed-bytes';

export const STORED = 0;
export const DEFLATED = 8;
export const ZSTANDARD = 93;

/** Those that zlib has not. */
export const DECODERS: ReadonlyMap<number, Decoder> = new Map([[9, inflate64], [12, bunzip2], [14, unlzma]]);

/** Node has it from 22.15 on. */
const hasZstandard = 'zstdDecompressSync' in zlib;

/** A window of 64 MiB at most. */
export const ZSTANDARD_BOUNDS: Readonly<Record<number, number>> = hasZstandard ? { [zlib.constants.ZSTD_d_windowLogMax]: 26 } : {};

export const isSupported = (method: number): boolean => method === STORED || method === DEFLATED || (method === ZSTANDARD && hasZstandard) || DECODERS.has(method);
