/** A real Node-RED in a process of its own, driven and watched over IPC. Started by `startNodeRed`, never by hand. */
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { inspect } from 'node:util';

export interface HostOptions {
  /** `node-red` or `node-red-4`. */
  readonly version: string;
  readonly userDir: string;
  /** Folder of the pack; absent where it is installed in the user directory. */
  readonly pack?: string;
  /** Tell all that can be seen of every message, log line and status, whoever gets it. */
  readonly deep?: boolean;
}

export type ToHost =
  | { readonly kind: 'receive'; readonly node: string; readonly message: object }
  | { readonly kind: 'deploy'; readonly flows: readonly object[]; readonly type: 'full' | 'nodes' | 'flows' }
  | { readonly kind: 'stop' };

export type FromHost =
  | { readonly kind: 'started'; readonly version: string; readonly port: number; readonly types: ReadonlyArray<{ readonly id: string; readonly err?: string }> }
  /** What a debug, catch, complete or status node received or made. */
  | { readonly kind: 'message'; readonly node: string; readonly type: string; readonly message: Record<string, unknown> }
  | { readonly kind: 'status'; readonly node: string; readonly text: string }
  | { readonly kind: 'log'; readonly level: number; readonly text: string }
  /** With `deep`: one message on its way from a node (its id and type) to another, a log line or a status, with every property there is, hidden ones too. */
  | { readonly kind: 'heard'; readonly what: 'message' | 'log' | 'status'; readonly node: string; readonly from: string; readonly to: string; readonly text: string }
  | { readonly kind: 'deployed' }
  /** On every `flows:started`. */
  | { readonly kind: 'flows' }
  | { readonly kind: 'stopped' };

/** What the tests use of Node-RED as an embedded application. */
interface Runtime {
  init(server: object, settings: object): void;
  start(): Promise<void>;
  stop(): Promise<void>;
  version(): string;
  readonly httpAdmin: object;
  readonly httpNode: object;
  readonly events: {
    on(event: 'node-status', listener: (event: { id: string; status?: { text?: string } }) => void): void;
    on(event: 'flows:started', listener: () => void): void;
    once(event: 'flows:started', listener: () => void): void;
  };
  readonly hooks: {
    add(hook: 'onReceive.test', listener: (event: { msg: object; destination: { id: string; node: { type: string } } }) => void): void;
    add(hook: 'preDeliver.test', listener: (event: { msg: object; source: { id: string; node: { type: string } }; destination: { id: string; node: { type: string } } }) => void): void;
  };
  readonly nodes: { getNode(id: string): { receive(message: object): void } | null };
  readonly runtime: {
    readonly flows: { setFlows(options: { flows: { flows: readonly object[] }; deploymentType: string }): Promise<unknown> };
    readonly nodes: { getNodeList(options: object): Promise<Array<{ id: string; err?: string }>> };
  };
}

/** Kinds of core nodes whose input tells the test what happened. */
const WATCHED = new Set(['debug']);

/** Everything of a value that any output could show. */
const all = (value: unknown): string => inspect(value, { depth: 40, showHidden: true, getters: true, maxArrayLength: null, maxStringLength: null, breakLength: Infinity });

async function host({ version, userDir, pack, deep = false }: HostOptions): Promise<void> {
  const require = createRequire(join(process.cwd(), 'package.json'));
  const RED = require(version) as Runtime;
  const express = createRequire(require.resolve(`${version}/package.json`))('express') as () => { use(path: string, app: object): void };
  const app = express();
  const server = createServer(app as unknown as Parameters<typeof createServer>[1]);
  const say = (message: FromHost): void => { process.send?.(message); };

  RED.init(server, {
    userDir, flowFile: 'flows.json', nodesDir: pack === undefined ? [] : [pack], httpAdminRoot: '/', httpNodeRoot: '/node', credentialSecret: false,
    runtimeState: { enabled: true, ui: false },
    editorTheme: { tours: false, projects: { enabled: false } }, telemetry: { enabled: false },
    logging: {
      console: { level: 'off' },
      test: {
        level: deep ? 'trace' : 'info', metrics: false, audit: false,
        handler: () => (line: { level: number; msg: unknown; id?: string }) => {
          const { level, msg, id = '' } = line;
          if (deep) say({ kind: 'heard', what: 'log', node: id, from: 'log', to: 'log', text: all(line) });
          say({ kind: 'log', level, text: String(msg instanceof Error ? msg.message : msg) });
        },
      },
    },
  });
  app.use('/', RED.httpAdmin);
  app.use('/node', RED.httpNode);
  RED.events.on('node-status', ({ id, status }) => {
    if (deep) say({ kind: 'heard', what: 'status', node: id, from: 'status', to: 'status', text: all(status) });
    say({ kind: 'status', node: id, text: status?.text ?? '' });
  });
  await new Promise<void>((resolve) => { server.listen(0, '127.0.0.1', resolve); });
  // `start` and `setFlows` resolve before the flows have started.
  const flowsStarted = (): Promise<void> => new Promise((resolve) => { RED.events.once('flows:started', () => { resolve(); }); });
  RED.hooks.add('onReceive.test', ({ msg, destination: { id, node } }) => {
    if (WATCHED.has(node.type)) say({ kind: 'message', node: id, type: node.type, message: JSON.parse(JSON.stringify(msg)) as Record<string, unknown> });
  });
  if (deep) {
    RED.hooks.add('preDeliver.test', ({ msg, source, destination }) => {
      say({ kind: 'heard', what: 'message', node: source.id, from: source.node.type, to: destination.node.type, text: all(msg) });
    });
  }
  RED.events.on('flows:started', () => { say({ kind: 'flows' }); });
  const started = flowsStarted();
  await RED.start();
  await started;
  const types = (await RED.runtime.nodes.getNodeList({})).filter(({ id }) => id.includes('exdicom'));
  say({ kind: 'started', version: RED.version(), port: (server.address() as AddressInfo).port, types });

  process.on('message', (message: ToHost) => {
    void (async () => {
      if (message.kind === 'receive') RED.nodes.getNode(message.node)?.receive(message.message);
      if (message.kind === 'deploy') {
        const again = flowsStarted();
        await RED.runtime.flows.setFlows({ flows: { flows: message.flows }, deploymentType: message.type });
        await again;
        say({ kind: 'deployed' });
      }
      if (message.kind === 'stop') {
        await RED.stop();
        say({ kind: 'stopped' });
        process.exit(0);
      }
    })();
  });
  process.on('disconnect', () => { process.exit(0); });
}

void host(JSON.parse(process.argv[2] ?? '') as HostOptions);
