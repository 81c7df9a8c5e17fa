/**
 * A Node-RED of its own process for the measurements: runs a flow with the pack as installed, and tells its parent for
 * each job how long each stage had its message, the peak of memory and the delay of the event loop meanwhile.
 */
import { createServer } from 'node:http';
import { monitorEventLoopDelay } from 'node:perf_hooks';

export interface HostOrder {
  readonly userDir: string;
  readonly flow: ReadonlyArray<Record<string, unknown>>;
}

/** One stage's figures: milliseconds from its input to its output, resident memory in bytes, loop delay in milliseconds. */
export interface StageFigures {
  readonly type: string;
  readonly milliseconds: number;
  readonly rssBefore: number;
  readonly rssPeak: number;
  readonly delayP99: number;
  readonly delayMax: number;
}

export type HostReport = { readonly kind: 'ready' } | { readonly kind: 'stage'; readonly figures: StageFigures } | { readonly kind: 'error'; readonly message: string };


interface RuntimeApi {
  init(server: unknown, settings: Record<string, unknown>): void;
  start(): Promise<void>;
  readonly httpAdmin: unknown;
  readonly hooks: { add(name: string, listener: (event: never) => void): void };
}

const report = (message: HostReport): void => { process.send?.(message); };

/** Delay above the timer's own resolution of 1 ms is what a stage adds; the histogram is in nanoseconds. */
const delay = monitorEventLoopDelay({ resolution: 1 });
let rssPeak = 0;
setInterval(() => { rssPeak = Math.max(rssPeak, process.memoryUsage.rss()); }, 20).unref();

const entered = new Map<string, { readonly at: number; readonly rssBefore: number }>();

function enter(type: string): void {
  if (!type.startsWith('exdicom-')) return;
  (globalThis as { gc?: () => void }).gc?.();
  rssPeak = process.memoryUsage.rss();
  entered.set(type, { at: performance.now(), rssBefore: rssPeak });
  delay.reset();
}

function leave(type: string): void {
  const start = entered.get(type);
  if (start === undefined) return;
  entered.delete(type);
  rssPeak = Math.max(rssPeak, process.memoryUsage.rss());
  report({ kind: 'stage', figures: { type, milliseconds: performance.now() - start.at, rssBefore: start.rssBefore, rssPeak, delayP99: delay.percentile(99) / 1e6, delayMax: delay.max / 1e6 } });
}

process.on('message', (order: HostOrder) => {
  void (async () => {
    const express = require('express') as () => { use(path: string, handler: unknown): void };
    const RED = require('node-red') as RuntimeApi;
    const app = express();
    const server = createServer(app as never);
    RED.init(server, {
      userDir: order.userDir, flowFile: 'flows.json', nodesDir: [process.cwd()], httpAdminRoot: '/', httpNodeRoot: false, credentialSecret: false,
      editorTheme: { tours: false }, telemetry: { enabled: false }, logging: { console: { level: 'warn' } },
    });
    app.use('/', RED.httpAdmin);
    RED.hooks.add('onReceive.measure', (event: { destination: { node: { type: string } } }) => { enter(event.destination.node.type); });
    RED.hooks.add('onSend.measure', (events: ReadonlyArray<{ source: { node: { type: string } } }>) => { for (const event of events) leave(event.source.node.type); });
    delay.enable();
    await new Promise<void>((resolve) => { server.listen(0, '127.0.0.1', resolve); });
    await RED.start();
    report({ kind: 'ready' });
  })().catch((error: unknown) => { report({ kind: 'error', message: error instanceof Error ? error.message : String(error) }); });
});

