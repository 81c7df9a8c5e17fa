/**
 * A circuit for each destination, for the whole process: after a connection failed nobody else knocks, but one C-ECHO per
 * interval asks for all. Once it is answered the oldest job that waits goes first, as a trial; when it has come through,
 * the others follow.
 */
import { ExdicomError, toExdicomError } from '../errors';
import type { ErrorCode } from '../errors';
import type { Ledger } from '../ledger/ledger-types';
import { echo } from './echo';
import type { Peer } from './peer';

/** Milliseconds between probes, where the destination's settings do not say. */
const INTERVAL = 30_000;

/** Failures after which the next one to knock would most likely fare the same. */
const CONNECTION_CODES: ReadonlySet<ErrorCode> = new Set(['PEER_UNREACHABLE', 'PEER_TIMEOUT', 'PEER_CLOSED', 'PEER_ABORTED', 'PEER_PROTOCOL', 'ASSOCIATION_BUSY']);

/** Who has jobs that wait: a ledger. */
export type Awaiting = Pick<Ledger, 'status' | 'destinationUp' | 'destinationDown' | 'destinationTrial' | 'waitingFor'>;

/** A destination and how often it may be asked. */
export type Probed = Peer & { /** Milliseconds. */ readonly probeInterval?: number };

export interface CircuitState {
  readonly code: ErrorCode;
  /** When it is asked next; milliseconds since 1970. */
  readonly nextProbe: number;
  /** Jobs that wait for it. */
  readonly waiting: number;
}

/** A node that stands for a destination. */
export interface Watcher {
  readonly peer: Probed;
  /** At every change: undefined where the circuit is closed. */
  show(state: CircuitState | undefined): void;
  /** Told to the first watcher of a destination only, when the circuit opens, after each probe in vain, and when it closes. */
  log(what: 'opened' | 'waiting' | 'closed', code: ErrorCode, waiting: number): void;
}

interface Open {
  code: ErrorCode;
  peer: Probed;
  /** Those told to keep their jobs, and how that ends. */
  readonly awaiting: Map<Awaiting, Disposable>;
  timer: NodeJS.Timeout | undefined;
  nextProbe: number;
  /** It has answered, and one job shows whether it takes anything. */
  trial: boolean;
}

interface LastEcho { readonly at: number; readonly answer: Promise<ExdicomError | undefined>; readonly abandon: AbortController }

export class Circuits {
  readonly #open = new Map<string, Open>();
  readonly #watchers = new Map<string, Set<Watcher>>();
  readonly #echoes = new Map<string, LastEcho>();
  readonly #interval: number;
  readonly #probe: (peer: Peer, signal: AbortSignal) => Promise<unknown>;

  constructor(interval = INTERVAL, probe: (peer: Peer, signal: AbortSignal) => Promise<unknown> = echo) {
    this.#interval = interval;
    this.#probe = probe;
  }

  // ---------------------------------------------------------------------------------------------- nodes

  /** What it is shown at once is how things stand. The settings of the newest watcher are those that it is probed with. */
  watch(watcher: Watcher): Disposable {
    const { peer } = watcher;
    const watchers = this.#watchers.get(peer.address) ?? new Set();
    this.#watchers.set(peer.address, watchers.add(watcher));
    const circuit = this.#open.get(peer.address);
    if (circuit !== undefined) {
      circuit.peer = peer;
      watcher.show(this.#state(circuit));
    }
    return {
      [Symbol.dispose]: () => {
        watchers.delete(watcher);
        if (watchers.size === 0) this.#forgetEcho(peer.address);
      },
    };
  }

  /** The C-ECHO at a node's start, one for all nodes of a destination. Undefined once it is answered; else why it is not. Never rejects. */
  reach(peer: Probed): Promise<ExdicomError | undefined> {
    const circuit = this.#open.get(peer.address);
    if (circuit !== undefined && !circuit.trial) return Promise.resolve(new ExdicomError(circuit.code, { destination: peer.address }));
    return this.#echo(peer);
  }

  /** Jobs of an earlier process, or of a ledger that was away, may wait for the destination: it is asked for them. */
  awaited(peer: Probed, awaiting: Awaiting): void {
    if (awaiting.waitingFor(peer.address, CONNECTION_CODES) === 0) return;
    const circuit = this.#open.get(peer.address) ?? this.#opened(peer, 'PEER_UNREACHABLE', 0);
    this.#join(circuit, awaiting);
    this.#show(circuit);
  }

  /** The number of those that wait may have changed. */
  refresh(address: string): void {
    const circuit = this.#open.get(address);
    if (circuit !== undefined) this.#show(circuit);
  }

  // ---------------------------------------------------------------------------------------------- jobs

  /** Why the destination must not be tried now; undefined where it may. `awaiting` is told when it is up again. */
  refusal(address: string, awaiting: Awaiting): ExdicomError | undefined {
    const circuit = this.#open.get(address);
    if (circuit === undefined || circuit.trial) return undefined;
    this.#join(circuit, awaiting);
    return new ExdicomError(circuit.code, {
      destination: address, retryAfter: Math.max(0, circuit.nextProbe - Date.now()), detail: 'not tried again until it answers a C-ECHO',
    });
  }

  /** Opens the circuit where the error is one of the connection, or again where it was tried. */
  failed(peer: Probed, error: ExdicomError, awaiting: Awaiting): void {
    if (!CONNECTION_CODES.has(error.code)) return;
    const known = this.#open.get(peer.address);
    if (known === undefined) {
      const circuit = this.#opened(peer, error.code, this.#intervalOf(peer));
      this.#join(circuit, awaiting);
      this.#log(circuit, 'opened');
      this.#show(circuit);
      return;
    }
    if (known.trial) {
      Object.assign(known, { trial: false, code: error.code });
      this.#schedule(known, this.#intervalOf(known.peer));
      for (const [ledger, bar] of known.awaiting) {
        // Woken beside the trial, but not under way yet.
        known.awaiting.set(ledger, ledger.destinationDown(peer.address));
        bar[Symbol.dispose]();
      }
    }
    this.#join(known, awaiting);
    this.#show(known);
  }

  /** The destination took an association: whoever waits for it is due. */
  succeeded(address: string): void {
    this.#forgetEcho(address);
    const circuit = this.#open.get(address);
    if (circuit === undefined) return;
    this.#log(circuit, 'closed');
    const ledgers = [...circuit.awaiting.keys()];
    this.forget(address);
    for (const ledger of ledgers) ledger.destinationUp(address);
  }

  /** Closes the circuit; what waits is sent when it is due. */
  forget(address: string): void {
    const circuit = this.#open.get(address);
    if (circuit === undefined) return;
    this.#open.delete(address);
    clearTimeout(circuit.timer);
    this.#forgetEcho(address);
    for (const bar of circuit.awaiting.values()) bar[Symbol.dispose]();
    for (const watcher of this.#watchers.get(address) ?? []) watcher.show(undefined);
  }

  // ---------------------------------------------------------------------------------------------- probing

  #intervalOf({ probeInterval }: Probed): number {
    return probeInterval ?? this.#interval;
  }

  #opened(peer: Probed, code: ErrorCode, wait: number): Open {
    const circuit: Open = { code, peer, awaiting: new Map(), timer: undefined, nextProbe: 0, trial: false };
    this.#open.set(peer.address, circuit);
    this.#schedule(circuit, wait);
    return circuit;
  }

  #join(circuit: Open, awaiting: Awaiting): void {
    if (!circuit.awaiting.has(awaiting)) circuit.awaiting.set(awaiting, awaiting.destinationDown(circuit.peer.address));
  }

  #schedule(circuit: Open, wait: number): void {
    clearTimeout(circuit.timer);
    circuit.nextProbe = Date.now() + wait;
    circuit.timer = setTimeout(() => { void this.#turn(circuit); }, wait);
    circuit.timer.unref();
  }

  #forgetEcho(address: string): void {
    this.#echoes.get(address)?.abandon.abort();
    this.#echoes.delete(address);
  }

  /** One that was made just now, for another node or for a job, is as good as a new one. */
  #echo(peer: Probed): Promise<ExdicomError | undefined> {
    const last = this.#echoes.get(peer.address);
    if (last !== undefined && performance.now() - last.at < this.#intervalOf(peer) / 2) return last.answer;
    const abandon = new AbortController();
    const ask = async (): Promise<ExdicomError | undefined> => {
      try {
        await this.#probe(peer, abandon.signal);
        return undefined;
      } catch (thrown) {
        return toExdicomError(thrown);
      }
    };
    const answer = ask();
    this.#echoes.set(peer.address, { at: performance.now(), answer, abandon });
    return answer;
  }

  async #turn(circuit: Open): Promise<void> {
    const { address } = circuit.peer;
    // The trial has had an interval for itself; the destination did answer.
    if (circuit.trial) { this.succeeded(address); return; }
    // Nobody stands for it any more, or nobody waits.
    const watchers = this.#watchers.get(address);
    if (watchers?.size === 0 || this.#waiting(circuit) === 0) { this.forget(address); return; }
    const failure = await this.#echo(circuit.peer);
    if (this.#open.get(address) !== circuit) return;
    // A peer that refuses to echo answers all the same.
    if (failure === undefined || !CONNECTION_CODES.has(failure.code)) { this.#try(circuit); return; }
    circuit.code = failure.code;
    this.#schedule(circuit, this.#intervalOf(circuit.peer));
    this.#log(circuit, 'waiting');
    this.#show(circuit);
  }

  #try(circuit: Open): void {
    const { address } = circuit.peer;
    circuit.trial = true;
    for (const ledger of circuit.awaiting.keys()) {
      if (!ledger.destinationTrial(address)) continue;
      this.#schedule(circuit, this.#intervalOf(circuit.peer));
      return;
    }
    this.succeeded(address);
  }

  // ---------------------------------------------------------------------------------------------- telling

  #waiting({ awaiting, peer }: Open): number {
    let waiting = 0;
    for (const ledger of awaiting.keys()) {
      // A deploy put another in its place, which says for itself what waits.
      if (ledger.status().state === 'closed') awaiting.delete(ledger);
      else waiting += ledger.waitingFor(peer.address);
    }
    return waiting;
  }

  #state(circuit: Open): CircuitState {
    return { code: circuit.code, nextProbe: circuit.nextProbe, waiting: this.#waiting(circuit) };
  }

  #show(circuit: Open): void {
    for (const watcher of this.#watchers.get(circuit.peer.address) ?? []) watcher.show(this.#state(circuit));
  }

  #log(circuit: Open, what: Parameters<Watcher['log']>[0]): void {
    for (const watcher of this.#watchers.get(circuit.peer.address) ?? []) {
      watcher.log(what, circuit.code, this.#waiting(circuit));
      return;
    }
  }
}

/** Those of this process. */
export const circuits = new Circuits();
