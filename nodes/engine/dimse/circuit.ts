/**
 * A circuit for each destination, for the whole process: after a connection failed nobody else knocks for an interval, but
 * one prober. When the destination answers it, the jobs that wait for it are due.
 */
import { ExdicomError } from '../errors';
import type { ErrorCode } from '../errors';
import type { Ledger } from '../ledger/ledger-types';
import { echo } from './echo';
import type { Peer } from './peer';

/** Milliseconds between probes. */
const INTERVAL = 30_000;
/** Probing ends when no job has asked for the destination for so long; the ledger's own policy goes on. */
const FORGOTTEN = 6 * 60 * 60_000;

/** Failures after which the next one to knock would most likely fare the same. */
const CONNECTION_CODES: ReadonlySet<ErrorCode> = new Set(['PEER_UNREACHABLE', 'PEER_TIMEOUT', 'PEER_CLOSED', 'PEER_ABORTED', 'PEER_PROTOCOL', 'ASSOCIATION_BUSY']);

export type Awaiting = Pick<Ledger, 'destinationUp'>;

interface Open {
  readonly code: ErrorCode;
  readonly peer: Peer;
  readonly awaiting: Set<Awaiting>;
  readonly abandon: AbortController;
  timer: NodeJS.Timeout;
  nextProbe: number;
  asked: number;
}

export class Circuits {
  readonly #open = new Map<string, Open>();
  readonly #interval: number;
  readonly #probe: (peer: Peer, signal: AbortSignal) => Promise<unknown>;

  constructor(interval = INTERVAL, probe: (peer: Peer, signal: AbortSignal) => Promise<unknown> = echo) {
    this.#interval = interval;
    this.#probe = probe;
  }

  /** Why the destination must not be tried now; undefined where it may. `awaiting` is told when it is up again. */
  refusal(address: string, awaiting: Awaiting): ExdicomError | undefined {
    const circuit = this.#open.get(address);
    if (circuit === undefined) return undefined;
    circuit.awaiting.add(awaiting);
    circuit.asked = Date.now();
    return new ExdicomError(circuit.code, {
      destination: address, retryAfter: Math.max(0, circuit.nextProbe - Date.now()), detail: 'not tried again until it answers a C-ECHO',
    });
  }

  /** Opens the circuit where the error is one of the connection; the first one counts. */
  failed(peer: Peer, error: ExdicomError, awaiting: Awaiting): void {
    if (!CONNECTION_CODES.has(error.code)) return;
    const known = this.#open.get(peer.address);
    if (known !== undefined) {
      known.awaiting.add(awaiting);
      return;
    }
    const circuit: Open = {
      code: error.code, peer, awaiting: new Set([awaiting]), abandon: new AbortController(),
      timer: setTimeout(() => { void this.#try(circuit); }, this.#interval), nextProbe: Date.now() + this.#interval, asked: Date.now(),
    };
    circuit.timer.unref();
    this.#open.set(peer.address, circuit);
  }

  /** The destination took an association: whoever waits for it is due. */
  succeeded(address: string): void {
    const circuit = this.forget(address);
    for (const awaiting of circuit?.awaiting ?? []) awaiting.destinationUp(address);
  }

  /** Closes the circuit without telling anybody. */
  forget(address: string): { readonly awaiting: ReadonlySet<Awaiting> } | undefined {
    const circuit = this.#open.get(address);
    if (circuit === undefined) return undefined;
    this.#open.delete(address);
    clearTimeout(circuit.timer);
    circuit.abandon.abort();
    return circuit;
  }

  async #try(circuit: Open): Promise<void> {
    const { peer } = circuit;
    try {
      await this.#probe(peer, circuit.abandon.signal);
    } catch (thrown) {
      if (this.#open.get(peer.address) !== circuit) return;
      // A peer that refuses to echo answers all the same.
      if (thrown instanceof ExdicomError && CONNECTION_CODES.has(thrown.code)) {
        if (Date.now() - circuit.asked > FORGOTTEN) {
          this.forget(peer.address);
          return;
        }
        circuit.nextProbe = Date.now() + this.#interval;
        circuit.timer = setTimeout(() => { void this.#try(circuit); }, this.#interval);
        circuit.timer.unref();
        return;
      }
    }
    if (this.#open.get(peer.address) === circuit) this.succeeded(peer.address);
  }
}

/** Those of this process. */
export const circuits = new Circuits();
