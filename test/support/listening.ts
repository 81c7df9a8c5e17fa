/** What a `StorageListener` and a `Receiver` need in tests: a sink on a folder, a ledger in memory, a client that writes PDUs. */
import { mkdirSync, mkdtempSync, readFileSync, readdirSync, rmSync } from 'node:fs';
import { connect } from 'node:net';
import type { Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileMetaInformation } from '../../nodes/engine/dicom/part10';
import type { WrittenFile } from '../../nodes/engine/dimse/incoming-file';
import type { ReceivingLedger } from '../../nodes/engine/dimse/receive';
import type { IncomingAssociation, IncomingInstance, StorageSink } from '../../nodes/engine/dimse/serve';
import { ExdicomError } from '../../nodes/engine/errors';
import type { ErrorCode } from '../../nodes/engine/errors';
import type { JobId, OwnPath, SourceKey } from '../../nodes/engine/model';

export const CT = '1.2.840.10008.5.1.4.1.1.2';
export const IMPLICIT = '1.2.840.10008.1.2';
export const EXPLICIT = '1.2.840.10008.1.2.1';

export function temporaryFolder(): { readonly path: string } & Disposable {
  const path = mkdtempSync(join(tmpdir(), 'exdicom-listen-'));
  return { path, [Symbol.dispose]: () => { rmSync(path, { recursive: true, force: true }); } };
}

export interface FolderSink extends StorageSink {
  readonly kept: Array<IncomingInstance & WrittenFile>;
  readonly ends: IncomingAssociation[];
  open: boolean;
  /** Awaited by `commit` before it keeps anything; may throw. */
  beforeCommit: () => Promise<void>;
}

/** Keeps every file where it was written. */
export function folderSink(folder: string): FolderSink {
  let number = 0;
  const sink: FolderSink = {
    kept: [], ends: [], open: true,
    beforeCommit: () => Promise.resolve(),
    gate: () => Promise.resolve(sink.open),
    begin: () => Promise.resolve(join(folder, `${++number}.dcm`) as OwnPath),
    commit: async (instance, file) => {
      await sink.beforeCommit();
      sink.kept.push({ ...instance, ...file });
    },
    ended: (association) => { sink.ends.push(association); },
  };
  return sink;
}

/** What follows preamble and File Meta Information, by the group length of the latter. */
export function dataSetOf(path: string): Buffer {
  const bytes = readFileSync(path);
  return bytes.subarray(132 + 12 + bytes.readUInt32LE(140));
}

export interface MemoryJob {
  readonly id: JobId;
  readonly folder: OwnPath;
  readonly study: string;
  readonly files: Array<{ readonly path: string; readonly bytes: number; readonly sha256: string }>;
  state: 'receiving' | 'open' | 'cancelled';
}

export interface MemoryReceivingLedger extends ReceivingLedger {
  readonly all: MemoryJob[];
  free: Awaited<ReturnType<ReceivingLedger['room']>>;
  /** How often `completeReceived` still answers that there is no slot. */
  refusals: number;
  /** The code with which `addReceived` fails next. */
  failNext: ErrorCode | undefined;
}

/** Receiving as the ledger does it, without a disk behind it but for the folders. */
export function memoryReceivingLedger(root: string): MemoryReceivingLedger {
  const work = join(root, 'work') as OwnPath;
  mkdirSync(work, { recursive: true });
  const token = (id: JobId) => ({ id, name: `c-store-in ${id}`, ledger: 'memory', attempt: 1 });
  const jobOf = (id: JobId): MemoryJob => {
    const job = ledger.all.find((one) => one.id === id);
    if (job?.state !== 'receiving') throw new ExdicomError('JOB_UNKNOWN');
    return job;
  };
  const ledger: MemoryReceivingLedger = {
    all: [], free: 'free', refusals: 0, failNext: undefined,
    folders: { root, work, quarantine: root, done: root, failed: root, journal: root },
    room: () => Promise.resolve(ledger.free),
    receive: ({ study }) => {
      const id = `${ledger.all.length + 1}` as JobId;
      const folder = join(work, id) as OwnPath;
      mkdirSync(folder);
      ledger.all.push({ id, folder, study, files: [], state: 'receiving' });
      return Promise.resolve({ token: token(id), folder });
    },
    addReceived: async (id, item) => {
      const code = ledger.failNext;
      ledger.failNext = undefined;
      if (code !== undefined) throw new ExdicomError(code);
      jobOf(id).files.push(item);
    },
    completeReceived: async (id) => {
      const job = jobOf(id);
      if (job.files.length === 0) {
        job.state = 'cancelled';
        throw new ExdicomError('NOTHING_TO_DO');
      }
      if (ledger.refusals > 0) {
        ledger.refusals -= 1;
        return { kind: 'refused', reason: 'slots' };
      }
      job.state = 'open';
      return { kind: 'job', token: token(id), path: job.folder };
    },
    receiving: (_key: SourceKey) => Promise.resolve(ledger.all.filter(({ state }) => state === 'receiving')
      .map(({ id, folder, study }) => ({ token: token(id), folder, study, updatedAt: 0 }))),
  };
  return ledger;
}

/** A small data set in Explicit VR Little Endian. */
export function dataSet(identity: { readonly sopInstanceUID: string; readonly studyInstanceUID?: string; readonly sopClassUID?: string }, pixels = 64): Buffer {
  const element = (tag: number, vr: string, value: Buffer): Buffer => {
    const header = Buffer.alloc(vr === 'OW' ? 12 : 8);
    header.writeUInt16LE(tag >>> 16, 0);
    header.writeUInt16LE(tag & 0xffff, 2);
    header.write(vr, 4, 'latin1');
    if (vr === 'OW') header.writeUInt32LE(value.length, 8);
    else header.writeUInt16LE(value.length, 6);
    return Buffer.concat([header, value]);
  };
  const ui = (tag: number, uid: string): Buffer => element(tag, 'UI', Buffer.from(uid.length % 2 === 0 ? uid : `${uid}\0`, 'latin1'));
  const study = identity.studyInstanceUID ?? '1.2.3';
  return Buffer.concat([
    ui(0x00080016, identity.sopClassUID ?? CT), ui(0x00080018, identity.sopInstanceUID), element(0x00080060, 'CS', Buffer.from('CT')),
    ui(0x0020000d, study), ui(0x0020000e, `${study}.1`), element(0x7fe00010, 'OW', Buffer.alloc(pixels, 7)),
  ]);
}

/** The same as a Part 10 file's bytes. */
export function part10(identity: Parameters<typeof dataSet>[0], pixels?: number): Buffer {
  return Buffer.concat([
    fileMetaInformation({ sopClassUID: identity.sopClassUID ?? CT, sopInstanceUID: identity.sopInstanceUID, transferSyntaxUID: EXPLICIT }), dataSet(identity, pixels),
  ]);
}

// ------------------------------------------------------------------------------------------------ a client of PDUs

export interface Answer { readonly type: number; readonly body: Buffer }

/** Writes PDUs by hand and collects what is answered. Its own encoding, so that a mistake in the engine's is seen. */
export class RawClient implements Disposable {
  readonly socket: Socket;
  readonly answers: Answer[] = [];
  #bytes = Buffer.alloc(0);
  #closed = false;

  constructor(port: number, host = '127.0.0.1') {
    this.socket = connect({ port, host, noDelay: true });
    this.socket.on('data', (chunk: Buffer) => {
      this.#bytes = Buffer.concat([this.#bytes, chunk]);
      while (this.#bytes.length >= 6 && this.#bytes.length >= 6 + this.#bytes.readUInt32BE(2)) {
        const end = 6 + this.#bytes.readUInt32BE(2);
        this.answers.push({ type: this.#bytes.readUInt8(0), body: this.#bytes.subarray(6, end) });
        this.#bytes = this.#bytes.subarray(end);
      }
    });
    this.socket.on('error', () => { /* closed is what is looked at */ });
    this.socket.on('close', () => { this.#closed = true; });
  }

  get closed(): boolean {
    return this.#closed;
  }

  [Symbol.dispose](): void {
    this.socket.destroy();
  }

  pdu(type: number, body: Buffer): Buffer {
    const header = Buffer.alloc(6);
    header[0] = type;
    header.writeUInt32BE(body.length, 2);
    return Buffer.concat([header, body]);
  }

  send(...pdus: readonly Buffer[]): void {
    this.socket.write(Buffer.concat(pdus));
  }

  /** Waits for the next answer that was not taken yet; undefined where the connection closes first. */
  async next(): Promise<Answer | undefined> {
    await until(() => this.answers.length > 0 || this.#closed);
    return this.answers.shift();
  }

  async associate(contexts: ReadonlyArray<readonly [abstractSyntax: string, ...transferSyntaxes: string[]]>, titles: { readonly called?: string; readonly calling?: string } = {}): Promise<Answer | undefined> {
    const item = (type: number, body: Buffer): Buffer => {
      const header = Buffer.alloc(4);
      header[0] = type;
      header.writeUInt16BE(body.length, 2);
      return Buffer.concat([header, body]);
    };
    const title = (text: string): Buffer => Buffer.from(text.padEnd(16), 'latin1');
    this.send(this.pdu(1, Buffer.concat([
      Buffer.from([0, 1, 0, 0]), title(titles.called ?? 'EXDICOM'), title(titles.calling ?? 'SENDER'), Buffer.alloc(32),
      item(0x10, Buffer.from('1.2.840.10008.3.1.1.1')),
      ...contexts.map(([abstractSyntax, ...transferSyntaxes], i) => item(0x20, Buffer.concat([
        Buffer.from([2 * i + 1, 0, 0, 0]), item(0x30, Buffer.from(abstractSyntax)), ...transferSyntaxes.map((uid) => item(0x40, Buffer.from(uid))),
      ]))),
      item(0x50, item(0x51, Buffer.from([0, 0, 0x40, 0]))),
    ])));
    return this.next();
  }

  command(contextId: number, elements: ReadonlyArray<readonly [number, number | string]>): Buffer {
    const body = Buffer.concat(elements.map(([number, value]) => {
      const bytes = typeof value === 'number' ? Buffer.from([value & 0xff, value >> 8]) : Buffer.from(value.length % 2 === 0 ? value : `${value}\0`, 'latin1');
      const header = Buffer.alloc(8);
      header.writeUInt16LE(number, 2);
      header.writeUInt32LE(bytes.length, 4);
      return Buffer.concat([header, bytes]);
    }));
    return this.value(contextId, 3, body);
  }

  value(contextId: number, control: number, fragment: Buffer): Buffer {
    const header = Buffer.alloc(6);
    header.writeUInt32BE(fragment.length + 2);
    header[4] = contextId;
    header[5] = control;
    return this.pdu(4, Buffer.concat([header, fragment]));
  }

  storeRequest(sopInstanceUID: string, options: { readonly sopClassUID?: string; readonly contextId?: number; readonly messageId?: number } = {}): Buffer {
    return this.command(options.contextId ?? 1, [
      [0x0002, options.sopClassUID ?? CT], [0x0100, 1], [0x0110, options.messageId ?? 1], [0x0700, 0], [0x0800, 0x0102], [0x1000, sopInstanceUID],
    ]);
  }

  /** The status of the next answer, which must be a response. */
  async status(): Promise<number | undefined> {
    const answer = await this.next();
    if (answer?.type !== 4) return undefined;
    for (let at = 6; at + 8 <= answer.body.length;) {
      if (answer.body.readUInt16LE(at + 2) === 0x0900) return answer.body.readUInt16LE(at + 8);
      at += 8 + answer.body.readUInt32LE(at + 4);
    }
    return undefined;
  }
}

/** Waits until something is so. A test that waits for ever is ended by its runner. */
export async function until(condition: () => boolean | Promise<boolean>): Promise<void> {
  while (!(await condition())) await new Promise((resolve) => { setTimeout(resolve, 5); });
}

/** Names in a folder, none where it is gone. */
export function namesIn(folder: string): string[] {
  try {
    return readdirSync(folder);
  } catch {
    return [];
  }
}
