/** No identifier leaves the pack but through the doors that are meant for it (rule 6 of the design). */
import assert from 'node:assert/strict';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { deflateRawSync } from 'node:zlib';
import { Canaries, told } from '../support/canary';
import { CanaryRun } from '../support/canary-run';
import { filesBelow } from '../support/main-flow';

describe('the search for canaries', () => {
  it('finds them in every guise, and tells where they came from', async () => {
    const canaries = new Canaries();
    const name = canaries.text('the name');
    const uid = canaries.uid('the UID');
    const han = canaries.han('the Chinese name');
    const guises = (value: string): Array<Buffer | string> => [
      `before ${value} after`, value.toLowerCase(), Buffer.from(value, 'utf16le'), Buffer.from(value, 'utf16le').swap16(), Buffer.from(value).toString('hex').toUpperCase(),
      Buffer.from(`x${value}`).toString('base64'), Buffer.from(`xy${value}z`).toString('base64url'), Buffer.from(`xyz${value}`).toString('base64'),
      [...Buffer.from(value)].map((byte) => `%${byte.toString(16)}`).join(''), JSON.stringify({ a: { [value]: 1 } }), new Error('why', { cause: value }).cause as string,
    ];
    for (const [value, planted] of [[name, 'the name'], [uid, 'the UID'], [han, 'the Chinese name']] as const) {
      for (const [index, guise] of guises(value).entries()) assert.notDeepEqual(canaries.search(guise, 'here'), [], `${planted}, guise ${index}`);
      assert.deepEqual(told(canaries.search(value, 'here')).map((line) => line.replace(/^\w+ of /, '')), [`${planted} (utf-8) in here`]);
    }
    const folder = await mkdtemp(join(tmpdir(), 'exdicom-canary-'));
    try {
      await writeFile(join(folder, `${name}.txt`), 'nothing');
      await writeFile(join(folder, 'plain.bin'), Buffer.from(uid));
      assert.equal((await canaries.searchNames(folder, 'f')).length, 1);
      assert.equal((await canaries.searchFiles(folder, 'f')).length, 1);
    } finally {
      await rm(folder, { recursive: true, force: true });
    }
  });

  it('finds none where there is none', () => {
    const canaries = new Canaries();
    const name = canaries.text('the name');
    assert.deepEqual(canaries.search(new Canaries().text('another run'), 'here'), []);
    assert.deepEqual(canaries.search(deflateRawSync(Buffer.from(name.repeat(3))).subarray(0, 4), 'here'), []);
  });
});

describe('planted identifiers', () => {
  it('are nowhere after their jobs have closed: good ones, bad ones, and those that failed', async () => {
    await using run = await CanaryRun.make();
    await using red = await run.start();
    await run.dropMain();
    let jobs = 1 + await run.dropGood(red) + await run.dropBad(red);
    // Each good one comes back through the embedded receiver: main and nested, and the four others.
    jobs += 6;
    await run.closed(red, jobs);
    await run.dropAgain();
    await run.closed(red, jobs + 1);

    // While the ledger is open: its write-ahead log counts too.
    assert.deepEqual(told(await run.onDisk()), []);
    const received = await filesBelow(join(run.data, 'received'));
    assert.equal(received.length, 7, received.join(' '));
    // The conflict, the secondary capture and the one that is cut off, each with its reason.
    assert.equal((await filesBelow(join(run.data, 'quarantine'))).length, 6);
    assert.equal((await run.working()).length, 1); // the locked archive waits for its password
    await red.stop();
    assert.equal(red.exited?.code, 0);
    run.listen(red);
    assert.ok(red.heard.filter(({ what }) => what === 'message').length > 100);
    assert.deepEqual(told(run.heard), []);
    assert.deepEqual(told(await run.onDisk()), []);
  });

  it('are not in what a Catch node gets when anonymize cannot work', async () => {
    await using run = await CanaryRun.make();
    await using red = await run.start({ key: 'too short' });
    await run.dropMain();
    await red.until(() => red.heard.some(({ what, text }) => what === 'message' && text.includes('KEY_TOO_SHORT')));
    await red.kill();
    run.listen(red);
    assert.deepEqual(told(run.heard), []);
  });

  it('are nowhere when a PACS was away, the process was killed and started again', async () => {
    await using run = await CanaryRun.make();
    {
      await using red = await run.start({ reachable: false });
      await run.dropMain();
      await red.until(() => red.heard.some(({ what, text }) => what === 'message' && text.includes('PEER_UNREACHABLE')));
      await red.kill();
      run.listen(red);
      assert.deepEqual(told(run.heard), []);
    }
    await using red = await run.start();
    await run.closed(red, 3);
    assert.equal((await filesBelow(join(run.data, 'received'))).length, 3);
    await red.kill();
    run.listen(red);
    assert.deepEqual(told(run.heard), []);
    assert.deepEqual(told(await run.onDisk()), []);
  });
});
