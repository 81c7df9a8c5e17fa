/** A TCP proxy that misbehaves once a number of bytes has passed: resets, closes, or goes silent. */
import { connect, createServer } from 'node:net';
import type { AddressInfo, Socket } from 'node:net';

export interface Fault {
  /** `rst` and `fin` end both connections so; `stall` keeps them open and passes nothing on; `deaf` stops reading from the client. */
  readonly kind: 'rst' | 'fin' | 'stall' | 'deaf';
  /** Counted from the client to the server, or back. */
  readonly direction: 'up' | 'down';
  readonly after: number;
  /** How many connections it happens to, from the first; default: all. */
  readonly connections?: number;
}

export interface FaultProxy extends AsyncDisposable {
  readonly port: number;
  /** Bytes that passed, of all connections. */
  readonly passed: { up: number; down: number };
  readonly connections: number;
  /** Connections that are open now. */
  open(): number;
}

export async function startFaultProxy(target: number, wanted?: Fault): Promise<FaultProxy> {
  const passed = { up: 0, down: 0 };
  const sockets = new Set<Socket>();
  let connections = 0;
  const server = createServer((client) => {
    connections += 1;
    const fault = connections <= (wanted?.connections ?? Infinity) ? wanted : undefined;
    const upstream = connect(target, '127.0.0.1');
    const both = [client, upstream];
    const count = { up: 0, down: 0 };
    let failed = false;
    const fail = (): void => {
      failed = true;
      if (fault?.kind === 'rst') client.resetAndDestroy();
      if (fault?.kind === 'fin') client.end();
      if (fault?.kind === 'rst' || fault?.kind === 'fin') upstream.destroy();
      if (fault?.kind === 'deaf') client.pause();
    };
    const pass = (from: Socket, to: Socket, direction: 'up' | 'down'): void => {
      from.on('data', (chunk: Buffer) => {
        if (failed) return;
        const room = fault?.direction === direction ? fault.after - count[direction] : Infinity;
        const part = chunk.subarray(0, Math.min(chunk.length, room));
        count[direction] += part.length;
        passed[direction] += part.length;
        if (part.length > 0 && !to.write(part)) {
          from.pause();
          to.once('drain', () => { if (!failed || fault?.kind !== 'deaf') from.resume(); });
        }
        if (part.length < chunk.length || count[direction] === fault?.after) fail();
      });
      from.on('error', () => { to.destroy(); });
      from.on('end', () => { if (!failed) to.end(); });
      from.on('close', () => {
        sockets.delete(from);
        if (!failed) to.destroy();
      });
    };
    for (const socket of both) {
      socket.setNoDelay(true);
      sockets.add(socket);
    }
    pass(client, upstream, 'up');
    pass(upstream, client, 'down');
  });
  await new Promise<void>((resolve) => { server.listen(0, '127.0.0.1', resolve); });
  return {
    port: (server.address() as AddressInfo).port,
    passed,
    get connections() { return connections; },
    open: () => sockets.size,
    async [Symbol.asyncDispose]() {
      for (const socket of sockets) socket.destroy();
      await new Promise((resolve) => { server.close(resolve); });
    },
  };
}
