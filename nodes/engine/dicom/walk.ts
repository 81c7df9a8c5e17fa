/** Walks a data set with rules and plans the new one. */
import { carriesElements, MOST_LOOKED_AT } from './carried';
import { dictionaryVr } from './dictionary';
import { encodeHeader, encodeItems, encodeOnce, encodeValue } from './encode';
import {
  DEEPEST, elementEnd, IMPLICIT_LITTLE, isItemTag, ITEM, ITEM_DELIMITATION, newHeader, PIXEL_DATA, readHeader, SEQUENCE_DELIMITATION, UNDEFINED,
} from './elements';
import type { Encoding, Header } from './elements';
import type { Extent } from './extent';
import type { Plan } from './plan';
import type { NewElement, Rules, Tag } from './rewrite-types';
import { Unreadable } from './source';
import type { ByteSource } from './source';
import { View } from './view';
import { swapUnit, vrOf } from './vr';
import type { WordGuard } from './word-guard';

/** What of the new data set goes into File Meta Information and reports. */
export const REPORTED = { sopClassUID: 0x00080016, sopInstanceUID: 0x00080018, modality: 0x00080060, studyInstanceUID: 0x0020000d, seriesInstanceUID: 0x0020000e } as const;
const REPORTED_TAGS: ReadonlySet<Tag> = new Set(Object.values(REPORTED));

const LONGEST_CREATOR = 64;
/** A header and nothing: no shorter value holds an element with one. */
const SHORTEST_CARRIER = 8;
const FLOAT_PIXEL_DATA = 0x7fe00008;
/** Says of itself what it is; its maker's name may be a hospital's as well. */
const ICC_PROFILE = 0x00282000;
/** Holds a small picture and nothing else; its greys, taken for words, would be found in the large one. */
const ICON_IMAGE_SEQUENCE = 0x00880200;
/** Of what does not stay, values from one word to this many bytes are remembered as words. */
const SHORTEST_REMEMBERED = 6;
const LONGEST_REMEMBERED = 16 << 10;

/** Private creators of one data set or item: by group and block (PS3.5, 7.8.1). */
type Creators = Map<number, string>;

export class Walk {
  /** Values of REPORTED in the new data set. */
  readonly reported = new Map<Tag, string>();
  readonly #source: ByteSource;
  readonly #rules: Rules;
  readonly #plan: Plan;
  readonly #view: View;
  readonly #path: Tag[] = [];
  /** Values that do not stay as they are, of text and of bytes, and kept values of numbers and bytes: offset and end of each, one after the other. */
  readonly #goneText: number[] = [];
  readonly #goneBytes: number[] = [];
  readonly #bytes: number[] = [];
  /** How often something was not kept as it is. */
  #changes = 0;

  constructor(source: ByteSource, rules: Rules, plan: Plan) {
    this.#source = source;
    this.#rules = rules;
    this.#plan = plan;
    this.#view = new View(source);
    this.#view.path = this.#path;
  }

  /**
   * Plans the whole new data set.
   * @throws {Unreadable} @throws {PlanTooLarge}
   */
  dataSet(start: number, extent: Extent, encoding: Encoding): void {
    const source = this.#source;
    const plan = this.#plan;
    const additions = [...this.#rules.additions()].sort((one, other) => one.tag - other.tag);
    const added = new Set(additions.map(({ tag }) => tag));
    const beginning = plan.mark();
    const header = newHeader();
    const creators: Creators = new Map();
    let next = 0;
    for (let at = start; at < extent.end;) {
      const tag = readHeader(source, at, extent.end, encoding, header);
      while (next < additions.length && additions[next]!.tag <= tag) this.#add(additions[next++]!, encoding);
      if (added.has(tag)) {
        this.#changes++;
        const end = this.#end(at, extent, encoding, header);
        this.#remember(this.#goneText, at + header.headerLength, end);
        at = end;
      } else {
        const known = at === extent.fragmentsOffset ? extent.fragmentsEnd : -1;
        at = this.#element(at, extent.end, encoding, header, creators, undefined, known);
      }
    }
    while (next < additions.length) this.#add(additions[next++]!, encoding);
    if (this.#changes > 0) return;
    plan.rewind(beginning);
    plan.keep(start, extent.end);
  }

  #end(at: number, extent: Extent, encoding: Encoding, header: Header): number {
    return at === extent.fragmentsOffset ? extent.fragmentsEnd : elementEnd(this.#source, at, extent.end, encoding, header);
  }

  #add(element: NewElement, encoding: Encoding): void {
    this.#changes++;
    this.#plan.add(encodeOnce(element, encoding));
    if (REPORTED_TAGS.has(element.tag) && Buffer.isBuffer(element.value)) this.#report(element.tag, element.value);
  }

  #report(tag: Tag, value: Buffer): void {
    if (!this.reported.get(tag)) this.reported.set(tag, value.toString('latin1').replace(/[\0 ]+$/, ''));
  }

  /** Asks for one element whose header was read at `at`, plans what the rules want, and gives the offset after it. */
  #element(at: number, limit: number, encoding: Encoding, header: Header, creators: Creators, item: number | undefined, known: number): number {
    const { tag, vr: written, headerLength, length } = header;
    const source = this.#source;
    const plan = this.#plan;
    const undefinedLength = length === UNDEFINED;
    const depth = this.#path.length;
    let end = known;
    if (!undefinedLength) {
      end = at + headerLength + length;
      if (end > limit) throw new Unreadable(at, 'an element is longer than what it lies in');
    }
    const view = this.#view;
    view.tag = tag;
    view.vr = this.#vr(at, encoding, header);
    view.length = undefinedLength ? undefined : length;
    view.item = item;
    view.valueOffset = at + headerLength;
    // What is written as UN is Little Endian in any data set (PS3.5, 6.2.2).
    view.bigEndian = encoding.bigEndian && written !== 'UN';
    view.privateCreator = Math.floor(tag / 65_536) % 2 === 1 ? this.#creator(view, creators) : undefined;
    const { vr } = view;
    const action = this.#rules.element(view);
    if (length === 4 && tag % 65_536 === 0) {
      if (action.kind !== 'keep') this.#changes++;
      return end;
    }
    if (action.kind === 'recurse' && vr === 'SQ') return this.#sequence(at, limit, encoding, tag, written, headerLength, length);
    if (end < 0) end = elementEnd(source, at, limit, encoding, header, depth);
    if (action.kind !== 'keep' && swapUnit(vr) === 1 && tag !== ICON_IMAGE_SEQUENCE) this.#remember(vr === 'OB' || vr === 'UN' ? this.#goneBytes : this.#goneText, at + headerLength, end);
    switch (action.kind) {
      case 'keep':
        if (length > SHORTEST_CARRIER && this.#carries(tag, vr, at + headerLength, length, encoding)) throw new Unreadable(at, 'an element holds the elements behind it');
        plan.keep(at, end);
        if (end - at >= headerLength + SHORTEST_REMEMBERED && tag !== ICC_PROFILE && (swapUnit(vr) > 1 || vr === 'OB')) this.#bytes.push(at + headerLength, end);
        if (depth === 0 && REPORTED_TAGS.has(tag) && length > 0 && length <= 4096) {
          const value = Buffer.allocUnsafe(length);
          source.copy(at + headerLength, length, value, 0);
          this.#report(tag, value);
        }
        return end;
      case 'empty':
        if (length === 0) {
          plan.keep(at, end);
          return end;
        }
        plan.add(encodeHeader(tag, written ?? 'UN', 0, encoding));
        break;
      case 'replace': {
        // A value is no sequence, whatever stood there.
        const newVr = written === undefined || written === 'UN' || written === 'SQ' ? action.vr ?? (vr === 'SQ' ? 'UN' : vr) : written;
        plan.add(encodeValue(tag, newVr, action.value, encoding));
        if (depth === 0 && REPORTED_TAGS.has(tag)) this.#report(tag, action.value);
        break;
      }
      case 'items': {
        const content = encodeItems(action.items, encoding);
        plan.add(encodeHeader(tag, 'SQ', content.length, encoding));
        plan.add(content);
        break;
      }
      case 'remove':
      case 'recurse':
        break;
      default:
        throw new TypeError(`no action ${(action satisfies never as { kind: string }).kind}`);
    }
    this.#changes++;
    return end;
  }

  #remember(gone: number[], start: number, end: number): void {
    if (end - start >= SHORTEST_REMEMBERED && end - start <= LONGEST_REMEMBERED) gone.push(start, end);
  }

  /** Has the writer look for the words of what does not stay in numbers, pixels and other bytes that do: there no rule has seen them. */
  guard(guard: WordGuard): void {
    const words = guard.begin(this.#bytes);
    if (this.#bytes.length === 0) return;
    const value = (gone: readonly number[], i: number): string => this.#source.latin1(gone[i]!, gone[i + 1]! - gone[i]!);
    for (let i = 0; i < this.#goneText.length; i += 2) words.add(value(this.#goneText, i));
    for (let i = 0; i < this.#goneBytes.length; i += 2) words.addOfBytes(this.#source.range(this.#goneBytes[i]!, this.#goneBytes[i + 1]! - this.#goneBytes[i]!));
  }

  /** Whether a value of numbers or bytes, but pixels, holds the elements behind it; in words and UIDs the rules would see them. */
  #carries(tag: Tag, vr: string, valueOffset: number, length: number, encoding: Encoding): boolean {
    if (swapUnit(vr) === 1 && vr !== 'OB' || tag >= FLOAT_PIXEL_DATA && tag <= PIXEL_DATA) return false;
    const count = Math.min(length, MOST_LOOKED_AT);
    const value = Buffer.allocUnsafe(count);
    for (const offset of new Set([valueOffset + length - count, valueOffset])) {
      this.#source.copy(offset, count, value, 0);
      if (carriesElements(value, tag, encoding)) return true;
    }
    return false;
  }

  /** The VR that counts: written, or of the dictionary; `SQ` only for what can be walked as one. */
  #vr(at: number, encoding: Encoding, { tag, vr, headerLength, length }: Header): string {
    if (vr !== undefined && vr !== 'UN' && vr !== 'SQ') return vr;
    if (length === UNDEFINED) return vr === undefined && tag === PIXEL_DATA ? 'OW' : 'SQ';
    const named = vr === 'SQ' ? vr : dictionaryVr(tag) ?? 'UN';
    if (named !== 'SQ' || length === 0) return named;
    if (length < 8) return 'UN';
    const index = this.#source.at(at + headerLength, 4);
    const { bytes } = this.#source;
    const first = encoding.bigEndian && vr !== 'UN'
      ? bytes.readUInt16BE(index) * 65_536 + bytes.readUInt16BE(index + 2)
      : bytes.readUInt16LE(index) * 65_536 + bytes.readUInt16LE(index + 2);
    return first === ITEM || first === SEQUENCE_DELIMITATION ? 'SQ' : 'UN';
  }

  /** The creator that owns a private element; remembers it where the element is a creator itself. */
  #creator(view: View, creators: Creators): string | undefined {
    const group = Math.floor(view.tag / 65_536);
    const element = view.tag % 65_536;
    if (element >= 0x10 && element <= 0xff) {
      if (view.vr !== 'SQ' && view.length !== undefined && view.length > 0 && view.length <= LONGEST_CREATOR + 2) creators.set(group * 256 + element, view.ascii().trim());
      return undefined;
    }
    return creators.get(group * 256 + Math.floor(element / 256));
  }

  /** Plans a sequence item by item; its lengths are written anew where something inside changed. */
  #sequence(at: number, limit: number, encoding: Encoding, tag: Tag, written: string | undefined, headerLength: number, length: number): number {
    const plan = this.#plan;
    if (this.#path.length >= DEEPEST) throw new Unreadable(at, 'sequences are nested too deeply');
    const undefinedLength = length === UNDEFINED;
    const start = at + headerLength;
    const stop = undefinedLength ? limit : start + length;
    const inner = written === 'UN' ? this.#unknownEncoding(start, stop, undefinedLength) : encoding;
    const changes = this.#changes;
    const mark = plan.mark();
    const lengthAt = undefinedLength ? -1 : this.#copyHeader(at, headerLength);
    if (undefinedLength) plan.keep(at, start);
    const before = plan.bytes;
    this.#path.push(tag);
    const end = this.#items(start, stop, inner, undefinedLength);
    this.#path.pop();
    if (this.#changes === changes) {
      plan.rewind(mark);
      plan.keep(at, end);
    } else if (lengthAt >= 0) {
      plan.patchLength(lengthAt, plan.bytes - before, encoding.bigEndian);
    }
    return end;
  }

  #items(start: number, stop: number, encoding: Encoding, delimited: boolean): number {
    const source = this.#source;
    const plan = this.#plan;
    const header = newHeader();
    let item = 0;
    for (let at = start; at < stop;) {
      const tag = readHeader(source, at, stop, encoding, header);
      const { length } = header;
      if (tag === SEQUENCE_DELIMITATION) {
        plan.keep(at, at + 8);
        if (delimited) return at + 8;
        if (at + 8 === stop) return stop;
        throw new Unreadable(at, 'a sequence is delimited before its end');
      }
      if (tag !== ITEM) throw new Unreadable(at, 'a sequence holds something that is not an item');
      const content = at + 8;
      if (length === UNDEFINED) {
        plan.keep(at, content);
        at = this.#content(content, stop, encoding, item, true);
        plan.keep(at, at + 8);
        at += 8;
      } else {
        const end = content + length;
        if (end > stop) throw new Unreadable(at, 'an item is longer than what it lies in');
        const mark = plan.mark();
        const changes = this.#changes;
        const lengthAt = this.#copyHeader(at, 8);
        const before = plan.bytes;
        this.#content(content, end, encoding, item, false);
        if (this.#changes === changes) {
          plan.rewind(mark);
          plan.keep(at, end);
        } else {
          plan.patchLength(lengthAt, plan.bytes - before, encoding.bigEndian);
        }
        at = end;
      }
      item++;
    }
    if (delimited) throw new Unreadable(stop, 'a sequence is not delimited');
    return stop;
  }

  /** The elements of an item; gives the offset of its delimiter, or after its last element. */
  #content(start: number, stop: number, encoding: Encoding, item: number, delimited: boolean): number {
    const source = this.#source;
    const header = newHeader();
    const creators: Creators = new Map();
    let at = start;
    while (at < stop) {
      const tag = readHeader(source, at, stop, encoding, header);
      if (tag === ITEM_DELIMITATION && delimited) return at;
      if (isItemTag(tag)) throw new Unreadable(at, 'an item is not delimited');
      at = this.#element(at, stop, encoding, header, creators, item, -1);
    }
    if (delimited) throw new Unreadable(stop, 'an item is not delimited');
    return at;
  }

  /** Copies a header with a defined 32-bit length as new bytes; gives where its length stands. */
  #copyHeader(at: number, headerLength: number): number {
    const index = this.#source.at(at, headerLength);
    return this.#plan.add(this.#source.bytes, index, index + headerLength) + headerLength - 4;
  }

  /** UN is Implicit VR Little Endian inside (PS3.5, 6.2.2), but writers that did not know a VR have put explicit items there. */
  #unknownEncoding(start: number, stop: number, undefinedLength: boolean): Encoding {
    if (undefinedLength || stop - start < 16) return IMPLICIT_LITTLE;
    const index = this.#source.at(start + 8, 8);
    const { bytes } = this.#source;
    return vrOf(bytes[index + 4]!, bytes[index + 5]!) === undefined ? IMPLICIT_LITTLE : { explicit: true, bigEndian: false };
  }
}
