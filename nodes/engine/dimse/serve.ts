/**
 * One association as its acceptor, from the connection to its end (PS3.8, 7 and 9): negotiates, answers C-ECHO, and keeps
 * what C-STORE brings. Success is answered only when the sink has it. While the disk or the ledger works nothing more is
 * read, so memory stays bounded by one PDU and two batches.
 */
import type { Socket } from 'node:net';
import { ExdicomError } from '../errors';
import type { ErrorCode } from '../errors';
import type { OwnPath } from '../model';
import { answerContexts } from './accept-contexts';
import {
  AbortReason, ContextResult, Rejection, decodeAssociateRequest, encodeAssociateAccept, encodeAssociateReject, encodeProviderAbort,
} from './accept-pdu';
import type { AssociationRequest } from './accept-pdu';
import { Command, CommandSet, DataSetType, Field, RESPONSE, encodeCommandSet } from './command-set';
import { IMPLEMENTATION } from './implementation';
import { IncomingFile } from './incoming-file';
import type { WrittenFile } from './incoming-file';
import type { ListenSettings } from './listen-settings';
import { gatherCommand } from './message';
import type { Gathering } from './message';
import { ABORT, CONTROL, PDU, PDV_OVERHEAD, PduReader, RELEASE_RESPONSE, decodeDataValues, encodeCommand } from './pdu';
import type { DataValue, Pdu } from './pdu';

export interface IncomingAssociation {
  /** Unique within the process. */
  readonly id: number;
  readonly callingAET: string;
}

/** What is known of an instance when its data set begins. */
export interface IncomingInstance {
  readonly association: IncomingAssociation;
  readonly sopClassUID: string;
  readonly sopInstanceUID: string;
  readonly transferSyntaxUID: string;
}

/** Who keeps what arrives. */
export interface StorageSink {
  /** Whether there is room; otherwise the sender is told A700 and tries again. */
  gate(): Promise<boolean>;
  /** The path of a file that is not there yet. */
  begin(instance: IncomingInstance): Promise<OwnPath>;
  /**
   * Keeps a whole, durable file; success is answered when this resolves.
   * @throws {ExdicomError} STORE_MISMATCH (told as A900), DICOM_UNREADABLE or DICOM_INCOMPLETE (C000), anything else (A700).
   * The file is removed by the caller then, where it is still there.
   */
  commit(instance: IncomingInstance, file: WrittenFile): Promise<void>;
  /** The association is over, in whatever way. */
  ended(association: IncomingAssociation): void;
}

/** What became of an association, for counting. */
export interface ServeReport {
  opened(association: IncomingAssociation): void;
  /** Why somebody was not let in; in our words. */
  refused(reason: string): void;
  stored(bytes: number): void;
  /** An instance that was not kept, and the status told. */
  notStored(status: number): void;
}

const Status = {
  success: 0x0000, processingFailure: 0x0110, invalidObjectInstance: 0x0117, sopClassNotSupported: 0x0122,
  unrecognizedOperation: 0x0211, outOfResources: 0xa700, mismatch: 0xa900, cannotUnderstand: 0xc000,
} as const;

/** Bytes: what a response is cut into for a peer that names no maximum. */
const UNLIMITED = 16 * 1024;
const UID = /^[0-9.]{1,64}$/;

type Receiving =
  | { readonly kind: 'command'; readonly gathering: Gathering }
  | { readonly kind: 'store'; readonly command: CommandSet; readonly instance: IncomingInstance; readonly file: IncomingFile }
  /** A data set that nobody keeps: it has to pass before the status can be told. */
  | { readonly kind: 'discard'; readonly command: CommandSet; readonly contextId: number; readonly status: number };

export class Serving {
  /** Resolves when the connection is closed and nothing of it is left half done. Never rejects. */
  readonly done: Promise<void>;

  readonly #socket: Socket;
  readonly #settings: ListenSettings;
  readonly #sink: StorageSink;
  readonly #report: ServeReport;
  readonly #admit: () => boolean;
  readonly #reader: PduReader;
  readonly #pdus: Pdu[] = [];
  #association: IncomingAssociation | undefined;
  #contexts: ReadonlyMap<number, { readonly abstractSyntax: string; readonly transferSyntax: string }> = new Map();
  #maxFragment = UNLIMITED;
  #receiving: Receiving | undefined;
  /** Between messages a stop ends the association at once; within one it may end first. */
  #busy = false;
  #stopping = false;

  /** @param admit whether there is room for one more association */
  constructor(socket: Socket, id: number, settings: ListenSettings, sink: StorageSink, report: ServeReport, admit: () => boolean) {
    this.#socket = socket;
    this.#settings = settings;
    this.#sink = sink;
    this.#report = report;
    this.#admit = admit;
    this.#reader = new PduReader(settings.maxPdu);
    socket.setNoDelay(true);
    socket.on('error', () => { /* the reader is told */ });
    this.done = this.#serve(id);
  }

  get established(): boolean {
    return this.#association !== undefined;
  }

  /** Aborts as soon as the instance that is being kept has been answered for, or at once where there is none. */
  stop(): void {
    this.#stopping = true;
    if (!this.#busy) this.#socket.end(ABORT, () => { this.#socket.destroy(); });
  }

  /** Ends the connection now. */
  destroy(): void {
    this.#socket.destroy();
  }

  async #serve(id: number): Promise<void> {
    try {
      if (await this.#negotiate(id)) await this.#messages();
    } catch (thrown) {
      // Whatever it is, the sender has no success and sends again; what is ours to tell was told by status.
      const isProtocol = thrown instanceof ExdicomError && thrown.code === 'PEER_PROTOCOL';
      const reason = isProtocol ? AbortReason.invalidParameter : AbortReason.unspecified;
      if (isProtocol && this.#association === undefined) this.#report.refused('no association request: TLS, or no DICOM at all');
      if (!this.#socket.destroyed && this.#socket.writable) await this.#end(encodeProviderAbort(reason));
    } finally {
      this.#socket.destroy();
      if (this.#receiving?.kind === 'store') await this.#receiving.file.discard();
      if (this.#association !== undefined) this.#sink.ended(this.#association);
    }
  }

  /** Answers the association request; whether it was accepted. */
  async #negotiate(id: number): Promise<boolean> {
    const pdu = await this.#next(this.#settings.timeouts.association, 'whole');
    if (pdu === undefined) return false;
    if (pdu.type !== PDU.associateRq) throw new ExdicomError('PEER_PROTOCOL', { detail: 'no association request' });
    const request = decodeAssociateRequest(pdu.body);
    const rejection = this.#rejection(request);
    if (rejection !== undefined) {
      this.#report.refused(rejection.reason);
      await this.#end(encodeAssociateReject(rejection.answer));
      return false;
    }
    this.#association = { id, callingAET: request.callingAET };
    this.#report.opened(this.#association);
    const contexts = answerContexts(request.contexts, this.#settings.privateSopClasses);
    const abstractSyntaxes = new Map(request.contexts.map((context) => [context.id, context.abstractSyntax]));
    this.#contexts = new Map(contexts.filter(({ result }) => result === ContextResult.accepted)
      .map((context) => [context.id, { abstractSyntax: abstractSyntaxes.get(context.id) ?? '', transferSyntax: context.transferSyntax }]));
    this.#maxFragment = Math.max(2, ((request.maxPdu === 0 ? UNLIMITED : Math.min(request.maxPdu, UNLIMITED)) - PDV_OVERHEAD) & ~1);
    await this.#write(encodeAssociateAccept(request, {
      contexts, maxPdu: this.#settings.maxPdu,
      implementationClassUID: IMPLEMENTATION.classUID, implementationVersionName: IMPLEMENTATION.versionName,
    }));
    return true;
  }

  #rejection(request: AssociationRequest): { answer: readonly [number, number, number]; reason: string } | undefined {
    const { aet, checkCalledAET, callingAETs } = this.#settings;
    if (!request.supported) return { answer: Rejection.applicationContext, reason: 'not the DICOM application context' };
    if (checkCalledAET && request.calledAET !== aet) return { answer: Rejection.calledAET, reason: 'called AE title is not ours' };
    if (callingAETs.size > 0 && !callingAETs.has(request.callingAET)) return { answer: Rejection.callingAET, reason: 'calling AE title is not on the list' };
    if (!this.#admit()) return { answer: Rejection.localLimit, reason: 'too many associations' };
    return undefined;
  }

  async #messages(): Promise<void> {
    for (;;) {
      const pdu = await this.#next(this.#settings.timeouts.idle);
      if (pdu === undefined || pdu.type === PDU.abort) return;
      if (pdu.type === PDU.releaseRq) {
        await this.#end(RELEASE_RESPONSE);
        return;
      }
      if (pdu.type !== PDU.data) {
        await this.#end(encodeProviderAbort(AbortReason.unexpectedPdu));
        return;
      }
      this.#busy = true;
      for (const value of decodeDataValues(pdu.body)) await this.#take(value);
      this.#busy = this.#receiving !== undefined;
      if (this.#stopping && !this.#busy) {
        await this.#end(ABORT);
        return;
      }
    }
  }

  async #take(value: DataValue): Promise<void> {
    const isCommand = (value.control & CONTROL.command) !== 0;
    const receiving = this.#receiving ??= { kind: 'command', gathering: gatherCommand(value.contextId) };
    if (isCommand !== (receiving.kind === 'command')) throw new ExdicomError('PEER_PROTOCOL', { detail: isCommand ? 'command instead of a data set' : 'data set without a command' });
    if (receiving.kind === 'command') {
      const bytes = receiving.gathering.add(value);
      if (bytes === undefined) return;
      this.#receiving = undefined;
      await this.#begin(value.contextId, new CommandSet(bytes));
    } else if (receiving.kind === 'store') {
      await this.#keep(receiving, value);
    } else if ((value.control & CONTROL.last) !== 0) {
      this.#receiving = undefined;
      await this.#respond(receiving.contextId, receiving.command, receiving.status);
    }
  }

  /** A command is complete: does it, or prepares for its data set. */
  async #begin(contextId: number, command: CommandSet): Promise<void> {
    const context = this.#contexts.get(contextId);
    if (context === undefined) throw new ExdicomError('PEER_PROTOCOL', { detail: 'a presentation context that was not accepted' });
    const field = command.number(Field.commandField);
    if (field === Command.cancelRq && !command.hasDataSet) return;
    const answer = async (status: number): Promise<void> => {
      if (command.hasDataSet) this.#receiving = { kind: 'discard', contextId, command, status };
      else await this.#respond(contextId, command, status);
    };
    if (field === Command.echoRq) return answer(Status.success);
    if (field !== Command.storeRq) return answer(Status.unrecognizedOperation);
    const instance: IncomingInstance = {
      association: this.#association!,
      sopClassUID: command.uid(Field.affectedSopClassUID),
      sopInstanceUID: command.uid(Field.affectedSopInstanceUID),
      transferSyntaxUID: context.transferSyntax,
    };
    if (instance.sopClassUID !== context.abstractSyntax) return answer(Status.sopClassNotSupported);
    if (!UID.test(instance.sopInstanceUID)) return answer(Status.invalidObjectInstance);
    if (!command.hasDataSet) return answer(Status.cannotUnderstand);
    const file = await this.#open(instance);
    if (file === undefined) return answer(Status.outOfResources);
    this.#receiving = { kind: 'store', command, instance, file };
  }

  /** A file for an instance; undefined where there is no room, or no disk. */
  async #open(instance: IncomingInstance): Promise<IncomingFile | undefined> {
    try {
      return await this.#sink.gate() ? await IncomingFile.create(await this.#sink.begin(instance), instance) : undefined;
    } catch {
      return undefined;
    }
  }

  /** A piece of a data set; with its last one it is handed to the sink. */
  async #keep({ command, instance, file }: Extract<Receiving, { kind: 'store' }>, { contextId, control, fragment }: DataValue): Promise<void> {
    if (this.#contexts.get(contextId)?.abstractSyntax !== instance.sopClassUID) throw new ExdicomError('PEER_PROTOCOL', { detail: 'one message on two presentation contexts' });
    const last = (control & CONTROL.last) !== 0;
    let status: number = Status.success;
    let bytes = 0;
    try {
      await file.write(fragment);
      if (!last) return;
      const written = await file.finish();
      bytes = written.bytes;
      await this.#sink.commit(instance, written);
    } catch (thrown) {
      await file.discard();
      status = statusOf(thrown);
    }
    if (!last) {
      this.#receiving = { kind: 'discard', contextId, command, status };
      return;
    }
    this.#receiving = undefined;
    if (status === Status.success) this.#report.stored(bytes);
    await this.#respond(contextId, command, status);
  }

  /** The response to a request (PS3.7, 9.3): its command with the response bit, its message id, its UIDs, a status. */
  async #respond(contextId: number, command: CommandSet, status: number): Promise<void> {
    const field = command.number(Field.commandField) ?? 0;
    if (field === Command.storeRq && status !== Status.success) this.#report.notStored(status);
    const sopClass = command.uid(Field.affectedSopClassUID);
    const sopInstance = command.uid(Field.affectedSopInstanceUID);
    await this.#write(encodeCommand(contextId, encodeCommandSet([
      ...(sopClass === '' ? [] : [[Field.affectedSopClassUID, sopClass] as const]),
      [Field.commandField, field | RESPONSE],
      [Field.messageIdBeingRespondedTo, command.number(Field.messageId) ?? 0],
      [Field.dataSetType, DataSetType.none],
      [Field.status, status],
      ...(sopInstance === '' ? [] : [[Field.affectedSopInstanceUID, sopInstance] as const]),
    ]), this.#maxFragment));
  }

  /** The next PDU; undefined where the connection has ended, or nothing came for so many milliseconds, or not the `whole` of it. */
  async #next(limit: number, what: 'anything' | 'whole' = 'anything'): Promise<Pdu | undefined> {
    let timedOut = false;
    const timer = setTimeout(() => {
      timedOut = true;
      this.#socket.end(ABORT, () => { this.#socket.destroy(); });
    }, limit);
    try {
      while (this.#pdus.length === 0) {
        const chunk = await this.#read();
        if (chunk === undefined || timedOut || this.#socket.writableEnded) return undefined;
        if (what === 'anything') timer.refresh();
        this.#pdus.push(...this.#reader.push(chunk));
      }
      return this.#pdus.shift();
    } finally {
      clearTimeout(timer);
    }
  }

  /** What arrives next; undefined where nothing will. Nothing is taken from the kernel until this is called. */
  #read(): Promise<Buffer | undefined> {
    const socket = this.#socket;
    return new Promise((resolve) => {
      const settle = (): void => {
        const chunk = socket.read() as Buffer | null;
        if (chunk === null && !socket.readableEnded && !socket.destroyed) return;
        socket.off('readable', settle).off('end', settle).off('close', settle);
        resolve(chunk ?? undefined);
      };
      socket.on('readable', settle).on('end', settle).on('close', settle);
      settle();
    });
  }

  /** Resolves when the peer's kernel, or ours, has it. A peer that takes nothing is idle. */
  #write(bytes: Buffer): Promise<void> {
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => { this.#socket.destroy(); }, this.#settings.timeouts.idle);
      this.#socket.write(bytes, (error) => {
        clearTimeout(timer);
        if (error === null || error === undefined) resolve();
        else reject(error);
      });
    });
  }

  /** Writes a last PDU and closes; the peer has a second to take it. */
  #end(last: Buffer): Promise<void> {
    return new Promise((resolve) => {
      const timer = setTimeout(() => { this.#socket.destroy(); }, 1_000);
      this.#socket.once('close', () => {
        clearTimeout(timer);
        resolve();
      });
      if (this.#socket.destroyed) {
        clearTimeout(timer);
        resolve();
        return;
      }
      this.#socket.resume();
      this.#socket.end(last);
    });
  }
}

const STATUS_OF: Partial<Record<ErrorCode, number>> = {
  STORE_MISMATCH: Status.mismatch,
  DICOM_UNREADABLE: Status.cannotUnderstand,
  DICOM_INCOMPLETE: Status.cannotUnderstand,
  INTERNAL: Status.processingFailure,
};

/** What a sender is told; A7xx is the one that makes it try again. */
function statusOf(thrown: unknown): number {
  return (thrown instanceof ExdicomError ? STATUS_OF[thrown.code] : undefined) ?? Status.outOfResources;
}
