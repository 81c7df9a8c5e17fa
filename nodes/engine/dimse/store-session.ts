/**
 * C-STORE over one association (PS3.7, 9.1.1): one instance after the other, each read from its file straight into PDUs.
 *
 * The nudge: DCMTK leaves Nagle's algorithm on, so it sends a response as two segments and keeps the second until we have
 * acknowledged the first, which the system delays by 40 ms or more. When only a part of a response has arrived, we write the
 * six header bytes of the PDU that comes next anyway; the acknowledgement rides on them. A part of a PDU is no message, so
 * the peer still gets one message at a time.
 */
import { readv, readvSync } from 'node:fs';
import { ExdicomError } from '../errors';
import { Association } from './association';
import { decodeStoreResponse, encodeStoreRequest } from './command';
import type { StoreResponse } from './command';
import { AcceptedContexts } from './contexts';
import type { ChosenContext, HasSyntax } from './contexts';
import { readFailure } from './part10-file';
import type { DataSetFile } from './part10-file';
import { CONTROL, DATA_HEADER, PDU_HEADER, encodeCommand, writeDataHeader } from './pdu';
import type { ProposedContext } from './pdu';
import type { PacsSettings } from './peer';
import { BATCH, BufferPool, MOST_PIECES, planBatches } from './send-buffers';
import type { BatchPlan } from './send-buffers';
import { isPending, judgeStoreStatus } from './store-status';

/** Bytes kept for the command before the first batch; longer ones are written apart. */
const COMMAND_ROOM = 4 * 1024;
const BUFFER = COMMAND_ROOM + BATCH + MOST_PIECES * DATA_HEADER;
/** Milliseconds that a stop leaves to the message under way: one that the peer has whole would be stored and sent again. */
const LAST_ANSWER = 1_000;
/** Pending responses to one message that are waited through. */
const MOST_PENDING = 100;
/** One is filled while another is written, and one holds what comes next. */
const BUFFERS = 3;

/** An instance whose command is encoded, and whose file is open or, where it fits one buffer, read already. */
export interface Outgoing extends Disposable {
  readonly contextId: number;
  readonly messageId: number;
  readonly sopInstanceUID: string;
  readonly command: Buffer;
  /** All PDUs of the message, where they fit one buffer. */
  readonly message: Buffer | undefined;
  readonly file: DataSetFile;
}

/** Our file failed in the middle of a message; the association ends, the peer is not to blame. */
export class LocalReadError extends Error {
  constructor(readonly error: ExdicomError) {
    super(error.message);
  }
}

/** Destinations that aborted after a nudge, for as long as this process lives. */
const unnudgeable = new Set<string>();

export class StoreSession {
  readonly #association: Association;
  readonly #contexts: AcceptedContexts;
  readonly #peer: PacsSettings;
  readonly #plan: BatchPlan;
  readonly #pool = new BufferPool(BUFFER, BUFFERS);
  readonly #signal: AbortSignal;
  readonly #stop: () => void;
  #messageId = 0;
  #phase: 'idle' | 'sending' | 'awaiting' = 'idle';
  #upcoming: Outgoing | undefined;
  #nudged: Outgoing | undefined;
  #ended: Promise<void> | undefined;
  #lastAnswer: NodeJS.Timeout | undefined;

  private constructor(association: Association, contexts: readonly ProposedContext[], peer: PacsSettings, signal: AbortSignal) {
    this.#association = association;
    this.#contexts = new AcceptedContexts(contexts, association.accepted);
    this.#peer = peer;
    this.#plan = planBatches(association.maxFragment);
    this.#signal = signal;
    this.#stop = () => { this.#halt(); };
    signal.addEventListener('abort', this.#stop, { once: true });
    if (peer.nudge && peer.tls === undefined && association.dcmtk) association.onPartialData = () => { this.#nudge(); };
  }

  /** @throws what `Association.open` throws */
  static async open(contexts: readonly ProposedContext[], peer: PacsSettings, signal: AbortSignal): Promise<StoreSession> {
    return new StoreSession(await Association.open(peer, contexts, signal), contexts, peer, signal);
  }

  choose(item: HasSyntax): ChosenContext | undefined {
    return this.#contexts.choose(item);
  }

  /**
   * Encodes the request for an open file, and reads a short one, while the peer is busy with the message before. Its owner
   * disposes of it, which closes the file.
   * @throws {ExdicomError} the file cannot be read; it is closed then
   */
  prepare(item: { readonly sopClassUID: string; readonly sopInstanceUID: string }, contextId: number, file: DataSetFile): Outgoing {
    this.#messageId = this.#messageId % 0xffff + 1;
    const messageId = this.#messageId;
    const { sopInstanceUID } = item;
    const command = encodeCommand(contextId, encodeStoreRequest({ messageId, ...item }), this.#association.maxFragment);
    const short = file.length <= this.#plan.data && command.length <= COMMAND_ROOM;
    const buffer = short ? this.#pool.takeFree() : undefined;
    if (buffer === undefined) return { contextId, messageId, sopInstanceUID, command, message: undefined, file, [Symbol.dispose]: () => { file[Symbol.dispose](); } };
    let held = true;
    const giveBack = (): void => {
      if (held) this.#pool.give(buffer);
      held = false;
    };
    try {
      command.copy(buffer);
      const { pieces, end } = this.#frame(buffer, command.length, contextId, file.length, true);
      checkRead(readvSync(file.fd, pieces, file.offset), file.length);
      return { contextId, messageId, sopInstanceUID, command, message: buffer.subarray(0, end), file, [Symbol.dispose]: giveBack };
    } catch (thrown) {
      giveBack();
      throw readFailure(thrown);
    } finally {
      file[Symbol.dispose]();
    }
  }

  /** What will be sent next, once it is ready; the nudge needs it. */
  announce(upcoming: Outgoing): void {
    this.#upcoming = upcoming;
  }

  /** Whether its first bytes are on the wire, so that nothing else can be sent before it. */
  committed(outgoing: Outgoing): boolean {
    return this.#nudged === outgoing;
  }

  /**
   * Sends an instance and waits for its response. Answers the status, whatever it is.
   * @throws {LocalReadError} our file failed
   * @throws {ExdicomError} the association failed or was ended; it is of no use any more
   */
  async send(outgoing: Outgoing): Promise<number> {
    const nudged = this.#nudged === outgoing;
    if (this.#nudged !== undefined && !nudged) throw new ExdicomError('INTERNAL', { detail: 'another instance was announced to the peer' });
    this.#upcoming = undefined;
    this.#phase = 'sending';
    try {
      const { command, message } = outgoing;
      const early = message === undefined ? await this.#write(outgoing, nudged ? command.subarray(PDU_HEADER) : command)
        : await this.#writeWhole(nudged ? message.subarray(PDU_HEADER) : message);
      const response = await this.#response(outgoing);
      // A refusal may come early; a success before the last byte is no success.
      if (early && judgeStoreStatus(response.status).kind === 'stored') throw this.#broken('success before the data set was complete');
      return response.status;
    } catch (thrown) {
      if (nudged && thrown instanceof ExdicomError && ['PEER_ABORTED', 'PEER_CLOSED'].includes(thrown.code) && !this.#signal.aborted) unnudgeable.add(this.#peer.address);
      throw thrown;
    } finally {
      this.#phase = 'idle';
    }
  }

  /** The response that ends the message. Pending ones, which a Storage SCP has no use for (PS3.4, B.2.3), say nothing yet. */
  async #response(outgoing: Outgoing): Promise<StoreResponse> {
    for (let pending = 0; pending <= MOST_PENDING; pending += 1) {
      const { contextId, bytes } = await this.#association.command();
      const response = decodeStoreResponse(bytes);
      if (contextId !== outgoing.contextId || response.messageId !== outgoing.messageId) throw this.#broken('response to another message');
      if (response.sopInstanceUID !== '' && response.sopInstanceUID !== outgoing.sopInstanceUID) throw this.#broken('response for another instance');
      if (!isPending(response.status)) return response;
    }
    throw this.#broken('pending without an end');
  }

  /** The peer aborts over an instance without a nudge as well: it was not the nudge. */
  acquitNudge(): void {
    unnudgeable.delete(this.#peer.address);
  }

  /** Ends in order; never throws. */
  async release(): Promise<void> {
    this.#ended ??= this.#association.release(this.#signal.aborted ? 'stopping' : 'done');
    await this.#close();
  }

  /** Ends at once; never throws. */
  async abort(): Promise<void> {
    this.#ended ??= this.#association.abort();
    await this.#close();
  }

  async #close(): Promise<void> {
    await this.#ended;
    await this.#association.closed;
    clearTimeout(this.#lastAnswer);
    this.#signal.removeEventListener('abort', this.#stop);
  }

  #halt(): void {
    if (this.#phase === 'idle') {
      this.#ended ??= this.#nudged === undefined ? this.#association.release('stopping') : this.#association.abort();
      return;
    }
    this.#lastAnswer = setTimeout(() => { this.#ended ??= this.#association.abort(); }, LAST_ANSWER);
  }

  #broken(detail: string): ExdicomError {
    return new ExdicomError('PEER_PROTOCOL', { detail, destination: this.#peer.address });
  }

  #nudge(): void {
    const upcoming = this.#upcoming;
    if (this.#phase !== 'awaiting' || upcoming === undefined || this.#nudged !== undefined || this.#signal.aborted || unnudgeable.has(this.#peer.address)) return;
    this.#upcoming = undefined;
    this.#nudged = upcoming;
    // A failure shows in the response that is awaited.
    this.#association.write(upcoming.command.subarray(0, PDU_HEADER), 'open').catch(() => undefined);
  }

  /** Writes what was read already, and before anything else is done: the peer waits for it. */
  async #writeWhole(message: Buffer): Promise<boolean> {
    this.#nudged = undefined;
    const early = this.#association.commandWaiting;
    const written = this.#association.write(message);
    this.#phase = 'awaiting';
    await written;
    return early;
  }

  /** Writes command and data set; answers whether a response came before the data set was complete. */
  async #write({ contextId, file }: Outgoing, command: Buffer): Promise<boolean> {
    const association = this.#association;
    this.#nudged = undefined;
    let room = command.length;
    let early = false;
    if (room > COMMAND_ROOM) {
      await association.write(command);
      room = 0;
    }
    for (let done = 0; done < file.length;) {
      const length = Math.min(this.#plan.data, file.length - done);
      const last = done + length === file.length;
      const free = this.#pool.take();
      const buffer = free instanceof Buffer ? free : await free;
      let end: number;
      try {
        if (room > 0) command.copy(buffer);
        const framed = this.#frame(buffer, room, contextId, length, last);
        await this.#read(file, framed.pieces, file.offset + done, length);
        end = framed.end;
      } catch (thrown) {
        this.#pool.give(buffer);
        throw thrown;
      }
      early = association.commandWaiting;
      const written = association.write(buffer.subarray(0, end)).finally(() => { this.#pool.give(buffer); });
      if (last) {
        this.#phase = 'awaiting';
        await written;
      } else {
        // The next write, or the wait for the response, meets the same failure.
        written.catch(() => undefined);
      }
      done += length;
      room = 0;
    }
    return early;
  }

  /** Lays PDU headers into the buffer; answers where the fragments between them go. */
  #frame(buffer: Buffer, from: number, contextId: number, length: number, last: boolean): { end: number; pieces: Buffer[] } {
    const pieces: Buffer[] = [];
    let at = from;
    for (let left = length; left > 0;) {
      const size = Math.min(this.#plan.fragment, left);
      left -= size;
      writeDataHeader(buffer, at, contextId, left === 0 && last ? CONTROL.last : 0, size);
      pieces.push(buffer.subarray(at + DATA_HEADER, at + DATA_HEADER + size));
      at += DATA_HEADER + size;
    }
    return { end: at, pieces };
  }

  async #read(file: DataSetFile, pieces: readonly Buffer[], position: number, length: number): Promise<void> {
    try {
      // One short read costs less than a turn through the thread pool; anything longer must not hold the event loop.
      const read = file.length <= this.#plan.data ? readvSync(file.fd, pieces, position)
        : await new Promise<number>((resolve, reject) => { readv(file.fd, pieces, position, (error, bytes) => { if (error) reject(error); else resolve(bytes); }); });
      checkRead(read, length);
    } catch (thrown) {
      throw new LocalReadError(readFailure(thrown));
    }
  }
}

function checkRead(read: number, length: number): void {
  if (read !== length) throw new ExdicomError('STORAGE_FAILED', { stage: 'deliver', detail: 'the file became shorter while it was sent' });
}
