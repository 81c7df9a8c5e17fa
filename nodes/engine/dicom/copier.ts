/**
 * Copies long ranges of files on a second thread while the thread that asks takes their digest: for half a gigabyte each of
 * the two costs as much as the other. What is to be looked into is looked into by the one that is ahead. Blocks pass through
 * shared memory, so what is hashed is what is written, and neither thread waits for the other while there are blocks on hand.
 */
import { join } from 'node:path';
import { MessageChannel, receiveMessageOnPort, Worker } from 'node:worker_threads';
import type { MessagePort } from 'node:worker_threads';
import { Unreadable } from './source';
import { Leak } from './word-guard';
import type { GuardState } from './word-guard';

/** Bytes that stay in the processor's cache between the one thread and the other. */
export const BLOCK = 256 << 10;
export const BLOCKS = 16;
/** Places in the shared state; blocks filled and taken are counted from the beginning of an order. */
export const STATE = { filled: 0, taken: 1, failed: 2, ready: 3, lengths: 4 } as const;
/** Beside the length of a block: its copier has looked at it. */
export const LOOKED_AT = 1 << 30;

export interface CopierThread {
  readonly control: SharedArrayBuffer;
  readonly memory: SharedArrayBuffer;
  readonly port: MessagePort;
}

/** Bytes from `start` of the file `from` go to `position` of the existing file `to`. */
export interface CopyOrder {
  readonly from: string;
  readonly to: string;
  readonly start: number;
  readonly position: number;
  readonly length: number;
  /** Looks at blocks when there is time; at the others the asker has to look. */
  readonly guard?: GuardState;
}

export interface CopyFailure {
  readonly message: string;
  /** Of the system. */
  readonly code?: string;
  /** Where `from` turned out to end. */
  readonly offset?: number;
  /** The guard has met a word. */
  readonly leak?: boolean;
}

export class Copier {
  static #current: Copier | undefined;

  readonly #control = new SharedArrayBuffer((STATE.lengths + BLOCKS) * Int32Array.BYTES_PER_ELEMENT);
  readonly #memory = new SharedArrayBuffer(BLOCKS * BLOCK);
  readonly #state = new Int32Array(this.#control);
  readonly #port: MessagePort;
  readonly #worker: Worker;

  /** The copier of this thread; it ends with it. Starting takes some 30 ms, in which it is not `ready`. */
  static start(): Copier {
    this.#current ??= new Copier();
    return this.#current;
  }

  private constructor() {
    const { port1, port2 } = new MessageChannel();
    const thread: CopierThread = { control: this.#control, memory: this.#memory, port: port2 };
    this.#port = port1;
    this.#worker = new Worker(join(__dirname, 'copy-thread.js'), { workerData: thread, transferList: [port2], name: 'exdicom-copier' });
    this.#worker.unref();
    // A copier that is not ready is not asked, and one that ends is replaced.
    this.#worker.on('error', () => { this.#forget(); });
    this.#worker.on('exit', () => { this.#forget(); });
  }

  get ready(): boolean {
    return Atomics.load(this.#state, STATE.ready) === 1;
  }

  /**
   * Copies a range and shows every block of it, in order, valid during the call. Holds the calling thread until it is done.
   * @param see is told of each block whether the order's guard has looked at it
   * @throws {Unreadable} where `from` is shorter; {Leak}; system errors; what `see` throws
   */
  copy(order: CopyOrder, see: (block: Buffer, lookedAt: boolean) => void): void {
    const state = this.#state;
    for (const place of [STATE.filled, STATE.taken, STATE.failed]) Atomics.store(state, place, 0);
    const blocks = Buffer.from(this.#memory);
    // oxlint-disable-next-line unicorn/require-post-message-target-origin -- a thread's, not a window's
    this.#port.postMessage(order);
    try {
      for (let done = 0, taken = 0; done < order.length; taken += 1) {
        while (Atomics.load(state, STATE.filled) === taken) Atomics.wait(state, STATE.filled, taken);
        if (Atomics.load(state, STATE.failed) === 1) throw this.#failure();
        const at = taken % BLOCKS * BLOCK;
        const told = state[STATE.lengths + taken % BLOCKS]!;
        const length = told & ~LOOKED_AT;
        see(blocks.subarray(at, at + length), told !== length);
        done += length;
        Atomics.store(state, STATE.taken, taken + 1);
        Atomics.notify(state, STATE.taken);
      }
    } catch (thrown) {
      // It may be in the middle of the order.
      this.#forget();
      void this.#worker.terminate();
      throw thrown;
    }
  }

  #forget(): void {
    Atomics.store(this.#state, STATE.ready, 0);
    if (Copier.#current === this) Copier.#current = undefined;
  }

  #failure(): Error {
    const { message: failure } = receiveMessageOnPort(this.#port) as { readonly message: CopyFailure };
    if (failure.leak === true) return new Leak();
    if (failure.offset !== undefined) return new Unreadable(failure.offset, failure.message);
    return Object.assign(new Error(failure.message), failure.code === undefined ? {} : { code: failure.code });
  }
}
