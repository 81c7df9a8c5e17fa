/** C-FIND in the Study Root information model (PS3.4, C.6.2): asks with a few keys, answers with their values, within limits. */
import { IMPLICIT_VR_LITTLE_ENDIAN } from '../dicom/transfer-syntaxes';
import { ExdicomError } from '../errors';
import { Command, DataSetType, Field, encodeCommandSet } from './command-set';
import { Exchange } from './exchange';
import type { Peer } from './peer';
import { isPending, statusText } from './store-status';

const STUDY_ROOT_FIND = '1.2.840.10008.5.1.4.1.2.2.1';

/** Keys that we ask with, as group and element in one number. */
export const Tag = {
  SOPInstanceUID: 0x0008_0018,
  QueryRetrieveLevel: 0x0008_0052,
  StudyInstanceUID: 0x0020_000d,
  SeriesInstanceUID: 0x0020_000e,
  NumberOfStudyRelatedInstances: 0x0020_1208,
} as const;

const UID_TAGS: ReadonlySet<number> = new Set([Tag.SOPInstanceUID, Tag.StudyInstanceUID, Tag.SeriesInstanceUID]);

/** A peer that ignores our keys and lists its whole archive is cut off here. */
export const MOST_ANSWERS = 100_000;

export type Key = readonly [tag: number, value: string];

export interface Answers {
  /** Values of the keys asked with, one map per match. */
  readonly matches: ReadonlyArray<ReadonlyMap<number, string>>;
  /** The status with which the peer refused or gave up, `0xC000`; absent where it answered to the end. */
  readonly failure?: string;
}

export interface Finder extends AsyncDisposable {
  /**
   * One query.
   * @throws {ExdicomError} QUERY_FAILED beyond MOST_ANSWERS and where the peer aborts over the query; what else ended the
   * association; or the signal's reason
   */
  find(keys: readonly Key[]): Promise<Answers>;
  /** Releases the association. */
  close(): Promise<void>;
}

/**
 * An association for queries.
 * @throws {ExdicomError} QUERY_FAILED where the peer takes no C-FIND; as `Association.open` does; or the signal's reason
 */
export async function openFinder(peer: Peer, signal: AbortSignal): Promise<Finder> {
  const exchange = await Exchange.open(peer, STUDY_ROOT_FIND, IMPLICIT_VR_LITTLE_ENDIAN, signal,
    new ExdicomError('QUERY_FAILED', { detail: 'it does not take C-FIND', destination: peer.address }));
  let messageId = 0;
  return {
    async find(keys) {
      messageId = (messageId % 0xffff) + 1;
      const command = encodeCommandSet([
        [Field.affectedSopClassUID, STUDY_ROOT_FIND], [Field.commandField, Command.findRq], [Field.messageId, messageId],
        [Field.priority, 0], [Field.dataSetType, DataSetType.present],
      ]);
      const asked = new Set(keys.map(([tag]) => tag));
      const matches: Array<ReadonlyMap<number, string>> = [];
      const seen = new Set<string>();
      let failure: string | undefined;
      await exchange.request(command, encodeIdentifier(keys), (response) => {
        const status = response.command.number(Field.status);
        if (response.command.number(Field.commandField) !== Command.findRsp || status === undefined || response.command.number(Field.messageIdBeingRespondedTo) !== messageId) {
          throw new ExdicomError('PEER_PROTOCOL', { detail: 'not a response to our query', destination: peer.address });
        }
        // A match follows, with or without all optional keys supported.
        if (isPending(status)) {
          if (matches.length === MOST_ANSWERS) throw new ExdicomError('QUERY_FAILED', { detail: `more than ${MOST_ANSWERS} answers`, destination: peer.address });
          const match = response.dataSet === undefined ? undefined : decodeIdentifier(response.dataSet, asked);
          const name = JSON.stringify([...match ?? []]);
          // A peer that says the same for ever would keep all jobs of its destination waiting.
          const fresh = match !== undefined && !seen.has(name);
          seen.add(name);
          if (match !== undefined) matches.push(match);
          return fresh ? 'more' : 'nothing';
        }
        if (status !== 0) failure = statusText(status);
        return 'last';
      }).catch((thrown: unknown) => {
        // It took the association and aborts over the question: so Orthanc refuses those who may not query.
        if (thrown instanceof ExdicomError && thrown.code === 'PEER_ABORTED') throw new ExdicomError('QUERY_FAILED', { detail: 'it aborts over the query', destination: peer.address, origin: thrown });
        throw thrown;
      });
      return failure === undefined ? { matches } : { matches, failure };
    },
    close: () => exchange.close(),
    [Symbol.asyncDispose]: () => exchange[Symbol.asyncDispose](),
  };
}

/** An identifier in Implicit VR Little Endian, elements in ascending order. */
export function encodeIdentifier(keys: readonly Key[]): Buffer {
  return Buffer.concat([...keys].sort(([a], [b]) => a - b).map(([tag, value]) => {
    const padded = value.length % 2 === 0 ? value : value + (UID_TAGS.has(tag) ? '\0' : ' ');
    const element = Buffer.alloc(8 + padded.length);
    element.writeUInt16LE(tag >>> 16, 0);
    element.writeUInt16LE(tag & 0xffff, 2);
    element.writeUInt32LE(padded.length, 4);
    element.write(padded, 8, 'latin1');
    return element;
  }));
}

const UNDEFINED_LENGTH = 0xffff_ffff;
const ITEM_GROUP = 0xfffe;
const ITEM = 0xfffe_e000;
const SEQUENCE_END = 0xfffe_e0dd;
const DEEPEST = 16;

/**
 * The values asked for, of an identifier in Implicit VR Little Endian; sequences are stepped over.
 * @throws {ExdicomError} PEER_PROTOCOL where lengths do not fit
 */
export function decodeIdentifier(bytes: Buffer, asked: ReadonlySet<number>): ReadonlyMap<number, string> {
  const values = new Map<number, string>();
  for (let at = 0; at < bytes.length;) {
    const { tag, from, length } = header(bytes, at);
    if (length === UNDEFINED_LENGTH) {
      at = afterSequence(bytes, from, 0);
      continue;
    }
    if (asked.has(tag)) values.set(tag, bytes.toString('latin1', from, from + length).replace(/[\0 ]+$/, '').trimStart());
    at = from + length;
  }
  return values;
}

const broken = (): ExdicomError => new ExdicomError('PEER_PROTOCOL', { detail: 'an answer to a query that cannot be read' });

function header(bytes: Buffer, at: number): { tag: number; from: number; length: number } {
  if (bytes.length - at < 8) throw broken();
  const length = bytes.readUInt32LE(at + 4);
  if (length !== UNDEFINED_LENGTH && length > bytes.length - at - 8) throw broken();
  return { tag: bytes.readUInt16LE(at) * 0x1_0000 + bytes.readUInt16LE(at + 2), from: at + 8, length };
}

/** The offset behind a sequence of undefined length whose first item begins at `at` (PS3.5, 7.5). */
function afterSequence(bytes: Buffer, at: number, depth: number): number {
  if (depth > DEEPEST) throw broken();
  for (;;) {
    const { tag, from, length } = header(bytes, at);
    if (tag === SEQUENCE_END) return from;
    if (tag !== ITEM) throw broken();
    at = length === UNDEFINED_LENGTH ? afterItem(bytes, from, depth) : from + length;
  }
}

function afterItem(bytes: Buffer, at: number, depth: number): number {
  for (;;) {
    const { tag, from, length } = header(bytes, at);
    if (Math.floor(tag / 0x1_0000) === ITEM_GROUP) return from;
    at = length === UNDEFINED_LENGTH ? afterSequence(bytes, from, depth + 1) : from + length;
  }
}
