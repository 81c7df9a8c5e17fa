import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { ExdicomError } from '../../../nodes/engine/errors';
import { Settings, resolveSetting } from '../../../nodes/runtime/settings';
import { FakeNode, fakeRed } from '../../support/fake-node';

const red = fakeRed({ variables: { HOST: 'pacs', PORT: '104', EMPTY: '' } });
const node = new FakeNode().asNode();
const invalid = (property: string) => (error: unknown) => error instanceof ExdicomError && error.code === 'CONFIG_INVALID' && error.detail?.startsWith(property) === true;

describe('a setting', () => {
  it('takes variables anywhere inside, and their defaults', () => {
    const cases: ReadonlyArray<readonly [string, string]> = [
      ['${HOST}', 'pacs'], ['a ${HOST}:${PORT} b', 'a pacs:104 b'], ['${UNSET:-11112}', '11112'], ['${EMPTY:-x}', 'x'], ['${UNSET}', ''],
      ['${UNSET:-}', ''], ['$HOST', '$HOST'], ['${PORT:-1}${UNSET:-2}', '1042'], ['plain', 'plain'],
    ];
    for (const [text, expected] of cases) assert.equal(resolveSetting(red, node, text), expected, text);
  });

  it('has its default where an older flow lacks it', () => {
    assert.equal(new Settings(red, node, {}, { host: 'h' }).text('host'), 'h');
  });

  it('is a number only within its range, and is named when it is not', () => {
    const of = (port: unknown) => new Settings<{ port: string }>(red, node, { port: port as string }, { port: '1' });
    assert.equal(of('${PORT}').integer('port', 1, 65_535), 104);
    assert.equal(of(104).integer('port', 1, 65_535), 104);
    for (const wrong of ['', 'x', '0', '65536', '1.5', 'NaN', '1e9', '${UNSET}', {}]) {
      assert.throws(() => of(wrong).integer('port', 1, 65_535), invalid('port'), JSON.stringify(wrong));
    }
  });

  it('is never quoted in an error', () => {
    assert.throws(() => new Settings(red, node, { port: 'SECRET' }, { port: '1' }).integer('port', 1, 2), (error) => !(error as Error).message.includes('SECRET'));
  });

  it('is a path below its base unless it is absolute', () => {
    const of = (folder: string) => new Settings(red, node, { folder }, { folder: '' }).path('folder', '/base');
    assert.equal(of('inbox'), '/base/inbox');
    assert.equal(of('${HOST}/in'), '/base/pacs/in');
    assert.equal(of('/data/in/'), '/data/in');
    assert.equal(of(''), '');
    assert.throws(() => of('a\0b'), invalid('folder'));
  });

  it('is a list by lines or as an array', () => {
    const of = (list: unknown) => new Settings<{ list: string }>(red, node, { list: list as string }, { list: '' }).list('list');
    assert.deepEqual(of('a\r\n\n b \n${HOST}'), ['a', 'b', 'pacs']);
    assert.deepEqual(of(['a', ' ', '${PORT}']), ['a', '104']);
  });

  it('is one of its choices', () => {
    const of = (per: string) => new Settings(red, node, { per }, { per: 'job' }).choice('per', ['job', 'study']);
    assert.equal(of('study'), 'study');
    assert.throws(() => of('patient'), invalid('per'));
  });
});
