/**
 * The contract between the element engine (which knows bytes) and the de-identification rules (which know the standard):
 * the engine walks a data set and asks for each element what is to be done; the rules answer; what is kept is copied
 * byte for byte.
 */

/** Group in the upper 16 bits, element in the lower: 0x00100020. Always unsigned. */
export type Tag = number;

/**
 * An element as the rules see it. Views given to `element` are reused: they and their `path` are valid during the call only
 * (what `value` and `ascii` return stays valid). Views given to `begin` are valid until the rewrite ends.
 */
export interface ElementView {
  readonly tag: Tag;
  /**
   * The Value Representation that counts: as written; from the data dictionary where the syntax is implicit, or where it is
   * written as UN and the tag is known; `UN` where nobody knows. `SQ` only where the value can be recursed into; what should
   * be a sequence but does not begin with an item is `UN`.
   */
  readonly vr: string;
  /** Bytes of the value; undefined for an undefined length. */
  readonly length: number | undefined;
  /** Tags of the sequences around it, outermost first; empty at the top level. */
  readonly path: readonly Tag[];
  /** Which item of the innermost sequence, from 0; undefined at the top level. */
  readonly item: number | undefined;
  /** The private creator that owns this element in the same data set or item; undefined for standard elements and where there is none. */
  readonly privateCreator: string | undefined;
  /** The raw value in Little Endian whatever the file's byte order. Throws for sequences and for values above 1 MiB. */
  value(): Buffer;
  /** The same as text by `latin1`. */
  latin1(): string;
  /** The value as text by `latin1`, trailing NUL and spaces removed; for ASCII VRs (UI, CS, DA, TM, DT, IS, DS, AS). */
  ascii(): string;
}

export type Action =
  | { readonly kind: 'keep' }
  | { readonly kind: 'remove' }
  | { readonly kind: 'empty' }
  /** `value` as it stands in the file, Little Endian, not padded; the engine pads by VR. The VR stays, but UN, SQ and implicit take `vr`. */
  | { readonly kind: 'replace'; readonly value: Buffer; readonly vr?: string }
  /** Sequences (view.vr SQ) only: ask for each element inside. On anything else it removes the element. A sequence not answered so is kept, removed, emptied or replaced whole. */
  | { readonly kind: 'recurse' }
  /** Sequences: one item with these elements, in ascending order of tags. */
  | { readonly kind: 'items'; readonly items: ReadonlyArray<readonly NewElement[]> };

export interface NewElement {
  readonly tag: Tag;
  readonly vr: string;
  readonly value: Buffer | ReadonlyArray<readonly NewElement[]>;
}

/** What of a file is known beside its first elements. */
export interface BeginContext {
  readonly transferSyntaxUID: string;
  readonly mediaStorageSOPClassUID: string;
  readonly mediaStorageSOPInstanceUID: string;
  /** Further elements under a tag of the head with other values than there: nobody knows by which of them another reader goes. */
  readonly repeated?: readonly ElementView[];
}

export interface Rules {
  /**
   * Called once before anything is written, with the top-level elements that the rules asked for in `wanted` (absent ones
   * are missing from the map; of several under one tag the first that has a value counts), so that UIDs, patient and risk are
   * known before the first byte. May refuse the file.
   */
  readonly wanted: readonly Tag[];
  /**
   * Whether kept numbers, pixels and other bytes are searched: the file is refused where a word of what is not kept stands in
   * them or any word in native Pixel Data where no pixel should be (DEID_LEAK), and where that has swallowed elements
   * (DEID_UNREADABLE).
   */
  readonly guardsWords?: boolean;
  /** Whether overlays in the unused bits of native Pixel Data are cleared; with such ones in others the file is refused (DEID_UNSUPPORTED). */
  readonly clearsOverlays?: boolean;
  begin(head: ReadonlyMap<Tag, ElementView>, context: BeginContext): Refusal | undefined;
  /**
   * Called for each element in order, at every depth that was recursed into; not for what `additions` replace. Group lengths
   * (gggg,0000) of 4 bytes stay only where the rules keep them and nothing around them changed. Private creators are
   * elements like others: kept only if the rules keep them.
   */
  element(view: ElementView): Action;
  /** Top-level elements to write, in ascending order; they replace what is there under the same tag. Called after `begin`. */
  additions(): readonly NewElement[];
  /** File Meta Information of the result, without group length, version, SOP Class, SOP Instance and transfer syntax, which the engine writes. */
  fileMeta(): readonly NewElement[];
}

export interface Refusal {
  readonly code: import('../errors').ErrorCode;
  readonly detail?: string;
}

export type RewriteResult =
  | {
      readonly kind: 'written';
      readonly bytes: number;
      /** SHA-256 of the whole new file. */
      readonly sha256: string;
      /** Of the new file: milliseconds since the epoch, with fractions. */
      readonly mtimeMs: number;
      /** Bytes after the last element of the original, which are not in the result. */
      readonly droppedBytes: number;
      readonly sopClassUID: string;
      readonly sopInstanceUID: string;
      readonly studyInstanceUID: string;
      readonly seriesInstanceUID: string;
      readonly modality: string;
      readonly transferSyntaxUID: string;
    }
  | { readonly kind: 'refused'; readonly refusal: Refusal }
  /** Nothing is left on disk. `offset` in the original; in the inflated data set where that is deflated. */
  | { readonly kind: 'unreadable'; readonly offset: number; readonly detail: string };
