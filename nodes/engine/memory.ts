/** Memory of buffers that is given back, or kept for the next, by who is done with it and not by the garbage collector. */

/** No pool out of which Node.js or anybody cuts small buffers is larger. */
const LARGEST_POOL = 128 << 10;

/**
 * Gives the memory of a buffer back at once. Otherwise that of a hundred files waits for the garbage to be collected, which
 * counts only what lies in the heap as urgent. `bytes`, and whatever shares their memory, are empty from then on.
 */
export function giveBack(bytes: Buffer): void {
  const { buffer } = bytes;
  // What is smaller may lie in a pool beside others.
  if (buffer instanceof ArrayBuffer && buffer.byteLength > LARGEST_POOL) buffer.transfer(0);
}

/** Bytes of a block: of what is read or written at a time. */
export const BLOCK = 1 << 20;

/** Blocks of this thread that nobody uses. */
const idle: Buffer[] = [];
const MOST_IDLE = 4;

/** A block with anything in it. Taken anew for every file, they would be cut out of the memory between what stays. */
export function takeBlock(): Buffer {
  return idle.pop() ?? Buffer.allocUnsafeSlow(BLOCK);
}

/** Keeps a block for the next one. To be given once, by who took it and has nothing more to do with it. */
export function giveBlock(block: Buffer): void {
  if (idle.length < MOST_IDLE) idle.push(block);
}

/** Lends a block to what is synchronous. */
export function withBlock<T>(use: (block: Buffer) => T): T {
  const block = takeBlock();
  try {
    return use(block);
  } finally {
    giveBlock(block);
  }
}
