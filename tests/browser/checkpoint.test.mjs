// Row 12: a model of our own trainer, loaded by the file button, its blocks and heads in the maps.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { attendOf, close, done, hoverCell, number, open, settled } from './helpers.mjs';

const folder = mkdtempSync(join(tmpdir(), 'termwise-checkpoint-'));
after(() => rmSync(folder, { recursive: true, force: true }));
const program = process.env.TERMWISE || '../../target/release/termwise';

const TRAININGS = {
  segmentation: ['--epochs', '1', '--scenes', '8', '--width', '8', '--heads', '2', '--size', '32x32'],
  detection: ['--epochs', '1', '--scenes', '4', '--side', '64', '--batch', '2'],
};
for (const task of Object.keys(TRAININGS)) test(`a ${task} network that our trainer made`, async () => {
  const out = join(folder, task);
  execFileSync(program, ['train', task, '--attention', '1111', ...TRAININGS[task], '--out', out], { stdio: 'ignore' });
  const page = await open('size=32');
  await page.locator('#checkpoint-file').setInputFiles(join(out, 'checkpoint.safetensors'));
  await page.waitForFunction(() => tw.state.source.kind === 'checkpoint');
  await settled(page);
  const { checkpoint } = await page.evaluate(() => tw.data.info);
  assert.deepEqual([checkpoint.task, checkpoint.attention], [task, '1111']);
  assert.ok(checkpoint.blocks.length > 0);
  for (const { name, heads } of [checkpoint.blocks[0], checkpoint.blocks.at(-1)]) {
    await page.locator('#checkpoint-block').selectOption(name);
    await page.waitForFunction((block) => tw.state.source.block === block, name);
    await settled(page);
    assert.equal(await page.locator('#head option').count(), heads);
    for (const head of [heads - 1, 0]) {
      await page.locator('#head').selectOption(String(head));
      await settled(page);
      await page.evaluate(() => tw.set({ query: [1, 0] }));
      await settled(page);
      const answer = await attendOf(page, { head, source: { kind: 'checkpoint', block: name } });
      for (const key of [0, answer.weights.length - 1]) {
        await hoverCell(page, '[data-map=softmax]', key, answer.width, answer.height);
        close(
          number((await page.locator('#tip strong').textContent()).split(': ')[1]),
          answer.weights[key],
          `${name}, head ${head}, key ${key}`,
        );
      }
      assert.ok((await page.evaluate(() => tw.data.difference)) < 1e-9, 'the page computes the same');
    }
  }
  await page.locator('.source-line button').click();
  await page.waitForFunction(() => tw.state.source.kind === 'lesson');
  await settled(page);
  await done(page);
});

test('a translator that our trainer made takes the place of the one on the page', async () => {
  const out = join(folder, 'translator');
  execFileSync(
    program,
    ['train', 'translation', '--sentences', '64', '--epochs', '1', '--attention', '0110', '--cross', '1000', '--out', out],
    { stdio: 'ignore' },
  );
  const page = await open();
  await page.locator('#checkpoint-file').setInputFiles(join(out, 'checkpoint.safetensors'));
  await page.waitForFunction(() => tw.data.info.translator && tw.data.info.translator.attention === '0110');
  await page.waitForFunction(() => /by the engine/.test(document.querySelector('#text .difference').textContent));
  // The layer has two terms only, and its switches say so.
  assert.deepEqual(await page.locator('[data-text-term]').evaluateAll((buttons) => buttons.map((button) => button.disabled)), [
    true,
    false,
    false,
    true,
  ]);
  assert.deepEqual(await page.locator('.word-energies tbody th').allTextContents(), ['E2', 'E3', 'sum', 'share']);
  await done(page);
});

test('what is no checkpoint is refused in a sentence, and the page stays as it was', async () => {
  const page = await open();
  const path = join(folder, 'not.safetensors');
  writeFileSync(path, 'not a checkpoint');
  await page.locator('#checkpoint-file').setInputFiles(path);
  await page.waitForFunction(() => !document.querySelector('#checkpoint .note').hidden);
  const text = await page.locator('#checkpoint .note').textContent();
  assert.ok(text.length > 20 && !/undefined|\[object/.test(text), text);
  assert.equal(await page.evaluate(() => tw.state.source.kind), 'lesson');
  assert.deepEqual(page.foreign, []);
  await page.context().close();
});
