/**
 * The thread behind `copier.ts`: copies a range of one file into another through blocks of shared memory, so that the thread
 * that asked for it sees every byte that is written. It opens both files itself: a descriptor of another thread could be
 * somebody else's by the time it is used.
 */
import { closeSync, constants, openSync, readSync, writeSync } from 'node:fs';
import { workerData } from 'node:worker_threads';
import { BLOCK, BLOCKS, LOOKED_AT, STATE } from './copier';
import type { CopierThread, CopyFailure, CopyOrder } from './copier';
import { Leak, WordGuard } from './word-guard';

/** So many blocks ahead of the asker, this thread looks at what it copies. */
const AHEAD = BLOCKS / 2;

const guard = new WordGuard();

/** The asker has handed `state` over with nothing filled and nothing taken. */
function copyRange(order: CopyOrder, state: Int32Array, blocks: Buffer): void {
  const { from, to, start, position, length } = order;
  if (order.guard !== undefined) guard.resume(order.guard);
  let seen = start;
  const source = openSync(from, constants.O_RDONLY);
  try {
    const target = openSync(to, constants.O_WRONLY);
    try {
      let previous = blocks.subarray(0, 0);
      for (let done = 0, filled = 0; done < length; filled += 1) {
        for (let taken = Atomics.load(state, STATE.taken); filled - taken >= BLOCKS; taken = Atomics.load(state, STATE.taken)) Atomics.wait(state, STATE.taken, taken);
        const at = filled % BLOCKS * BLOCK;
        const read = readSync(source, blocks, at, Math.min(BLOCK, length - done), start + done);
        if (read === 0) throw Object.assign(new Error('the file is shorter than it was'), { offset: start + done });
        const looks = order.guard !== undefined && filled - Atomics.load(state, STATE.taken) >= AHEAD;
        if (looks) {
          if (seen < start + done) guard.passTo(start + done, previous.subarray(-WordGuard.overlap));
          guard.see(start + done, blocks, at, at + read);
          seen = start + done + read;
        }
        previous = blocks.subarray(at, at + read);
        for (let written = 0; written < read;) written += writeSync(target, blocks, at + written, read - written, position + done + written);
        state[STATE.lengths + filled % BLOCKS] = looks ? read | LOOKED_AT : read;
        done += read;
        Atomics.add(state, STATE.filled, 1);
        Atomics.notify(state, STATE.filled);
      }
    } finally {
      closeSync(target);
    }
  } finally {
    closeSync(source);
  }
}

function failureOf(thrown: unknown): CopyFailure {
  if (!(thrown instanceof Error)) return { message: String(thrown) };
  const { message } = thrown;
  if (thrown instanceof Leak) return { message, leak: true };
  if ('offset' in thrown && typeof thrown.offset === 'number') return { message, offset: thrown.offset };
  return 'code' in thrown && typeof thrown.code === 'string' ? { message, code: thrown.code } : { message };
}

function serve({ control, memory, port }: CopierThread): void {
  const state = new Int32Array(control);
  const blocks = Buffer.from(memory);
  port.on('message', (order: CopyOrder) => {
    try {
      copyRange(order, state, blocks);
    } catch (thrown) {
      port.postMessage(failureOf(thrown));
      Atomics.store(state, STATE.failed, 1);
      // Wakes the asker, who waits for a block.
      Atomics.add(state, STATE.filled, 1);
      Atomics.notify(state, STATE.filled);
    }
  });
  Atomics.store(state, STATE.ready, 1);
}

serve(workerData as CopierThread);
