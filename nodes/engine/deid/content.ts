/**
 * Where in a structured report's content tree the element engine is: which concept names the content item at hand. Values
 * that are words, names, dates or UIDs are decided by their VR; this is for numbers, codes and dates that PS3.15,
 * Table E.3.4-1 has removed by their concept.
 */
import type { ElementView, Tag } from '../dicom/rewrite-types';

const CONTENT_SEQUENCE = 0x0040a730;
const CONCEPT_NAME_CODE_SEQUENCE = 0x0040a043;
const CODE_VALUE = 0x00080100;
const LONG_CODE_VALUE = 0x00080119;
const CODING_SCHEME_DESIGNATOR = 0x00080102;

/** Concepts whose value says something of a patient though it is neither text nor a name. */
const IDENTIFYING: ReadonlySet<string> = new Set([
  'DCM 121031', // Subject Birth Date
  'DCM 121032', // Subject Sex
  'DCM 121033', // Subject Age
  'NCIt C54627', // Experience
]);

interface OpenItem {
  lastTag: Tag;
  code: string;
  identifying: boolean;
}

export class ContentTree {
  /** By depth of nesting. */
  readonly #items: OpenItem[] = [];

  reset(): void {
    this.#items.length = 0;
  }

  /** Takes note of an element; true where it belongs directly to a content item whose concept identifies a patient. */
  visit({ tag, path }: ElementView, text: () => string): boolean {
    const depth = path.length;
    if (path[depth - 1] === CONTENT_SEQUENCE) {
      let item = this.#items[depth];
      // Elements ascend within an item, so one that does not has begun the next.
      if (item === undefined || tag <= item.lastTag) {
        item = { lastTag: tag, code: '', identifying: false };
        this.#items[depth] = item;
      }
      item.lastTag = tag;
      return item.identifying;
    }
    if (path[depth - 1] === CONCEPT_NAME_CODE_SEQUENCE && path[depth - 2] === CONTENT_SEQUENCE) {
      const item = this.#items[depth - 1];
      if (item !== undefined && (tag === CODE_VALUE || tag === LONG_CODE_VALUE)) item.code = text();
      if (item !== undefined && tag === CODING_SCHEME_DESIGNATOR) item.identifying = IDENTIFYING.has(`${text()} ${item.code}`);
    }
    return false;
  }
}
