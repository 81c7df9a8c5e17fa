/**
 * A Node-RED of its own process for the measurements: runs the flow of its user directory with this build of the pack, and tells
 * its parent of each stage how long it had its message, what came out, the peak of memory and the delay of the event loop.
 */
import { readFileSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { monitorEventLoopDelay } from 'node:perf_hooks';
import { touchMemory } from './data';

export interface HostOptions {
  readonly userDir: string;
  /** Folder with the pack's package.json. */
  readonly pack: string;
  /** Collect garbage and touch memory before each stage, so that what earlier ones left is not counted as its growth or in its time. */
  readonly collect: boolean;
  /** Bytes of memory to touch. */
  readonly touch: number;
}

/** Resident memory in bytes, of the whole process with its worker threads; loop delay in milliseconds, the timer's own one included. */
export interface Load {
  readonly milliseconds: number;
  readonly rssBefore: number;
  readonly rssPeak: number;
  readonly delayP99: number;
  readonly delayMax: number;
}

export interface StageFigures extends Load {
  /** The node's type without `exdicom-`. */
  readonly stage: string;
  /** Instances that it extracted, de-identified or delivered and verified; the files of the job for other stages. */
  readonly instances: number;
}

export type FromHost =
  | { readonly kind: 'ready' }
  | { readonly kind: 'stage'; readonly figures: StageFigures }
  /** The job is closed; from the moment in which its source sent it. */
  | { readonly kind: 'closed'; readonly outcome: string; readonly load: Load }
  | { readonly kind: 'failed'; readonly message: string };

type Message = Record<string, unknown>;

interface Runtime {
  init(server: object, settings: object): void;
  start(): Promise<void>;
  readonly httpAdmin: object;
  readonly events: { once(event: 'flows:started', listener: () => void): void };
  readonly hooks: {
    add(hook: 'onReceive.bench', listener: (event: { readonly msg: Message; readonly destination: { readonly node: { readonly type: string } } }) => void): void;
    add(hook: 'onSend.bench', listener: (events: ReadonlyArray<{ readonly msg: Message; readonly source: { readonly node: { readonly type: string } } }>) => void): void;
  };
}

const PREFIX = 'exdicom-';
/** Milliseconds after the receipt in which debug nodes still cost the loop. */
const SETTLING = 50;
const tell = (message: FromHost): void => { process.send?.(message); };

/** Bytes at the peak since `forgetPeak`. Linux keeps it by itself; elsewhere it is sampled. */
let peak = (): number => sampled;
let forgetPeak = (): void => { sampled = process.memoryUsage.rss(); };
let sampled = 0;
try {
  const kept = (): number => Number(/VmHWM:\s+(\d+) kB/.exec(readFileSync('/proc/self/status', 'latin1'))![1]) * 1024;
  const forget = (): void => { writeFileSync('/proc/self/clear_refs', '5'); };
  forget();
  kept();
  [peak, forgetPeak] = [kept, forget];
} catch {
  setInterval(() => { sampled = Math.max(sampled, process.memoryUsage.rss()); }, 10).unref();
}

/** What the process uses from a moment on. Peaks are forgotten as stages begin, so an outer meter is told of them. */
class Meter {
  readonly #rssBefore = process.memoryUsage.rss();
  readonly #delay = monitorEventLoopDelay({ resolution: 1 });
  #rssPeak = 0;
  readonly #start: number;

  constructor() {
    this.#delay.enable();
    this.#start = performance.now();
  }

  get milliseconds(): number {
    return performance.now() - this.#start;
  }

  remember(): void {
    this.#rssPeak = Math.max(this.#rssPeak, peak());
  }

  read(): Load {
    const { milliseconds } = this;
    this.#delay.disable();
    this.remember();
    // Nothing has been recorded where all was over before the timer fired.
    const [p99, max] = this.#delay.count === 0 ? [0, 0] : [this.#delay.percentile(99), this.#delay.max];
    return { milliseconds, rssBefore: this.#rssBefore, rssPeak: this.#rssPeak, delayP99: p99 / 1e6, delayMax: max / 1e6 };
  }
}

function instancesOf(stage: string, message: Message): number {
  switch (stage) {
    case 'extract': return (message['extracted'] as { readonly instances: number }).instances;
    case 'anonymize': return (message['anonymized'] as { readonly files: number }).files;
    case 'c-store-out': return Object.values(message['delivered'] as Record<string, { readonly verified: number }>).reduce((sum, { verified }) => sum + verified, 0);
    default: return 0;
  }
}

/** One job at a time, so that each stage has one message at most. */
const stageMeters = new Map<string, Meter>();
let jobMeter: Meter | undefined;

function received(stage: string, { collect, touch, userDir }: HostOptions): void {
  if (collect) {
    (globalThis as { readonly gc?: () => void }).gc?.();
    touchMemory(userDir, touch);
  }
  jobMeter?.remember();
  forgetPeak();
  if (stage === 'extract') jobMeter = new Meter();
  stageMeters.set(stage, new Meter());
}

function sent(stage: string, message: Message): void {
  const load = stageMeters.get(stage)?.read();
  stageMeters.delete(stage);
  if (load !== undefined && stage !== 'finish') tell({ kind: 'stage', figures: { stage, instances: instancesOf(stage, message), ...load } });
  if (stage !== 'finish' || jobMeter === undefined) return;
  const meter = jobMeter;
  jobMeter = undefined;
  const { outcome } = (message['payload'] as { readonly job: { readonly outcome: string } }).job;
  const { milliseconds } = meter;
  setTimeout(() => { tell({ kind: 'closed', outcome, load: { ...meter.read(), milliseconds } }); }, SETTLING);
}

async function host(options: HostOptions): Promise<void> {
  const { userDir, pack } = options;
  const fromRoot = createRequire(join(process.cwd(), 'package.json'));
  const RED = fromRoot('node-red') as Runtime;
  const express = createRequire(fromRoot.resolve('node-red/package.json'))('express') as () => { use(path: string, app: object): void };
  const app = express();
  const server = createServer(app as unknown as Parameters<typeof createServer>[1]); // an Express application is a request listener
  RED.init(server, {
    userDir, flowFile: 'flows.json', nodesDir: [pack], httpAdminRoot: '/', httpNodeRoot: false, credentialSecret: false,
    editorTheme: { tours: false, projects: { enabled: false } }, telemetry: { enabled: false }, logging: { console: { level: 'error' } },
  });
  app.use('/', RED.httpAdmin);
  RED.hooks.add('onReceive.bench', ({ destination: { node } }) => { if (node.type.startsWith(PREFIX)) received(node.type.slice(PREFIX.length), options); });
  RED.hooks.add('onSend.bench', (events) => {
    const first = events[0];
    if (first?.source.node.type.startsWith(PREFIX) === true) sent(first.source.node.type.slice(PREFIX.length), first.msg);
  });
  await new Promise<void>((resolve) => { server.listen(0, '127.0.0.1', resolve); });
  const started = new Promise<void>((resolve) => { RED.events.once('flows:started', resolve); });
  await RED.start();
  await started;
  tell({ kind: 'ready' });
}

process.on('disconnect', () => { process.exit(0); });
host(JSON.parse(process.argv[2] ?? '') as HostOptions).catch((thrown: unknown) => { tell({ kind: 'failed', message: thrown instanceof Error ? thrown.message : String(thrown) }); });
