/** Memory of buffers that is given back by who is done with it, not by the garbage collector. */

/**
 * Gives the memory of a buffer back at once. Otherwise that of a hundred files waits for the garbage to be collected, which
 * counts only what lies in the heap as urgent. `bytes`, and whatever shares their memory, are empty from then on.
 */
export function giveBack(bytes: Buffer): void {
  const { buffer } = bytes;
  // What is smaller lies in a pool beside others.
  if (buffer instanceof ArrayBuffer && buffer.byteLength > Buffer.poolSize) buffer.transfer(0);
}
