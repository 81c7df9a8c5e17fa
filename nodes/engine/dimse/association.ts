/**
 * One association as its requestor (PS3.8, 7 and 9): negotiates, writes PDUs with back-pressure, hands on the commands
 * that arrive, and ends in order or at once. It owns its socket: after any failure, time-out or abort the socket is
 * destroyed and never used again.
 */
import type { Socket } from 'node:net';
import { ExdicomError } from '../errors';
import { openSocket, socketError } from './connect';
import { DCMTK_ROOT, IMPLEMENTATION } from './implementation';
import { gatherCommand } from './message';
import type { Gathering } from './message';
import {
  ABORT, CONTROL, PDU, PDV_OVERHEAD, PduReader, RELEASE_REQUEST, RELEASE_RESPONSE,
  decodeAssociateAccept, decodeAssociateReject, decodeDataValues, encodeAssociateRequest,
} from './pdu';
import type { AssociateAnswer, AssociateRejection, DataValue, Pdu, ProposedContext } from './pdu';
import type { Peer } from './peer';

/** Bytes: what we send in a PDU to a peer that names no maximum (PS3.8, D.1). */
const UNLIMITED = 1024 * 1024;
/** Milliseconds until a socket that was told to end is destroyed; a closing node has 3 s. */
const ENDING = 1_500;
/** Milliseconds: no release outlasts a closing node. */
const LONGEST_RELEASE_WHEN_STOPPING = 1_500;

export interface Command {
  readonly contextId: number;
  readonly bytes: Buffer;
}

interface Waiter<T> {
  resolve(value: T): void;
  reject(reason: unknown): void;
}

export class Association implements AsyncDisposable {
  /** The transfer syntax of each accepted presentation context, by its id. */
  readonly accepted: ReadonlyMap<number, string>;
  /** Bytes: the largest fragment that goes into one PDU; even (PS3.8, 9.3.1; PS3.7, 6.3.1). */
  readonly maxFragment: number;
  /** Whether the peer is built on DCMTK, by its Implementation Class UID. */
  readonly dcmtk: boolean;
  /** Resolves when the socket is closed, however that came. */
  readonly closed: Promise<void>;
  /** Called when a part of a P-DATA-TF has arrived and its rest has not. */
  onPartialData: (() => void) | undefined;
  /** Where set, it gets every presentation data value as it arrives, and `command` gets none; what it throws ends the association. */
  onValue: ((value: DataValue) => void) | undefined;

  readonly #link: Link;

  private constructor(link: Link, answer: AssociateAnswer) {
    this.#link = link;
    this.closed = link.closed;
    this.accepted = answer.accepted;
    const largest = Math.min(answer.maxPdu === 0 ? UNLIMITED : answer.maxPdu, UNLIMITED, link.peer.maxPdu);
    this.maxFragment = (largest - PDV_OVERHEAD) & ~1;
    this.dcmtk = answer.implementationClassUID.startsWith(DCMTK_ROOT);
    link.onPartialData = () => { this.onPartialData?.(); };
    link.divert = (value) => {
      this.onValue?.(value);
      return this.onValue !== undefined;
    };
  }

  /**
   * Connects and negotiates.
   * @throws {ExdicomError} PEER_UNREACHABLE, PEER_TIMEOUT, PEER_CLOSED, PEER_ABORTED, PEER_PROTOCOL, TLS_FAILED,
   * ASSOCIATION_REJECTED, ASSOCIATION_BUSY; or the signal's reason. The socket is closed then.
   */
  static async open(peer: Peer, contexts: readonly ProposedContext[], signal: AbortSignal): Promise<Association> {
    const link = new Link(await openSocket(peer, signal), peer);
    const aborted = (): void => {
      link.abort();
      link.fail(signal.reason);
    };
    signal.addEventListener('abort', aborted, { once: true });
    try {
      signal.throwIfAborted();
      const answer = await link.negotiate(contexts);
      const association = new Association(link, answer);
      if (association.maxFragment < 2) throw new ExdicomError('PEER_PROTOCOL', { detail: 'maximum PDU length too small', destination: peer.address });
      return association;
    } catch (thrown) {
      link.abort();
      throw thrown;
    } finally {
      signal.removeEventListener('abort', aborted);
    }
  }

  /** What ended it, where anything did. */
  get failure(): unknown {
    return this.#link.failure;
  }

  /**
   * Writes bytes that end on a PDU's end, or that the next call completes (`open`). Resolves when they have left our
   * hands, so that the buffer may be used again. Rejects with what ended the association.
   */
  write(bytes: Buffer, end: 'complete' | 'open' = 'complete'): Promise<void> {
    return this.#link.write(bytes, end);
  }

  /** The next command that the peer sends. Rejects past `response` milliseconds, or with what ended the association. */
  command(): Promise<Command> {
    return this.#link.command();
  }

  /** Whether a command has come that nobody has asked for. */
  get commandWaiting(): boolean {
    return this.#link.commandWaiting;
  }

  /** Ends in order (PS3.8, 7.2); resolves when the socket is closed, whether the peer answered or not. */
  async release(how: 'done' | 'stopping' = 'done'): Promise<void> {
    await this.#link.release(how);
  }

  /** Ends at once: A-ABORT where the peer can read one, else by closing (PS3.8, 7.3). Resolves when the socket is closed. */
  async abort(): Promise<void> {
    this.#link.abort();
    await this.closed;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.abort();
  }
}

/** The connection under an association: bytes in, bytes out, timers, and the one place where it fails. */
class Link {
  readonly peer: Peer;
  readonly closed: Promise<void>;
  onPartialData: (() => void) | undefined;
  /** Whether somebody else has taken this value. */
  divert: ((value: DataValue) => boolean) | undefined;
  /** What ended it: ours, or the reason of a signal. */
  failure: unknown;

  readonly #socket: Socket;
  readonly #reader: PduReader;
  readonly #commands: Command[] = [];
  #gathering: Gathering | undefined;
  #commandWaiter: Waiter<Command> | undefined;
  #negotiation: Waiter<AssociateAnswer> | undefined;
  #releasing: (() => void) | undefined;
  /** Whether what was written ends on a PDU's end. */
  #complete = true;
  #writing = 0;
  #ending = false;

  constructor(socket: Socket, peer: Peer) {
    this.#socket = socket;
    this.peer = peer;
    this.#reader = new PduReader(peer.maxPdu);
    this.closed = new Promise((resolve) => { socket.once('close', () => { resolve(); }); });
    // A socket counts every byte that the kernel takes as activity, even within one long write.
    socket.setTimeout(peer.timeouts.progress);
    socket.on('timeout', () => { if (this.#writing > 0) this.#timeOut('the destination stopped reading'); });
    socket.on('data', (chunk: Buffer) => { this.#received(chunk); });
    socket.on('error', (error) => { this.fail(socketError(error, peer, 'connected')); });
    socket.on('end', () => { this.#closedByPeer(); });
    socket.on('close', () => { this.#closedByPeer(); });
  }

  get commandWaiting(): boolean {
    return this.#commands.length > 0;
  }

  negotiate(contexts: readonly ProposedContext[]): Promise<AssociateAnswer> {
    const { calledAET, callingAET, maxPdu, timeouts } = this.peer;
    const answered = new Promise<AssociateAnswer>((resolve, reject) => { this.#negotiation = { resolve, reject }; });
    const request = encodeAssociateRequest({
      calledAET, callingAET, contexts, maxPdu,
      implementationClassUID: IMPLEMENTATION.classUID, implementationVersionName: IMPLEMENTATION.versionName,
    });
    void this.write(request, 'complete').catch(() => { /* told through `answered` */ });
    return this.#within(timeouts.association, 'no answer to the association request', answered);
  }

  write(bytes: Buffer, end: 'complete' | 'open'): Promise<void> {
    return new Promise((resolve, reject) => {
      if (this.failure !== undefined) {
        reject(this.failure);
        return;
      }
      this.#complete = end === 'complete';
      this.#writing += 1;
      this.#socket.write(bytes, (error) => {
        this.#writing -= 1;
        if (error === null || error === undefined) resolve();
        else reject(this.failure ?? socketError(error, this.peer, 'connected'));
      });
    });
  }

  command(): Promise<Command> {
    const ready = this.#commands.shift();
    if (ready !== undefined) return Promise.resolve(ready);
    const arrived = new Promise<Command>((resolve, reject) => {
      if (this.failure === undefined) this.#commandWaiter = { resolve, reject };
      else reject(this.failure);
    });
    return this.#within(this.peer.timeouts.response, 'no response', arrived);
  }

  async release(how: 'done' | 'stopping'): Promise<void> {
    if (this.failure !== undefined || this.#ending || !this.#complete) {
      this.abort();
      await this.closed;
      return;
    }
    const limit = how === 'done' ? this.peer.timeouts.release : Math.min(this.peer.timeouts.release, LONGEST_RELEASE_WHEN_STOPPING);
    const answered = new Promise<void>((resolve) => { this.#releasing = resolve; });
    void this.write(RELEASE_REQUEST, 'complete').catch(() => { /* the socket closes */ });
    const timer = setTimeout(() => { this.abort(); }, limit);
    await Promise.race([answered, this.closed]);
    clearTimeout(timer);
    this.#end();
    await this.closed;
  }

  abort(): void {
    if (this.#ending) return;
    // In the middle of a PDU an A-ABORT would be read as its content.
    if (this.#complete && this.failure === undefined) this.#end(ABORT);
    else this.#destroy();
    this.fail(new ExdicomError('PEER_CLOSED', { detail: 'association ended by us', destination: this.peer.address }));
  }

  /** The one way to fail: everybody who waits is told, the socket goes. The first reason counts. */
  fail(reason: unknown): void {
    if (this.failure === undefined) {
      this.failure = reason;
      this.#negotiation?.reject(reason);
      this.#commandWaiter?.reject(reason);
      this.#negotiation = undefined;
      this.#commandWaiter = undefined;
    }
    if (!this.#ending) this.#destroy();
  }

  #destroy(): void {
    this.#ending = true;
    this.#socket.destroy();
  }

  /** Closes after what is written, or a little later whatever happens. */
  #end(last?: Buffer): void {
    this.#ending = true;
    const timer = setTimeout(() => { this.#socket.destroy(); }, ENDING);
    this.#socket.once('close', () => { clearTimeout(timer); });
    const done = (): void => { this.#socket.destroy(); };
    if (last === undefined) this.#socket.end(done);
    else this.#socket.end(last, done);
  }

  #timeOut(detail: string): void {
    this.fail(new ExdicomError('PEER_TIMEOUT', { detail, destination: this.peer.address }));
  }

  async #within<T>(milliseconds: number, detail: string, promise: Promise<T>): Promise<T> {
    const timer = setTimeout(() => { this.#timeOut(detail); }, milliseconds);
    try {
      return await promise;
    } finally {
      clearTimeout(timer);
    }
  }

  #closedByPeer(): void {
    const detail = this.#negotiation === undefined ? 'connection closed' : 'before it answered the association request';
    this.fail(new ExdicomError('PEER_CLOSED', { detail, destination: this.peer.address }));
  }

  #received(chunk: Buffer): void {
    if (this.failure !== undefined) return;
    try {
      for (const pdu of this.#reader.push(chunk)) {
        this.#take(pdu);
        if (this.failure !== undefined) return;
      }
    } catch (thrown) {
      this.fail(thrown instanceof ExdicomError ? new ExdicomError(thrown.code, { ...thrown.toDetails(), destination: this.peer.address }) : thrown);
      return;
    }
    if (this.#reader.partial === PDU.data) this.onPartialData?.();
  }

  #take({ type, body }: Pdu): void {
    const destination = this.peer.address;
    if (type === PDU.abort) {
      this.fail(new ExdicomError('PEER_ABORTED', { detail: `source ${body[2] ?? '?'}, reason ${body[3] ?? '?'}`, destination }));
    } else if (this.#negotiation !== undefined) {
      this.#takeAnswer(this.#negotiation, type, body);
    } else if (type === PDU.data) {
      // While we wait for the release to be answered, no response can be due.
      if (this.#releasing !== undefined) return;
      for (const value of decodeDataValues(body)) {
        if (this.divert?.(value) !== true) this.#takeValue(value);
      }
    } else if (type === PDU.releaseRp && this.#releasing !== undefined) {
      this.#releasing();
    } else if (type === PDU.releaseRq) {
      if (this.#complete && !this.#ending) this.#socket.write(RELEASE_RESPONSE);
      // After a collision (PS3.8, 7.2.2.3) the requestor still waits for its own answer.
      if (this.#releasing === undefined) this.#released();
    } else {
      throw new ExdicomError('PEER_PROTOCOL', { detail: `unexpected PDU type ${type}`, destination });
    }
  }

  #released(): void {
    if (this.#complete) this.#end();
    this.fail(new ExdicomError('PEER_CLOSED', { detail: 'it released the association', destination: this.peer.address }));
  }

  #takeAnswer(negotiation: Waiter<AssociateAnswer>, type: number, body: Buffer): void {
    if (type === PDU.associateRj) {
      this.fail(rejectionError(decodeAssociateReject(body), this.peer));
    } else if (type === PDU.associateAc) {
      const answer = decodeAssociateAccept(body);
      this.#negotiation = undefined;
      negotiation.resolve(answer);
    } else {
      throw new ExdicomError('PEER_PROTOCOL', { detail: `PDU type ${type} instead of an association answer`, destination: this.peer.address });
    }
  }

  #takeValue(value: DataValue): void {
    if ((value.control & CONTROL.command) === 0) throw new ExdicomError('PEER_PROTOCOL', { detail: 'unexpected data set' });
    this.#gathering ??= gatherCommand(value.contextId);
    const bytes = this.#gathering.add(value);
    if (bytes === undefined) return;
    this.#gathering = undefined;
    const command = { contextId: value.contextId, bytes };
    const waiter = this.#commandWaiter;
    this.#commandWaiter = undefined;
    if (waiter !== undefined) waiter.resolve(command);
    else if (this.#commands.length < 4) this.#commands.push(command);
    else throw new ExdicomError('PEER_PROTOCOL', { detail: 'commands that nobody asked for' });
  }
}

const PERMANENT = 1;
const REJECTION_WORDS: Readonly<Record<string, string>> = {
  '1/2': 'application context name not supported',
  '1/3': 'our calling AE title is not known to it',
  '1/7': 'it does not know itself by this called AE title',
  '2/2': 'protocol version not supported',
  '3/1': 'temporary congestion',
  '3/2': 'too many associations at once',
};

/** An A-ASSOCIATE-RJ as an error. Congestion and local limits pass, even where a peer says "permanent" (PS3.8, 9.3.4). */
export function rejectionError({ result, source, reason }: AssociateRejection, peer: Peer): ExdicomError {
  const passing = result !== PERMANENT || source === 3;
  const words = REJECTION_WORDS[`${source}/${reason}`] ?? `source ${source}, reason ${reason}`;
  return new ExdicomError(passing ? 'ASSOCIATION_BUSY' : 'ASSOCIATION_REJECTED', { detail: words, destination: peer.address });
}
