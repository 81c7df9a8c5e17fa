/**
 * A Storage SCP that misbehaves by rule, for tests. Its reading and writing of PDUs is its own, so that a mistake in the
 * engine's is seen.
 */
import { createServer as createTcpServer } from 'node:net';
import type { AddressInfo, Server, Socket } from 'node:net';
import type { Readable } from 'node:stream';
import { createServer as createTlsServer } from 'node:tls';
import type { TlsOptions } from 'node:tls';

export interface RequestedAssociation {
  /** From 0, over the life of the server. */
  readonly number: number;
  readonly calledAET: string;
  readonly callingAET: string;
  readonly contexts: ReadonlyArray<{ readonly id: number; readonly abstractSyntax: string; readonly transferSyntaxes: readonly string[] }>;
  readonly maxPdu: number;
}

export type AssociationAnswer =
  | 'accept' | 'abort' | 'silence' | 'fin' | 'rst'
  | { readonly reject: readonly [result: number, source: number, reason: number] }
  | { readonly bytes: Buffer };

export interface ReceivedMessage {
  readonly association: number;
  /** From 0 within its association. */
  readonly index: number;
  readonly contextId: number;
  readonly transferSyntax: string;
  readonly messageId: number;
  readonly sopClassUID: string;
  readonly sopInstanceUID: string;
  readonly dataSet: Buffer;
}

export type MessageAnswer =
  | number
  | 'silence' | 'fin' | 'rst' | 'abort' | 'release'
  /** `messageId`: another than the one asked with. `split`: in two parts, the second when the peer says anything, or after 300 ms. `delay`: milliseconds. */
  | { readonly status: number; readonly messageId?: number; readonly contextId?: number; readonly commandField?: number; readonly sopInstanceUID?: string; /** Pending responses before it. */ readonly pending?: number; readonly split?: boolean; readonly delay?: number; readonly drip?: number }
  | { readonly bytes: Buffer }
  | { readonly stream: Readable };

export interface FaultScpOptions {
  readonly associate?: (request: RequestedAssociation) => AssociationAnswer;
  /** The transfer syntax to accept of a context, or nothing. Default: the first. */
  readonly accept?: (abstractSyntax: string, transferSyntaxes: readonly string[]) => string | undefined;
  readonly respond?: (message: ReceivedMessage) => MessageAnswer;
  /** Called as soon as a command has arrived, before its data set; an answer given here comes early. */
  readonly respondEarly?: (message: Omit<ReceivedMessage, 'dataSet'>) => MessageAnswer | undefined;
  /** Default 16384. */
  readonly maxPdu?: number;
  readonly implementationClassUID?: string;
  /** Default: answers. `silence` never answers an A-RELEASE-RQ, `collide` asks for release itself first. */
  readonly release?: 'answer' | 'silence' | 'collide' | 'fin';
  readonly tls?: TlsOptions;
  /** Answers C-ECHO by itself, so that none counts as a message. Default: it is a message like others. */
  readonly echo?: boolean;
}

export interface FaultScp extends AsyncDisposable {
  readonly port: number;
  readonly associations: readonly RequestedAssociation[];
  readonly messages: readonly ReceivedMessage[];
  /** Messages whose response, with a status, was written to a connection that was open. */
  readonly answered: ReadonlySet<ReceivedMessage>;
  /** Ends that came from the client, per kind. */
  readonly ends: { aborts: number; releases: number; closes: number };
  /** PDU headers that came alone, before the rest of their PDU, while a response was half sent. */
  readonly nudges: number;
  /** Bytes of PDUs that connections closed in the middle of. */
  readonly cutOff: number;
  /** The largest variable field of a P-DATA-TF PDU. */
  readonly largestPdu: number;
  /** Connections that are open now. */
  open(): number;
}

const C_ECHO_RQ = 0x0030;
const C_ECHO_RSP = 0x8030;

const GARBAGE = Buffer.from('HTTP/1.1 400 Bad Request\r\n\r\n');
export { GARBAGE };

export async function startFaultScp(options: FaultScpOptions = {}): Promise<FaultScp> {
  const connections = new Set<Socket>();
  const state = { associations: [] as RequestedAssociation[], messages: [] as ReceivedMessage[], answered: new Set<ReceivedMessage>(), ends: { aborts: 0, releases: 0, closes: 0 }, nudges: 0, largestPdu: 0, cutOff: 0 };
  const take = (socket: Socket): void => {
    connections.add(socket);
    socket.on('close', () => { connections.delete(socket); });
    socket.on('error', () => { /* a fault of ours */ });
    new Connection(socket, options, state).start();
  };
  const server: Server = options.tls === undefined ? createTcpServer(take) : createTlsServer(options.tls, take);
  await new Promise<void>((resolve) => { server.listen(0, '127.0.0.1', resolve); });
  return {
    port: (server.address() as AddressInfo).port,
    associations: state.associations, messages: state.messages, answered: state.answered, ends: state.ends,
    get nudges() { return state.nudges; },
    get cutOff() { return state.cutOff; },
    get largestPdu() { return state.largestPdu; },
    open: () => connections.size,
    async [Symbol.asyncDispose]() {
      for (const socket of connections) socket.destroy();
      await new Promise((resolve) => { server.close(resolve); });
    },
  };
}

type State = { associations: RequestedAssociation[]; messages: ReceivedMessage[]; answered: Set<ReceivedMessage>; ends: FaultScp['ends']; nudges: number; largestPdu: number; cutOff: number };

class Connection {
  #bytes = Buffer.alloc(0);
  #request: RequestedAssociation | undefined;
  readonly #accepted = new Map<number, string>();
  #command: Buffer[] = [];
  #message: Omit<ReceivedMessage, 'dataSet'> | undefined;
  #dataSet: Buffer[] = [];
  #count = 0;
  #answeredEarly = false;
  #rest: (() => void) | undefined;

  constructor(private readonly socket: Socket, private readonly options: FaultScpOptions, private readonly state: State) {}

  start(): void {
    this.socket.setNoDelay(true);
    this.socket.on('data', (chunk: Buffer) => {
      this.#bytes = Buffer.concat([this.#bytes, chunk]);
      if (this.#rest !== undefined) {
        if (this.#bytes.length === 6) this.state.nudges += 1;
        this.#rest();
      }
      for (;;) {
        if (this.#bytes.length < 6) return;
        const length = this.#bytes.readUInt32BE(2);
        if (this.#bytes.length < 6 + length) return;
        const [type, body] = [this.#bytes.readUInt8(0), this.#bytes.subarray(6, 6 + length)];
        this.#bytes = this.#bytes.subarray(6 + length);
        this.#take(type, body);
      }
    });
    this.socket.on('end', () => { this.state.ends.closes += 1; });
    this.socket.on('close', () => { this.state.cutOff += this.#bytes.length; });
  }

  #take(type: number, body: Buffer): void {
    if (type === 1) this.#associate(body);
    else if (type === 4) this.#data(body);
    else if (type === 5) this.#release();
    else if (type === 6) this.socket.end();
    else if (type === 7) {
      this.state.ends.aborts += 1;
      this.socket.destroy();
    }
  }

  #associate(body: Buffer): void {
    const contexts: Array<RequestedAssociation['contexts'][number]> = [];
    let maxPdu = 0;
    for (const [type, from, to] of subItems(body, 68, body.length)) {
      if (type === 0x20) {
        let abstractSyntax = '';
        const transferSyntaxes: string[] = [];
        for (const [inner, start, end] of subItems(body, from + 4, to)) {
          if (inner === 0x30) abstractSyntax = body.toString('latin1', start, end);
          if (inner === 0x40) transferSyntaxes.push(body.toString('latin1', start, end));
        }
        contexts.push({ id: body.readUInt8(from), abstractSyntax, transferSyntaxes });
      } else if (type === 0x50) {
        for (const [inner, start] of subItems(body, from, to)) if (inner === 0x51) maxPdu = body.readUInt32BE(start);
      }
    }
    const request: RequestedAssociation = {
      number: this.state.associations.length, contexts, maxPdu,
      calledAET: body.toString('latin1', 4, 20).trim(), callingAET: body.toString('latin1', 20, 36).trim(),
    };
    this.#request = request;
    this.state.associations.push(request);
    const answer = this.options.associate?.(request) ?? 'accept';
    if (answer === 'accept') this.socket.write(this.#acceptance(body, contexts));
    else if (answer === 'abort') this.socket.end(pdu(7, Buffer.from([0, 0, 2, 0])));
    else if (answer === 'fin') this.socket.end();
    else if (answer === 'rst') this.socket.resetAndDestroy();
    else if (answer !== 'silence') this.socket.end('bytes' in answer ? answer.bytes : pdu(3, Buffer.from([0, ...answer.reject])));
  }

  #acceptance(request: Buffer, contexts: RequestedAssociation['contexts']): Buffer {
    const answers = contexts.map(({ id, abstractSyntax, transferSyntaxes }) => {
      const chosen = this.options.accept === undefined ? transferSyntaxes[0] : this.options.accept(abstractSyntax, transferSyntaxes);
      if (chosen !== undefined) this.#accepted.set(id, chosen);
      return subItem(0x21, Buffer.concat([Buffer.from([id, 0, chosen === undefined ? 3 : 0, 0]), subItem(0x40, Buffer.from(chosen ?? ''))]));
    });
    const maximum = Buffer.alloc(4);
    maximum.writeUInt32BE(this.options.maxPdu ?? 16_384);
    return pdu(2, Buffer.concat([
      Buffer.from([0, 1, 0, 0]), request.subarray(4, 68), subItem(0x10, Buffer.from('1.2.840.10008.3.1.1.1')), ...answers,
      subItem(0x50, Buffer.concat([subItem(0x51, maximum), subItem(0x52, Buffer.from(this.options.implementationClassUID ?? '1.2.3.4'))])),
    ]));
  }

  #data(body: Buffer): void {
    this.state.largestPdu = Math.max(this.state.largestPdu, body.length);
    for (let at = 0; at < body.length;) {
      const length = body.readUInt32BE(at);
      const [contextId, control, fragment] = [body.readUInt8(at + 4), body.readUInt8(at + 5), Buffer.from(body.subarray(at + 6, at + 4 + length))];
      at += 4 + length;
      if ((control & 1) !== 0) {
        this.#command.push(fragment);
        if ((control & 2) !== 0) this.#commandEnds(contextId);
      } else {
        this.#dataSet.push(fragment);
        if ((control & 2) !== 0) this.#messageEnds();
      }
    }
  }

  #commandEnds(contextId: number): void {
    const command = Buffer.concat(this.#command);
    this.#command = [];
    const values = new Map<number, Buffer>();
    for (let at = 0; at < command.length;) {
      const length = command.readUInt32LE(at + 4);
      values.set(command.readUInt16LE(at + 2), command.subarray(at + 8, at + 8 + length));
      at += 8 + length;
    }
    if (this.options.echo === true && values.get(0x0100)?.readUInt16LE() === C_ECHO_RQ) {
      const echoed = { contextId, messageId: values.get(0x0110)?.readUInt16LE() ?? -1, sopClassUID: '1.2.840.10008.1.1', sopInstanceUID: '' };
      this.socket.write(response(echoed, { status: 0, commandField: C_ECHO_RSP }));
      return;
    }
    const uid = (element: number): string => (values.get(element)?.toString('latin1') ?? '').replace(/\0$/, '');
    this.#message = {
      association: this.#request?.number ?? -1, index: this.#count, contextId, transferSyntax: this.#accepted.get(contextId) ?? '',
      messageId: values.get(0x0110)?.readUInt16LE() ?? -1, sopClassUID: uid(0x0002), sopInstanceUID: uid(0x1000),
    };
    this.#count += 1;
    const early = this.options.respondEarly?.(this.#message);
    this.#answeredEarly = early !== undefined;
    if (early !== undefined) this.#answer(this.#message, early);
  }

  #messageEnds(): void {
    if (this.#message === undefined) throw new Error('data set without a command');
    const message = { ...this.#message, dataSet: Buffer.concat(this.#dataSet) };
    this.#message = undefined;
    this.#dataSet = [];
    this.state.messages.push(message);
    if (!this.#answeredEarly) this.#answer(message, this.options.respond?.(message) ?? 0);
  }

  #answer(message: Omit<ReceivedMessage, 'dataSet'>, answer: MessageAnswer): void {
    if (answer === 'fin') this.socket.end();
    else if (answer === 'rst') this.socket.resetAndDestroy();
    else if (answer === 'abort') this.socket.end(pdu(7, Buffer.from([0, 0, 2, 0])));
    else if (answer === 'release') this.socket.write(pdu(5, Buffer.alloc(4)));
    else if (typeof answer === 'number') this.#respond(message, { status: answer });
    else if (answer !== 'silence' && 'bytes' in answer) this.socket.write(answer.bytes);
    else if (answer !== 'silence' && 'stream' in answer) answer.stream.pipe(this.socket);
    else if (answer !== 'silence') this.#respond(message, answer);
  }

  #respond(message: Omit<ReceivedMessage, 'dataSet'>, answer: Extract<MessageAnswer, { status: number }>): void {
    for (let pending = 0; pending < (answer.pending ?? 0); pending += 1) this.socket.write(response(message, { status: 0xff00 }));
    const bytes = response(message, answer);
    if (answer.split === true) {
      this.socket.write(bytes.subarray(0, 12));
      const timer = setTimeout(() => { this.#rest?.(); }, 300);
      this.#rest = () => {
        clearTimeout(timer);
        this.#rest = undefined;
        this.socket.write(bytes.subarray(12));
      };
    } else if (answer.drip !== undefined) {
      let at = 0;
      const timer = setInterval(() => {
        if (at < bytes.length && this.socket.writable) this.socket.write(bytes.subarray(at, ++at));
        else clearInterval(timer);
      }, answer.drip);
    } else {
      setTimeout(() => {
        if (this.socket.writable && 'dataSet' in message) this.state.answered.add(message as ReceivedMessage);
        this.socket.write(bytes);
      }, answer.delay ?? 0);
    }
  }

  #release(): void {
    this.state.ends.releases += 1;
    const how = this.options.release ?? 'answer';
    if (how === 'silence') return;
    if (how === 'fin') {
      this.socket.end();
      return;
    }
    if (how === 'collide') this.socket.write(pdu(5, Buffer.alloc(4)));
    this.socket.write(pdu(6, Buffer.alloc(4)));
  }
}

function pdu(type: number, body: Buffer): Buffer {
  const header = Buffer.alloc(6);
  header[0] = type;
  header.writeUInt32BE(body.length, 2);
  return Buffer.concat([header, body]);
}

function subItem(type: number, body: Buffer): Buffer {
  const header = Buffer.alloc(4);
  header[0] = type;
  header.writeUInt16BE(body.length, 2);
  return Buffer.concat([header, body]);
}

function* subItems(body: Buffer, from: number, to: number): Generator<[type: number, from: number, to: number]> {
  for (let at = from; at < to;) {
    const end = at + 4 + body.readUInt16BE(at + 2);
    yield [body.readUInt8(at), at + 4, end];
    at = end;
  }
}

/** A C-STORE-RSP, or a C-ECHO-RSP where there is no instance, as one P-DATA-TF PDU. */
function response(message: Pick<ReceivedMessage, 'contextId' | 'messageId' | 'sopClassUID' | 'sopInstanceUID'>, answer: { readonly status: number; readonly messageId?: number; readonly contextId?: number; readonly commandField?: number; readonly sopInstanceUID?: string }): Buffer {
  const element = (number: number, value: Buffer): Buffer => {
    const header = Buffer.alloc(8);
    header.writeUInt16LE(number, 2);
    header.writeUInt32LE(value.length, 4);
    return Buffer.concat([header, value]);
  };
  const us = (number: number, value: number): Buffer => element(number, Buffer.from([value & 0xff, value >> 8]));
  const ui = (number: number, value: string): Buffer => element(number, Buffer.from(value.length % 2 === 0 ? value : `${value}\0`, 'latin1'));
  const body = Buffer.concat([
    ui(0x0002, message.sopClassUID), us(0x0100, answer.commandField ?? 0x8001), us(0x0120, answer.messageId ?? message.messageId),
    us(0x0800, 0x0101), us(0x0900, answer.status), ...(message.sopInstanceUID === '' ? [] : [ui(0x1000, answer.sopInstanceUID ?? message.sopInstanceUID)]),
  ]);
  const length = Buffer.alloc(4);
  length.writeUInt32LE(body.length);
  const command = Buffer.concat([element(0, length), body]);
  const header = Buffer.alloc(6);
  header.writeUInt32BE(command.length + 2);
  header[4] = answer.contextId ?? message.contextId;
  header[5] = 3;
  return pdu(4, Buffer.concat([header, command]));
}
