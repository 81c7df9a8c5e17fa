import { strict as assert } from 'node:assert';
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { nodeNames, read, register } from './pack';

interface FlowNode {
  readonly id: string; readonly type: string; readonly z?: string; readonly g?: string; readonly x?: number;
  readonly wires?: ReadonlyArray<readonly string[]>; readonly [property: string]: unknown;
}

const folder = join('examples', 'flows');
const files = readdirSync(join(process.cwd(), folder)).sort();
const flowOf = (file: string): FlowNode[] => JSON.parse(read(folder, file)) as FlowNode[];
const CORE = new Set(['tab', 'group', 'comment', 'debug', 'catch', 'status', 'inject', 'function', 'change', 'switch', 'split', 'join', 'link in', 'link out', 'http in', 'http response', 'template', 'file']);

describe('the example flows', () => {
  it('are numbered', () => {
    assert.ok(files.length > 0);
    for (const file of files) assert.match(file, /^\d\d - .+\.json$/);
  });

  it('show every node', () => {
    const used = new Set(files.flatMap((file) => flowOf(file).map((node) => node.type)));
    assert.deepEqual(nodeNames.filter((name) => !used.has(`exdicom-${name}`)), []);
  });

  it('let a damaged archive end as that within minutes', () => {
    const minutes = files.flatMap(flowOf).filter(({ type }) => type === 'exdicom-folder-in').map((node) => Number(node['maxWait']));
    assert.ok(minutes.length > 0);
    for (const wait of minutes) assert.ok(wait <= 5, `${wait} minutes`);
    assert.ok(Number(register('folder-in').definition.defaults['maxWait']?.value) <= 5);
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

    it(`${file}: wires go from left to right`, () => {
      const placed = flowOf(file).filter((node) => node.x !== undefined && node.type !== 'group');
      for (const node of placed) {
        for (const target of (node.wires ?? []).flat()) assert.ok(node.x! < placed.find(({ id }) => id === target)!.x!, node.type);
      }
    });
  }
});
