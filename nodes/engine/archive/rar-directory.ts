/** What a RAR archive holds: unrar's own list, beside what its headers tell that unrar does not. */
import { UnrarError } from 'node-unrar-js/dist/js/Extractor';
import { ExdicomError } from '../errors';
import type { ErrorCode } from '../errors';
import { ByteSource } from './byte-source';
import { rarStart, RAR4_SIGNATURE, SFX_BYTES } from './format';
import { chooseEncoding, decodeName } from './names';
import { readRarVolume } from './rar-headers';
import type { RarHeader, RarVolume } from './rar-headers';
import { RATIO_FROM } from './settings';
import type { ExtractLimits, NameEncoding } from './settings';
import { newUnrar } from './unrar';
import type { FileHeader, UnrarInput } from './unrar';

export interface RarEntry {
  /** Place in unrar's list, folders counted. */
  readonly position: number;
  readonly name: string;
  /** Undefined where the archive does not say. */
  readonly size: number | undefined;
  readonly packed: number;
  readonly encrypted: boolean;
  readonly refused?: ErrorCode;
}

export interface RarDirectory {
  readonly input: UnrarInput;
  readonly version: 4 | 5;
  /** unrar's list as it stands, folders among it. */
  readonly headers: readonly FileHeader[];
  /** Folders are left out. */
  readonly entries: readonly RarEntry[];
  /** The one that opened the headers, where these are encrypted. */
  readonly headerPassword: string | undefined;
  /** Whether entries are packed with those before them in mind. */
  readonly solid: boolean;
  /** Whether an entry can be unpacked without those before it. */
  readonly divisible: boolean;
}

/** Unpacking allocates the dictionary as a whole; larger ones are refused. */
const DICTIONARY_MAX = 256 << 20;
const SIZE_MAX = 2 ** 52;

/** What is there of an entry whose header is damaged; unrar does not see it. */
const LOST: RarEntry = { position: Infinity, name: '', size: 0, packed: 0, encrypted: false, refused: 'ENTRY_DAMAGED' };

/** Real RAR volumes, or one archive that was cut into files by other means. */
function arrange(paths: readonly string[]): ReadonlyArray<readonly string[]> {
  if (paths.length === 1) return [paths];
  using second = new ByteSource(paths.slice(1, 2));
  const mark = RAR4_SIGNATURE.subarray(0, 6);
  return second.read(0, mark.length).equals(mark) ? paths.map((path) => [path]) : [paths];
}

function readVolumes(volumes: ReadonlyArray<readonly string[]>): { readonly start: number; readonly bytes: number; readonly found: readonly RarVolume[] } {
  let start = 0;
  let bytes = 0;
  const found = volumes.map((paths, index) => {
    using source = new ByteSource(paths);
    bytes += source.size;
    if (index === 0) start = rarStart(source.read(0, SFX_BYTES));
    const volume = start < 0 ? undefined : readRarVolume(source, index === 0 ? start : 0);
    if (volume === undefined) throw new ExdicomError('ARCHIVE_DAMAGED');
    return volume;
  });
  return { start, bytes, found };
}

/** Cut off, or not all there: known before anything is unpacked, so that nothing of it is sent. */
function refuseIncomplete(found: readonly RarVolume[]): void {
  const first = found[0]!;
  if (found.some(({ end }) => end === 'cut')) throw new ExdicomError('ARCHIVE_DAMAGED');
  if (!first.first || found.at(-1)!.end === 'more') throw new ExdicomError('MISSING_VOLUME');
}

async function list(input: UnrarInput, password: string, limits: ExtractLimits): Promise<FileHeader[]> {
  using unrar = await newUnrar(input, password);
  const headers: FileHeader[] = [];
  let files = 0;
  for (const header of unrar.getFileList().fileHeaders) {
    if (!header.flags.directory) files += 1;
    if (files > limits.entries) throw new ExdicomError('LIMIT_ENTRIES');
    headers.push(header);
  }
  return headers;
}

/** Tries the passwords on encrypted headers. */
async function open(input: UnrarInput, first: RarVolume, passwords: readonly string[], limits: ExtractLimits): Promise<{ readonly headers: FileHeader[]; readonly password: string | undefined }> {
  try {
    if (!first.encryptedHeaders) return { headers: await list(input, '', limits), password: undefined };
    for (const password of passwords) {
      try {
        return { headers: await list(input, password, limits), password };
      } catch (thrown) {
        // RAR 4 cannot tell a wrong password from damage.
        if (!(thrown instanceof UnrarError)) throw thrown;
      }
    }
  } catch (thrown) {
    // Without an end block it is older than RAR 3, which unrar does not always read.
    if (thrown instanceof UnrarError) throw new ExdicomError(first.version === 4 && first.end === 'unknown' ? 'UNSUPPORTED_ARCHIVE' : 'ARCHIVE_DAMAGED', { origin: thrown });
    throw thrown;
  }
  throw new ExdicomError('NEEDS_PASSWORD');
}

function refusal(header: FileHeader, own: RarHeader | undefined, size: number | undefined, packed: number, limits: ExtractLimits): ErrorCode | undefined {
  if (own?.link === 'link') return 'ENTRY_LINK';
  if ((own?.nameBytes ?? Buffer.byteLength(header.name)) > limits.nameBytes) return 'LIMIT_NAME';
  if (own !== undefined && own.dictionary > DICTIONARY_MAX) return 'ENTRY_METHOD';
  if (own?.link === 'copy') return undefined;
  if (size !== undefined && size > RATIO_FROM && size > packed * limits.ratio) return 'LIMIT_RATIO';
  return undefined;
}

/**
 * @param paths of the volumes, in order.
 * @throws {ExdicomError} ARCHIVE_DAMAGED, MISSING_VOLUME, NEEDS_PASSWORD (for encrypted headers), LIMIT_ENTRIES.
 */
export async function readRarDirectory(paths: readonly string[], passwords: readonly string[], encodings: readonly NameEncoding[], limits: ExtractLimits): Promise<RarDirectory> {
  const volumes = arrange(paths);
  const { start, bytes, found } = readVolumes(volumes);
  refuseIncomplete(found);
  const first = found[0]!;
  // In a set an entry may go on behind a damaged header, which unrar does not survive.
  const masks = volumes.length === 1 ? first.masks : [];
  const input: UnrarInput = { volumes, start, masks, newNaming: first.newNaming };
  const { headers, password } = await open(input, first, passwords, limits);

  const own = found.flatMap(({ files }) => files ?? []);
  // Our walk and unrar's must see the same entries, or ours says nothing.
  const known = own.length === headers.length ? own : undefined;
  const raw = (known ?? []).flatMap(({ rawName }) => (rawName === undefined ? [] : [{ bytes: rawName, utf8: false }]));
  const encoding = chooseEncoding(raw, encodings);

  const entries = headers.flatMap((header, position): RarEntry[] => {
    if (header.flags.directory) return [];
    const ours = known?.[position];
    const size = ours?.sizeKnown === false || header.unpSize > SIZE_MAX || header.unpSize < 0 ? undefined : header.unpSize;
    const name = (ours?.rawName === undefined ? header.name : decodeName({ bytes: ours.rawName, utf8: false }, encoding)).replaceAll('\\', '/');
    // An entry that goes on in the next volume tells only what is packed of it in the first.
    const packed = volumes.length > 1 ? bytes : header.packSize;
    const refused = refusal(header, ours, size, packed, limits);
    return [{ position, name, size, packed, encrypted: header.flags.encrypted, ...(refused === undefined ? {} : { refused }) }];
  });
  // Whatever stood there, it is told of.
  entries.push(...masks.map(() => LOST));
  const solid = first.solid || headers.some(({ flags }) => flags.solid);
  const divisible = volumes.length === 1 && known !== undefined && !solid && known.every(({ link }) => link !== 'copy');
  return { input, version: first.version, headers, entries, headerPassword: password, solid, divisible };
}
