/** Requests other than C-STORE over an association of their own: one presentation context, one request at a time. */
import { ExdicomError } from '../errors';
import { Association } from './association';
import { DATA_HEADER, CONTROL, encodeCommand, writeDataHeader } from './pdu';
import { MessageAssembler } from './message';
import type { Message } from './message';
import type { Peer } from './peer';

const CONTEXT_ID = 1;
/** Bytes: answers to a query have some hundred. */
const LONGEST_DATA_SET = 1024 * 1024;

export class Exchange implements AsyncDisposable {
  readonly #peer: Peer;
  readonly #association: Association;
  readonly #signal: AbortSignal;
  readonly #assembler = new MessageAssembler(LONGEST_DATA_SET);
  readonly #aborted = (): void => { void this.#association.abort(); };
  #take: ((message: Message) => void) | undefined;

  private constructor(peer: Peer, association: Association, signal: AbortSignal) {
    this.#peer = peer;
    this.#association = association;
    this.#signal = signal;
    signal.addEventListener('abort', this.#aborted, { once: true });
    association.onValue = (value) => {
      const message = this.#assembler.add(value);
      if (message === undefined) return;
      if (this.#take === undefined) throw new ExdicomError('PEER_PROTOCOL', { detail: 'a message that nobody asked for' });
      this.#take(message);
    };
  }

  /**
   * Connects and negotiates one context.
   * @throws {ExdicomError} as `Association.open` does; the code of `refused` where the peer does not take the context
   */
  static async open(peer: Peer, abstractSyntax: string, transferSyntax: string, signal: AbortSignal, refused: ExdicomError): Promise<Exchange> {
    const association = await Association.open(peer, [{ id: CONTEXT_ID, abstractSyntax, transferSyntax }], signal);
    if (association.accepted.get(CONTEXT_ID) !== transferSyntax) {
      await association.release();
      throw refused;
    }
    return new Exchange(peer, association, signal);
  }

  /**
   * Sends a request and hands over each response as it arrives, until `take` answers that it was the last. One with `nothing`
   * in it is as good as none.
   * @throws {ExdicomError} PEER_TIMEOUT where no further response comes within the response timeout; what ended the
   * association; what `take` threw; or the signal's reason
   */
  async request(command: Buffer, dataSet: Buffer | undefined, take: (message: Message) => 'more' | 'nothing' | 'last'): Promise<void> {
    this.#signal.throwIfAborted();
    const association = this.#association;
    let timer: NodeJS.Timeout | undefined;
    try {
      const answered = new Promise<void>((resolve, reject) => {
        const failed = (reason: unknown): void => {
          // Reasons of a signal are whatever its owner gave.
          // oxlint-disable-next-line typescript/prefer-promise-reject-errors
          reject(reason);
          void association.abort();
        };
        const timeOut = (): void => { failed(new ExdicomError('PEER_TIMEOUT', { detail: 'no response', destination: this.#peer.address })); };
        timer = setTimeout(timeOut, this.#peer.timeouts.response);
        void (async () => {
          await association.closed;
          failed(this.#signal.aborted ? this.#signal.reason : association.failure);
        })();
        this.#take = (message) => {
          try {
            const found = take(message);
            if (found === 'last') resolve();
            else if (found === 'more') timer?.refresh();
          } catch (thrown) {
            failed(thrown);
          }
        };
      });
      const message = [encodeCommand(CONTEXT_ID, command, association.maxFragment), ...encodeDataSet(dataSet ?? Buffer.alloc(0), association.maxFragment)];
      await Promise.all([association.write(Buffer.concat(message)), answered]);
    } finally {
      clearTimeout(timer);
      this.#take = undefined;
    }
  }

  /** Ends in order; resolves when the socket is closed. */
  async close(): Promise<void> {
    this.#signal.removeEventListener('abort', this.#aborted);
    await this.#association.release();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#signal.removeEventListener('abort', this.#aborted);
    await this.#association.abort();
  }
}

/** A small data set as P-DATA-TF PDUs. */
function* encodeDataSet(dataSet: Buffer, maxFragment: number): Generator<Buffer> {
  for (let from = 0; from < dataSet.length; from += maxFragment) {
    const fragment = dataSet.subarray(from, from + maxFragment);
    const header = Buffer.alloc(DATA_HEADER);
    writeDataHeader(header, 0, CONTEXT_ID, from + fragment.length === dataSet.length ? CONTROL.last : 0, fragment.length);
    yield header;
    yield fragment;
  }
}
