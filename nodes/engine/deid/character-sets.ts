/**
 * How a text that a person typed may stand in a file. Pseudonyms are made of a PatientID's bytes, whatever character set the file
 * says they are in (PS3.3, C.12.1.1.2), so whoever looks for one has to try them all.
 */

const ESC = '\u001b';

/** Sets whose upper half has one byte for a character, by their names in the Encoding Standard. */
const SINGLE: Readonly<Record<string, string>> = {
  'ISO_IR 101': 'iso-8859-2', 'ISO_IR 109': 'iso-8859-3', 'ISO_IR 110': 'iso-8859-4', 'ISO_IR 144': 'iso-8859-5', 'ISO_IR 127': 'iso-8859-6', 'ISO_IR 126': 'iso-8859-7',
  'ISO_IR 138': 'iso-8859-8', 'ISO_IR 148': 'windows-1254', 'ISO_IR 203': 'iso-8859-15', 'ISO_IR 166': 'windows-874', 'ISO_IR 13': 'shift_jis',
};

/** Sets of two bytes, and what stands around a run of them (PS3.5, H, I and K): of those in G1 an escape before the first is enough. */
const DOUBLE: Readonly<Record<string, { readonly label: string; readonly escape?: string; readonly back?: string }>> = {
  'GB18030': { label: 'gb18030' },
  'ISO 2022 IR 58': { label: 'gbk', escape: `${ESC}$)A` },
  'ISO 2022 IR 149': { label: 'euc-kr', escape: `${ESC}$)C` },
  'ISO 2022 IR 87': { label: 'euc-jp', escape: `${ESC}$B`, back: `${ESC}(B` },
  'ISO 2022 IR 13, IR 87': { label: 'euc-jp', escape: `${ESC}$B`, back: `${ESC}(J` },
};

type Codes = ReadonlyMap<string, string>;

const known = new Map<string, Codes>();

/** Characters of a set beyond ASCII, with their bytes by `latin1`: one from `least` on, or two. Empty where this runtime does not have the set. */
function codesOf(label: string, least: number, second?: number): Codes {
  const name = `${label} ${least} ${second}`;
  let codes = known.get(name);
  if (codes === undefined) {
    codes = readCodes(label, least, second);
    known.set(name, codes);
  }
  return codes;
}

function readCodes(label: string, least: number, least2: number | undefined): Codes {
  const codes = new Map<string, string>();
  let decoder: TextDecoder;
  try { decoder = new TextDecoder(label); } catch { return codes; }
  for (let first = least; first < 0xff + Number(least2 === undefined); first += 1) {
    for (let second = least2 ?? 0xff; second <= 0xff; second += 1) {
      const bytes = least2 === undefined ? Uint8Array.of(first) : Uint8Array.of(first, second);
      const text = decoder.decode(bytes);
      // One character, and not the one that stands for none.
      if (text.length === ((text.codePointAt(0) ?? 0) > 0xffff ? 2 : 1) && text > '\u007f' && text !== '\ufffd' && !codes.has(text)) {
        codes.set(text, String.fromCharCode(...bytes));
      }
    }
  }
  return codes;
}

/** Undefined where a character is not in the set. */
function encode(text: string, codes: () => Codes, { escape = '', back }: { readonly escape?: string; readonly back?: string } = {}): string | undefined {
  let encoded = '';
  let inside = false;
  for (const character of text) {
    const ascii = character <= '\u007f';
    const code = ascii ? character : codes().get(character);
    if (code === undefined) return undefined;
    if (!ascii && !inside) encoded += escape;
    if (ascii && inside && back !== undefined) encoded += back;
    inside = back === undefined ? inside || !ascii : !ascii;
    // In G0 the same codes have no upper bit.
    encoded += ascii || back === undefined ? code : Array.from(code, (byte) => String.fromCharCode(byte.charCodeAt(0) & 0x7f)).join('');
  }
  return inside && back !== undefined ? encoded + back : encoded;
}

/** By character set the bytes of a text, as `latin1` reads them; without the sets that do not have all of its characters. */
export function inCharacterSets(text: string): ReadonlyMap<string, string> {
  const composed = text.normalize('NFC');
  const found = new Map<string, string>([['ISO_IR 192', Buffer.from(composed).toString('latin1')]]);
  const add = (set: string, encoded: string | undefined): void => { if (encoded !== undefined) found.set(set, encoded); };
  if (!/[^\0-\u00ff]/u.test(composed)) add('ISO_IR 100', composed);
  for (const [set, label] of Object.entries(SINGLE)) add(set, encode(composed, () => codesOf(label, 0xa0)));
  for (const [set, { label, ...around }] of Object.entries(DOUBLE)) {
    add(set, encode(composed, () => (around.escape === undefined ? codesOf(label, 0x81, 0x40) : codesOf(label, 0xa1, 0xa1)), around));
  }
  return found;
}
