/**
 * Canaries: values that occur nowhere by chance, planted wherever an archive can hold an identifier, and the search for them
 * in everything that leaves the pack. All of a run share a marker, so that the search is fast however many there are.
 */
import { createHash, randomInt } from 'node:crypto';
import { readFile, readdir } from 'node:fs/promises';
import { join, relative } from 'node:path';

const LETTERS = 'BCDFGHJKLMNPQRSTVWXZ';

const MARKER = 8;
/** Characters that tell one canary from another. */
const OWN = 4;

export type Kind = 'text' | 'uid' | 'han';
type Encoding = readonly [name: string, bytes: Buffer, folds: boolean];

export interface Sighting {
  /** Where the canary was planted, or `?` where only its marker can be told. */
  readonly planted: string;
  readonly kind: Kind;
  readonly encoding: string;
  /** Where it was found. */
  readonly place: string;
}

export class Canaries {
  readonly #text: string;
  readonly #root: string;
  readonly #han: string;
  readonly #planted = new Map<string, string>();
  readonly #digests = new Map<string, string>();
  #count = 0;

  /** @param roll a whole number from 0 to below; one with a seed makes the same canaries again. */
  constructor(roll: (below: number) => number = (below) => randomInt(below)) {
    const nineDigits = (): number => 1e8 + roll(9e8);
    this.#text = Array.from({ length: MARKER }, () => LETTERS[roll(LETTERS.length)]).join('');
    this.#root = `1.2.826.0.1.${nineDigits()}.${nineDigits()}.`;
    this.#han = Array.from({ length: 4 }, () => String.fromCodePoint(0x4e00 + roll(0x5100))).join('');
  }

  /** Twelve capital letters and digits: fits every text VR, and a name on any disk. */
  text(where: string): string {
    return this.#plant(this.#text + (this.#count++).toString(36).toUpperCase().padStart(OWN, '0'), where);
  }

  /** A legal UID (PS3.5, 9). */
  uid(where: string): string {
    return this.#plant(`${this.#root}${1000 + this.#count++}`, where);
  }

  /** Four Chinese characters, the same in every call. */
  han(where: string): string {
    return this.#plant(this.#han, where);
  }

  #plant(value: string, where: string): string {
    this.#planted.set(value, where);
    // A digest without a key is as good as the value to anybody with a list of patients.
    for (const algorithm of ['md5', 'sha1', 'sha256']) this.#digests.set(createHash(algorithm).update(value).digest('hex'), where);
    return value;
  }

  /** Every canary in these bytes: as UTF-8, UTF-16, hexadecimal, base64, percent-encoded, escaped or as an unkeyed digest, in any case. */
  search(content: Buffer | string, place: string): Sighting[] {
    const bytes = Buffer.isBuffer(content) ? content : Buffer.from(content);
    const folded = fold(bytes);
    const found: Sighting[] = [];
    const markers: ReadonlyArray<readonly [Kind, string]> = [['text', this.#text], ['uid', this.#root], ['han', this.#han]];
    for (const [kind, marker] of markers) {
      for (const [encoding, needle, folds] of encodings(marker)) {
        const haystack = folds ? folded : bytes;
        const wanted = folds ? fold(needle) : needle;
        for (let at = haystack.indexOf(wanted); at >= 0; at = haystack.indexOf(wanted, at + wanted.length)) {
          found.push({ planted: this.#nameAt(bytes, at, { kind, encoding }), kind, encoding, place });
        }
      }
    }
    for (const [word] of folded.toString('latin1').matchAll(/(?<![0-9a-f])(?:[0-9a-f]{64}|[0-9a-f]{40}|[0-9a-f]{32})(?![0-9a-f])/g)) {
      const planted = this.#digests.get(word);
      if (planted !== undefined) found.push({ planted, kind: 'text', encoding: 'digest', place });
    }
    return distinct(found);
  }

  #nameAt(bytes: Buffer, at: number, { kind, encoding }: Pick<Sighting, 'kind' | 'encoding'>): string {
    if (kind === 'han') return this.#planted.get(this.#han) ?? '?';
    const end = kind === 'text' ? MARKER + OWN : this.#root.length + 4;
    const value = encoding === 'utf-8' ? bytes.toString('latin1', at, at + end) : encoding === 'utf-16le' ? bytes.toString('utf16le', at, at + 2 * end) : '';
    return this.#planted.get(value.toUpperCase()) ?? '?';
  }

  /** In the names of all files and folders below `folder`; `known` are relative paths whose names are the sender's own and may stay. */
  async searchNames(folder: string, place: string, known: (path: string) => boolean = () => false): Promise<Sighting[]> {
    const entries = await readdir(folder, { recursive: true, withFileTypes: true });
    return entries.flatMap((entry) => {
      const path = relative(folder, join(entry.parentPath, entry.name));
      return known(path) ? [] : this.search(entry.name, `the name of ${place}/${path}`);
    });
  }

  /** In the bytes of all files below `folder`, but for those left out by their relative path. */
  async searchFiles(folder: string, place: string, leaveOut: (path: string) => boolean = () => false): Promise<Sighting[]> {
    const found: Sighting[] = [];
    for (const entry of await readdir(folder, { recursive: true, withFileTypes: true })) {
      const path = relative(folder, join(entry.parentPath, entry.name));
      if (entry.isFile() && !leaveOut(path)) found.push(...this.search(await readFile(join(folder, path)), `${place}/${path}`));
    }
    return found;
  }
}

/** Latin capitals to small letters, byte by byte, so that offsets stay. */
function fold(bytes: Buffer): Buffer {
  const out = Buffer.from(bytes);
  for (let i = 0; i < out.length; i += 1) {
    const byte = out[i] ?? 0;
    if (byte >= 0x41 && byte <= 0x5a) out[i] = byte | 0x20;
  }
  return out;
}

/** The ways in which a text can stand in bytes; whether capitals count is said of each. */
function encodings(text: string): Encoding[] {
  const utf8 = Buffer.from(text);
  const utf16 = Buffer.from(text, 'utf16le');
  const percent = (bytes: Buffer): Buffer => Buffer.from([...bytes].map((byte) => `%${byte.toString(16).padStart(2, '0')}`).join(''));
  const escaped = Array.from(text, (one) => `\\u${(one.codePointAt(0) ?? 0).toString(16).padStart(4, '0')}`).join('');
  return [
    ['utf-8', utf8, true],
    ['utf-16le', utf16, true],
    ['utf-16be', Buffer.from(utf16).swap16(), true],
    ['hex', Buffer.from(utf8.toString('hex')), true],
    ['hex of utf-16', Buffer.from(utf16.toString('hex')), true],
    ['percent', percent(utf8), true],
    ['escaped', Buffer.from(escaped), true],
    // A dump of a Buffer: `58 51 4c`.
    ['spaced hex', Buffer.from([...utf8].map((byte) => byte.toString(16).padStart(2, '0')).join(' ')), true],
    ...[0, 1, 2].flatMap((offset): Encoding[] => [
      ['base64', base64At(utf8, offset, 'base64'), false],
      ['base64url', base64At(utf8, offset, 'base64url'), false],
    ]),
  ];
}

/** What stands in base64 when these bytes come after `offset` others: only the characters that neighbours do not change. */
function base64At(bytes: Buffer, offset: number, encoding: 'base64' | 'base64url'): Buffer {
  const text = Buffer.concat([Buffer.alloc(offset), bytes]).toString(encoding);
  return Buffer.from(text.slice(Math.ceil((offset * 8) / 6), Math.floor(((offset + bytes.length) * 8) / 6)));
}

function distinct(sightings: readonly Sighting[]): Sighting[] {
  return [...new Map(sightings.map((one) => [JSON.stringify(one), one])).values()];
}

/** For an assertion: at most a few lines, each one place. */
export function told(sightings: readonly Sighting[]): string[] {
  return [...new Set(sightings.map(({ planted, kind, encoding, place }) => `${kind} of ${planted} (${encoding}) in ${place}`))].slice(0, 40);
}
