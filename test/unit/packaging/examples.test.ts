import { strict as assert } from 'node:assert';
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { nodeNames, read, register } from './pack';

interface FlowNode {
  readonly id: string; readonly type: string; readonly z?: string; readonly g?: string; readonly x?: number; readonly y?: number;
  readonly w?: number; readonly h?: number; readonly wires?: ReadonlyArray<readonly string[]>; readonly [property: string]: unknown;
}

const folder = join('examples', 'flows');
const files = readdirSync(join(process.cwd(), folder)).sort();
const flowOf = (file: string): FlowNode[] => JSON.parse(read(folder, file)) as FlowNode[];
const CORE = new Set(['tab', 'group', 'comment', 'debug', 'catch', 'status', 'inject', 'function', 'change', 'switch', 'split', 'join', 'link in', 'link out', 'http in', 'http response']);

describe('the example flows', () => {
  it('are numbered', () => {
    assert.ok(files.length > 0);
    for (const file of files) assert.match(file, /^\d\d - .+\.json$/);
  });

  it('show every node', () => {
    const used = new Set(files.flatMap((file) => flowOf(file).map((node) => node.type)));
    assert.deepEqual(nodeNames.filter((name) => !used.has(`exdicom-${name}`)), []);
  });

  for (const file of files) {
    it(`${file}: only nodes of this pack and of Node-RED, with a comment that explains it`, () => {
      const flow = flowOf(file);
      for (const { type } of flow) assert.ok(CORE.has(type) || nodeNames.includes(type.replace(/^exdicom-/, '')), type);
      assert.ok(flow.some((node) => node.type === 'comment' && typeof node['info'] === 'string' && node['info'].length > 100));
    });

    it(`${file}: ids are unique and everything that is named is there`, () => {
      const flow = flowOf(file);
      const ids = new Set(flow.map((node) => node.id));
      assert.equal(ids.size, flow.length);
      for (const node of flow) {
        for (const target of [...(node.wires ?? []).flat(), node.z, node.g, ...(node.type === 'group' ? node['nodes'] as string[] : [])]) {
          if (target !== undefined && target !== '') assert.ok(ids.has(target), `${node.type} ${target}`);
        }
      }
    });

    it(`${file}: every property of ours is there, known and valid`, () => {
      const flow = flowOf(file);
      for (const node of flow.filter(({ type }) => type.startsWith('exdicom-'))) {
        const registered = register(node.type.replace(/^exdicom-/, ''));
        for (const [property, { type, validate }] of Object.entries(registered.definition.defaults)) {
          const value = node[property];
          assert.notEqual(value, undefined, `${node.type} ${property}`);
          if (type !== undefined && value !== '') assert.equal(flow.find(({ id }) => id === value)?.type, type);
          if (type === undefined && validate !== undefined) assert.equal(validate.call(node, value, {}), true, `${node.type} ${property}`);
        }
        assert.equal(node['credentials'], undefined);
      }
    });

    it(`${file}: nothing lies on anything else, and wires go from left to right`, () => {
      const placed = flowOf(file).filter((node) => node.x !== undefined && node.type !== 'group');
      const box = (node: FlowNode): { left: number; right: number; y: number } => {
        const label = typeof node['name'] === 'string' && node['name'] !== '' ? node['name'] : node.type;
        const half = Math.max(100, label.length * 8 + 60) / 2;
        return { left: node.x! - half, right: node.x! + half, y: node.y! };
      };
      for (const [index, a] of placed.entries()) {
        for (const b of placed.slice(index + 1)) {
          const [first, second] = [box(a), box(b)];
          const apart = Math.abs(first.y - second.y) >= 40 || first.right <= second.left || second.right <= first.left;
          assert.ok(apart, `${a.type} ${String(a['name'])} and ${b.type} ${String(b['name'])}`);
        }
        for (const target of (a.wires ?? []).flat()) assert.ok(a.x! < placed.find(({ id }) => id === target)!.x!, `${a.type} to the right`);
      }
    });
  }
});
