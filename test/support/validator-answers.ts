/**
 * Loaded before the node-red-dev validator: answers what it would ask the network for, so that its checks of this package
 * run anywhere. The public catalogue is answered as empty (uniqueness of names is checked before a release, online), the
 * registry with the Node-RED that is installed here.
 */
import { createRequire } from 'node:module';
import Module from 'node:module';
import { join } from 'node:path';

const fromProject = createRequire(join(process.env['EXDICOM_VALIDATED'] ?? process.cwd(), 'package.json'));

function answer(url: string): { data: unknown } {
  if (url.includes('catalogue')) return { data: { modules: [] } };
  const { version, engines } = fromProject('node-red/package.json') as { version: string; engines: { node: string } };
  return { data: { 'dist-tags': { latest: version }, versions: { [version]: { engines } } } };
}

const replacements: Readonly<Record<string, unknown>> = {
  'axios': { get: (url: string) => Promise.resolve(answer(url)) },
  'npm-remote-ls': { config: () => undefined, ls: (_name: string, _version: string, _flatten: boolean, tell: (list: string[]) => void) => { tell([]); } },
  'npm-check': () => Promise.resolve({ get: () => [] }),
};

type Load = (request: string, parent: unknown, isMain: boolean) => unknown;
/** Node's own name for what every `require` goes through. */
const LOAD = '_load';
const loader = Module as unknown as Record<typeof LOAD, Load>; // not in the typings
const load = loader[LOAD];
loader[LOAD] = (request, parent, isMain) => replacements[request] ?? load.call(Module, request, parent, isMain);
