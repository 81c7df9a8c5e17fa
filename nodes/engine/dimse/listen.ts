/** Our Storage and Verification SCP: the port, who is let in, and how it stops. What arrives goes to a `StorageSink`. */
import { createServer } from 'node:net';
import type { AddressInfo, Server, Socket } from 'node:net';
import { createServer as createTlsServer } from 'node:tls';
import { ExdicomError } from '../errors';
import type { ListenSettings } from './listen-settings';
import { Serving } from './serve';
import type { IncomingAssociation, StorageSink } from './serve';

export type { IncomingAssociation, IncomingInstance, StorageSink } from './serve';

/** Connections above the associations: they are told that there is no room. */
const SPARE_CONNECTIONS = 16;
/** Milliseconds that an instance which is being kept may take to be answered for when the listener stops. */
const STOP_GRACE = 2_000;

const LISTEN_WORDS: Readonly<Record<string, string>> = {
  EADDRINUSE: 'the port is taken',
  EACCES: 'no permission for this port',
  EADDRNOTAVAIL: 'this machine does not have the address',
  ENOTFOUND: 'host name unknown',
};

export interface ListenerStatus {
  readonly associations: number;
  /** Since the start. */
  readonly stored: number;
  readonly bytes: number;
  readonly notStored: number;
  readonly refused: number;
  /** Why somebody was last not let in, in our words. */
  readonly lastRefusal?: string;
}

export class StorageListener implements AsyncDisposable {
  /** Called after every change of the status; not to throw. */
  onStatus: ((status: ListenerStatus) => void) | undefined;

  readonly #settings: ListenSettings;
  readonly #sink: StorageSink;
  readonly #servings = new Set<Serving>();
  /** Connections as they were taken, those in a TLS handshake among them. */
  readonly #sockets = new Set<Socket>();
  #server: Server | undefined;
  #nextId = 1;
  #status: ListenerStatus = { associations: 0, stored: 0, bytes: 0, notStored: 0, refused: 0 };

  constructor(settings: ListenSettings, sink: StorageSink) {
    this.#settings = settings;
    this.#sink = sink;
  }

  get status(): ListenerStatus {
    return this.#status;
  }

  /**
   * Listens; resolves with the port.
   * @throws {ExdicomError} LISTEN_FAILED, TLS_FAILED
   */
  async start(): Promise<number> {
    const { host, port, associations } = this.#settings;
    const serve = this.#openTls() ?? ((socket: Socket): void => { this.#accept(socket); });
    const server = createServer((socket) => {
      if (this.#admits(socket)) serve(socket);
    });
    // Those being told that there is no room come on top.
    server.maxConnections = associations + SPARE_CONNECTIONS;
    await new Promise<void>((resolve, reject) => {
      server.once('error', (error: NodeJS.ErrnoException) => {
        reject(new ExdicomError('LISTEN_FAILED', { detail: LISTEN_WORDS[error.code ?? ''] ?? 'listening failed', origin: error }));
      });
      server.listen({ host, port }, resolve);
    });
    // Errors of single accepts (no descriptors left) end nothing.
    server.on('error', () => { this.#refused('the system let no connection in'); });
    this.#server = server;
    return (server.address() as AddressInfo).port;
  }

  /**
   * Takes no more; instances that are being kept are answered for, other associations are aborted. Resolves within 3 s,
   * with nothing left half done.
   */
  async stop(): Promise<void> {
    const server = this.#server;
    this.#server = undefined;
    const closed = new Promise<void>((resolve) => {
      if (server === undefined) resolve();
      else server.close(() => { resolve(); });
    });
    for (const serving of this.#servings) serving.stop();
    const timer = setTimeout(() => { for (const serving of this.#servings) serving.destroy(); }, STOP_GRACE);
    await Promise.all([...this.#servings].map(({ done }) => done));
    clearTimeout(timer);
    // Those that never came to an association, as in a handshake that its other side does not go on with.
    for (const socket of this.#sockets) socket.destroy();
    await closed;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop();
  }

  /** What a connection goes through before it is served; undefined without TLS. @throws {ExdicomError} TLS_FAILED */
  #openTls(): ((socket: Socket) => void) | undefined {
    const { tls, timeouts } = this.#settings;
    if (tls === undefined) return undefined;
    try {
      const server = createTlsServer({ handshakeTimeout: timeouts.association, ...tls }, (socket) => { this.#accept(socket); });
      server.on('tlsClientError', (_error, socket: Socket) => {
        socket.destroy();
        this.#refused('the TLS handshake failed');
      });
      return (socket) => { server.emit('connection', socket); };
    } catch (thrown) {
      throw new ExdicomError('TLS_FAILED', { stage: 'receive', detail: 'our certificate, key or authority cannot be read', origin: thrown });
    }
  }

  /** Looks at the address first: who is not on the list gets no handshake, and holds no place by one. */
  #admits(socket: Socket): boolean {
    if (!this.#settings.isAllowed(socket.remoteAddress ?? '')) {
      socket.on('error', () => { /* it goes anyway */ });
      socket.destroy();
      this.#refused('address is not on the list');
      return false;
    }
    this.#sockets.add(socket);
    socket.once('close', () => { this.#sockets.delete(socket); });
    return true;
  }

  #accept(socket: Socket): void {
    const serving = new Serving(socket, this.#nextId++, this.#settings, this.#sink, {
      opened: (_association: IncomingAssociation) => { this.#update({ associations: this.#established() }); },
      refused: (reason) => { this.#refused(reason); },
      stored: (bytes) => { this.#update({ stored: this.#status.stored + 1, bytes: this.#status.bytes + bytes }); },
      notStored: () => { this.#update({ notStored: this.#status.notStored + 1 }); },
    }, () => this.#established() < this.#settings.associations);
    this.#servings.add(serving);
    void (async () => {
      await serving.done;
      this.#servings.delete(serving);
      this.#update({ associations: this.#established() });
    })();
  }

  #established(): number {
    let count = 0;
    for (const serving of this.#servings) if (serving.established) count += 1;
    return count;
  }

  #refused(reason: string): void {
    this.#update({ refused: this.#status.refused + 1, lastRefusal: reason });
  }

  #update(change: Partial<ListenerStatus>): void {
    this.#status = { ...this.#status, ...change };
    this.onStatus?.(this.#status);
  }
}
