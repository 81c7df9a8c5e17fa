/** DIMSE messages out of presentation data values (PS3.7, 6.3; PS3.8, E): a command set, and its data set where one follows. */
import { ExdicomError } from '../errors';
import { CommandSet } from './command-set';
import { CONTROL } from './pdu';
import type { DataValue } from './pdu';

export interface Message {
  readonly contextId: number;
  readonly command: CommandSet;
  readonly dataSet?: Buffer;
}

/** Bytes and fragments: real command sets have some hundred bytes in one fragment. */
const LONGEST_COMMAND = 64 * 1024;
const MOST_FRAGMENTS = 1_000;

/** Bytes that arrive in pieces, up to a limit. */
export class Gathering {
  readonly contextId: number;
  readonly #limit: number;
  readonly #parts: Buffer[] = [];
  #bytes = 0;

  constructor(contextId: number, limit: number) {
    this.contextId = contextId;
    this.#limit = limit;
  }

  /**
   * The whole, with its last piece; undefined before.
   * @throws {ExdicomError} PEER_PROTOCOL
   */
  add({ contextId, control, fragment }: DataValue): Buffer | undefined {
    if (contextId !== this.contextId) throw new ExdicomError('PEER_PROTOCOL', { detail: 'one message on two presentation contexts' });
    this.#bytes += fragment.length;
    if (this.#bytes > this.#limit || this.#parts.length > MOST_FRAGMENTS) throw new ExdicomError('PEER_PROTOCOL', { detail: 'message longer than allowed' });
    this.#parts.push(Buffer.from(fragment));
    return (control & CONTROL.last) === 0 ? undefined : Buffer.concat(this.#parts);
  }
}

/** Gathers a command set. */
export const gatherCommand = (contextId: number): Gathering => new Gathering(contextId, LONGEST_COMMAND);

/** Puts whole messages together; their data sets are held, so it is for small ones. */
export class MessageAssembler {
  readonly #longestDataSet: number;
  #command: Gathering | undefined;
  #waiting: { readonly contextId: number; readonly command: CommandSet; readonly dataSet: Gathering } | undefined;

  /** @param longestDataSet bytes */
  constructor(longestDataSet: number) {
    this.#longestDataSet = longestDataSet;
  }

  /**
   * A message, where this value completes one.
   * @throws {ExdicomError} PEER_PROTOCOL
   */
  add(value: DataValue): Message | undefined {
    const isCommand = (value.control & CONTROL.command) !== 0;
    if (isCommand !== (this.#waiting === undefined)) throw new ExdicomError('PEER_PROTOCOL', { detail: isCommand ? 'command instead of a data set' : 'data set without a command' });
    if (this.#waiting !== undefined) {
      const { contextId, command, dataSet } = this.#waiting;
      const bytes = dataSet.add(value);
      if (bytes === undefined) return undefined;
      this.#waiting = undefined;
      return { contextId, command, dataSet: bytes };
    }
    this.#command ??= gatherCommand(value.contextId);
    const { contextId } = this.#command;
    const bytes = this.#command.add(value);
    if (bytes === undefined) return undefined;
    this.#command = undefined;
    const command = new CommandSet(bytes);
    if (!command.hasDataSet) return { contextId, command };
    this.#waiting = { contextId, command, dataSet: new Gathering(contextId, this.#longestDataSet) };
    return undefined;
  }
}
