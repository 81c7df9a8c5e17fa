/** The nodes of the pack as their files say, and their dialogs as the editor would load them. */
import { readFileSync, readdirSync, existsSync } from 'node:fs';
import { join } from 'node:path';
import { runInNewContext } from 'node:vm';
import { buildSync } from 'esbuild';

export const nodesFolder = join(process.cwd(), 'nodes');
export const LANGUAGES = ['en-US', 'zh-TW'] as const;

/** Short names, by the forms there are. */
export const nodeNames: readonly string[] = readdirSync(nodesFolder)
  .filter((name) => existsSync(join(nodesFolder, name, `${name}.html`)))
  .sort();

export const read = (...path: readonly string[]): string => readFileSync(join(process.cwd(), ...path), 'utf8');
export const form = (name: string): string => read('nodes', name, `${name}.html`);
export const help = (name: string, language: string): string => read('nodes', name, 'locales', language, `${name}.html`);

/** The texts of a node as one level: `label.name`. */
export function texts(name: string, language: string): Map<string, string> {
  const flat = new Map<string, string>();
  const walk = (value: unknown, path: string): void => {
    if (typeof value === 'string') flat.set(path, value);
    else for (const [key, inner] of Object.entries(value as Record<string, unknown>)) walk(inner, path === '' ? key : `${path}.${key}`);
  };
  walk(JSON.parse(read('nodes', name, 'locales', language, `${name}.json`)), '');
  return flat;
}

export interface Property { readonly value: unknown; readonly type?: string; readonly validate?: (this: object, value: unknown, options: object) => true | string }

export interface Definition {
  readonly category: string;
  readonly color?: string;
  readonly icon?: string;
  readonly inputs?: number;
  readonly outputs?: number;
  readonly paletteLabel: string;
  readonly defaults: Record<string, Property>;
  readonly credentials?: Record<string, Property & { readonly type: string }>;
  readonly label: (this: object) => string;
  readonly outputLabels?: (this: object, index: number) => string;
}

export interface Registered {
  readonly type: string;
  readonly definition: Definition;
  /** What the Flow Library would read. */
  readonly script: string;
}

/** Configuration nodes that the fake editor has; `valid: false` has a mistake in it. */
export const configNodes: Record<string, { id: string; type: string; valid: boolean; name?: string }> = {};

/** The script of a dialog, bundled as the build does and run in an editor that has nothing but the registry. */
export function register(name: string): Registered {
  const script = buildSync({
    entryPoints: [join(nodesFolder, name, `${name}.editor.ts`)],
    bundle: true, write: false, format: 'iife', target: 'es2020', charset: 'utf8', minify: false, legalComments: 'none',
  }).outputFiles[0]?.text ?? '';
  const found: Array<{ type: string; definition: Definition }> = [];
  const RED = {
    _: (key: string) => key,
    nodes: {
      registerType: (type: string, definition: Definition) => { found.push({ type, definition }); },
      node: (id: string) => configNodes[id] ?? null,
    },
    utils: { getNodeLabel: (node: { name?: string; id: string }) => node.name ?? node.id },
  };
  runInNewContext(script, { RED });
  const [only] = found;
  if (only === undefined || found.length > 1) throw new Error(`${name} registers ${found.length} types`);
  return { ...only, script };
}

/** A node of this type with its defaults, as it comes from the palette; texts are `key {values}`. */
export function fresh({ type, definition }: Registered, values: Record<string, unknown> = {}): Record<string, unknown> {
  const properties = Object.fromEntries(Object.entries(definition.defaults).map(([property, { value }]) => [property, structuredClone(value)]));
  return { id: 'n', type, ...properties, ...values, _: (key: string, given?: object) => (given === undefined ? key : `${key} ${JSON.stringify(given)}`), _def: definition };
}
