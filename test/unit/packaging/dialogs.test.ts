import { strict as assert } from 'node:assert';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { before, describe, it } from 'node:test';
import { configNodes, form, fresh, nodeNames, read, register, texts } from './pack';
import type { Registered } from './pack';

const requireHere = createRequire(__filename);
/** The defaults that the runtime uses. */
const runtimeDefaults = (name: string): Record<string, unknown> =>
  (requireHere(join(__dirname, '..', '..', '..', 'nodes', name, 'properties.js')) as { defaults: Record<string, unknown> }).defaults;

/** May hold anything at all. */
const FREE_TEXT = new Set(['name', 'directory', 'scope', 'keyFile', 'issuer', 'doneFolder', 'failedFolder', 'job', 'source', 'destination', 'who']);
/** Somebody has to say it. */
const NEEDED: Readonly<Record<string, readonly string[]>> = {
  pacs: ['host', 'aet'], 'folder-in': ['ledger'], 'c-store-in': ['ledger'], jobs: ['ledger'], anonymize: ['profile'], 'c-store-out': ['pacs'],
};
const NO_INPUT = new Set(['allowedRisks', 'required']); // lists, which the scripts fill

const luminance = (colour: string): number => {
  const [r, g, b] = [1, 3, 5].map((at) => Number.parseInt(colour.slice(at, at + 2), 16) / 255).map((c) => (c <= 0.03928 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4));
  return 0.2126 * r! + 0.7152 * g! + 0.0722 * b!;
};
const contrast = (a: string, b: string): number => {
  const [light, dark] = [luminance(a), luminance(b)].sort((x, y) => y - x);
  return (light! + 0.05) / (dark! + 0.05);
};

const validate = (node: Registered, property: string, value: unknown): true | string | undefined =>
  node.definition.defaults[property]?.validate?.call(fresh(node, { [property]: value }), value, {});

describe('the dialogs', () => {
  const nodes = new Map<string, Registered>();
  before(() => {
    for (const name of nodeNames) nodes.set(name, register(name));
    configNodes['good'] = { id: 'good', type: 'exdicom-ledger', valid: true, name: 'Good' };
    configNodes['bad'] = { id: 'bad', type: 'exdicom-ledger', valid: false };
  });

  it('are those that package.json names', () => {
    const { 'node-red': section } = JSON.parse(read('package.json')) as { 'node-red': { nodes: Record<string, string> } };
    assert.deepEqual(Object.keys(section.nodes).sort(), nodeNames);
    for (const [name, path] of Object.entries(section.nodes)) assert.equal(path, `dist/nodes/${name}/${name}.js`);
  });

  for (const name of nodeNames) {
    describe(name, () => {
      const node = (): Registered => nodes.get(name)!;

      it('has the defaults of the runtime, and a field for each', () => {
        const { defaults, category } = node().definition;
        const values = Object.fromEntries(Object.entries(defaults).map(([property, { value }]) => [property, value]));
        // Made in another realm, hence compared as text.
        assert.equal(JSON.stringify(values), JSON.stringify(runtimeDefaults(name)));
        const prefix = category === 'config' ? 'node-config-input' : 'node-input';
        for (const property of Object.keys(defaults)) {
          if (!NO_INPUT.has(property)) assert.ok(form(name).includes(` id="${prefix}-${property}"`), property);
        }
      });

      it('is registered in a way that the Flow Library can read', () => {
        const { type, definition, script } = node();
        assert.equal(type, `exdicom-${name}`);
        assert.ok(script.includes(`RED.nodes.registerType("exdicom-${name}", {`));
        assert.ok(script.includes(`category: "${definition.category}"`));
        assert.ok(script.includes(`color: "${definition.color}"`));
        assert.ok(script.includes(`icon: "${name}.svg"`));
        assert.equal(definition.paletteLabel.replaceAll('\u2011', '-'), name);
        if (definition.category === 'config') return;
        assert.ok(script.includes(`inputs: ${definition.inputs}`));
        assert.ok(script.includes(`outputs: ${definition.outputs}`));
      });

      it('has a label that can be read on its colour in both themes', () => {
        for (const text of ['#333333', '#191919']) assert.ok(contrast(node().definition.color ?? '', text) >= 4.5);
      });

      it('checks every property but free text, and gives a reason', () => {
        for (const [property, { validate: check, type }] of Object.entries(node().definition.defaults)) {
          if (FREE_TEXT.has(property) && check === undefined) continue;
          assert.equal(check?.length, 2, `${property}: Node-RED takes a reason only from two arguments`);
          const wrong = type === undefined ? { of: 'another kind' } : 'nowhere';
          assert.equal(typeof validate(node(), property, wrong), 'string', property);
        }
      });

      it('has the texts of its reasons', () => {
        const known = texts(name, 'en-US');
        for (const property of Object.keys(node().definition.defaults)) {
          for (const value of ['', '-', 'no such thing: \\', ['']]) {
            const reason = validate(node(), property, value);
            if (typeof reason !== 'string') continue;
            const [key = '', values = '{}'] = reason.split(/ (?=\{)/);
            assert.ok(known.has(key), key);
            assert.ok(known.has((JSON.parse(values) as { label: string }).label), values);
          }
        }
      });

      it('is valid as it comes from the palette, but for what somebody has to say', () => {
        const invalid = Object.entries(node().definition.defaults).filter(([property, { value }]) => typeof validate(node(), property, value) === 'string').map(([property]) => property);
        assert.deepEqual(invalid, NEEDED[name] ?? []);
      });

      it('takes a variable everywhere, and a flow that lacks a property', () => {
        for (const [property, { type, validate: check }] of Object.entries(node().definition.defaults)) {
          if (check === undefined) continue;
          assert.equal(validate(node(), property, '${NAME:-x}'), true, property);
          if (type === undefined) assert.equal(validate(node(), property, undefined), true, property);
        }
      });

      it('has a label for every field and a type for every button', () => {
        const html = form(name);
        for (const [tag, id] of [...html.matchAll(/<(?:input|select|textarea)\b[^>]*\bid="([^"]+)"[^>]*>/g)].map((match) => [match[0], match[1]] as const)) {
          if (!tag.includes('aria-hidden')) assert.ok(html.includes(`for="${id}"`), id);
        }
        for (const [tag] of html.matchAll(/<button\b[^>]*>/g)) assert.match(tag, /type="button".*aria-label/);
      });

      it('has a label that tells it from its like', () => {
        const { definition } = node();
        const label = (values: Record<string, unknown>): string => definition.label.call(fresh(node(), values));
        assert.equal(label({ name: 'Ward 3' }), 'Ward 3');
        assert.ok(label({ name: '' }).startsWith(name));
      });
    });
  }

  it('use no colour of their own, so that both themes fit', () => {
    const styles = [read('nodes', 'editor', 'form.ts'), ...nodeNames.map(form)].join('\n');
    assert.deepEqual(styles.match(/#[0-9a-f]{3,8}\b(?=\s*[;"'])|\brgba?\(|color:\s*(?!var|inherit)[a-z]+/gi) ?? [], []);
  });

  it('give reasons that begin with the label of the field', () => {
    assert.match(String(validate(nodes.get('pacs')!, 'port', '0')), /^validate\.whole .*"label":"label.port"/);
    assert.match(String(validate(nodes.get('pacs')!, 'port', '')), /^validate\.empty/);
  });

  it('know a port, a host, an AE Title, a UID and an address', () => {
    const pacs = nodes.get('pacs')!;
    const listener = nodes.get('c-store-in')!;
    for (const value of ['1', '65535', ' 104 ']) assert.equal(validate(pacs, 'port', value), true, value);
    for (const value of ['0', '65536', '1.5', '-1', 'dicom']) assert.equal(typeof validate(pacs, 'port', value), 'string', value);
    for (const value of ['pacs', 'pacs.hospital.example', '10.0.0.7', '::1', '[::1]', 'fe80::1%eth0', 'pacs_1']) assert.equal(validate(pacs, 'host', value), true, value);
    for (const value of ['', 'http://pacs', 'pacs:104', 'a b', 'pacs/', '300.1.1.1x/', '10.0.0.400', '10.0.0', '10.0.0.0.7', '[pacs]', '[::1]:104']) assert.equal(typeof validate(pacs, 'host', value), 'string', value);
    for (const value of ['A', 'EXDICOM-PACS', 'SIXTEEN_LETTERS_']) assert.equal(validate(pacs, 'aet', value), true, value);
    for (const value of ['', 'SEVENTEEN_LETTERS', 'A\\B', 'ÄRZTE', 'A\tB']) assert.equal(typeof validate(pacs, 'aet', value), 'string', value);
    assert.equal(validate(pacs, 'queryPort', ''), true);
    assert.equal(validate(listener, 'callers', 'CT1\n\nMR 2\n'), true);
    assert.match(String(validate(listener, 'callers', 'CT1\nTOO_LONG_FOR_AN_AET')), /"line":2/);
    assert.equal(validate(listener, 'addresses', '10.0.0.1\nfe80::1'), true);
    assert.match(String(validate(listener, 'addresses', 'ct.hospital.example')), /"line":1/);
    assert.equal(validate(nodes.get('deid-profile')!, 'allowedSopClasses', '1.2.840.10008.5.1.4.1.1.6.1'), true);
    assert.equal(typeof validate(nodes.get('deid-profile')!, 'allowedSopClasses', '1.2.840.010008'), 'string');
  });

  it('know whether a configuration node is there and well', () => {
    assert.equal(validate(nodes.get('folder-in')!, 'ledger', 'good'), true);
    assert.match(String(validate(nodes.get('folder-in')!, 'ledger', 'bad')), /^validate\.invalidConfig/);
    assert.match(String(validate(nodes.get('folder-in')!, 'ledger', '')), /^validate\.missing/);
    assert.equal(validate(nodes.get('extract')!, 'ledger', ''), true);
  });

  it('let through only risks that there are', () => {
    const profile = nodes.get('deid-profile')!;
    assert.equal(validate(profile, 'allowedRisks', ['RISK_DOCUMENT']), true);
    assert.equal(typeof validate(profile, 'allowedRisks', ['RISK_OF_RAIN']), 'string');
  });

  it('want a key of 32 characters, and do not judge one that they cannot see', () => {
    const profile = nodes.get('deid-profile')!;
    const check = (value: string): true | string | undefined => profile.definition.credentials?.['key']?.validate?.call(fresh(profile), value, {});
    for (const value of ['', '__PWRD__', 'x'.repeat(32), '${EXDICOM_DEID_KEY}']) assert.equal(check(value), true);
    assert.equal(typeof check('x'.repeat(31)), 'string');
  });

  it('keep secrets as credentials of type password', () => {
    const secrets = Object.fromEntries([...nodes].map(([name, { definition }]) => [name, definition.credentials]).filter(([, credentials]) => credentials !== undefined)) as Record<string, Record<string, { type: string }>>;
    assert.deepEqual(Object.entries(secrets).map(([name, credentials]) => [name, ...Object.keys(credentials)]), [['deid-profile', 'key'], ['extract', 'passwords']]);
    for (const credentials of Object.values(secrets)) for (const { type } of Object.values(credentials)) assert.equal(type, 'password');
  });

  it('name a node by what a variable would be without one', () => {
    const listener = nodes.get('c-store-in')!;
    assert.equal(listener.definition.label.call(fresh(listener)), 'c-store-in: EXDICOM :11112');
    assert.equal(listener.definition.label.call(fresh(listener, { port: '${PORT}' })), 'c-store-in: EXDICOM :$PORT');
  });

  it('call the two outputs of anonymize by their names', () => {
    const node = nodes.get('anonymize')!;
    assert.deepEqual([0, 1].map((index) => node.definition.outputLabels?.call(fresh(node), index)), ['port.output', 'port.quarantined']);
  });
});
