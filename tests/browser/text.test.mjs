// Words: the sentence, its translation, the energies of a word, in the encoder, the decoder and between them.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ask, close, done, number, open } from './helpers.mjs';

/** Waits until the engine's numbers are shown, then gives the layer, the answer asked anew, and what the page has. */
async function shown(page) {
  await page.waitForFunction(() => /by the engine/.test(document.querySelector('#text .difference').textContent));
  const now = await page.evaluate(() => tw.panels.find(({ id }) => id === 'text').json());
  const source = {
    kind: 'text',
    block: now.block,
    text: await page.evaluate(() => tw.state.text || tw.data.info.translator.example),
    translation: now.sentence.translation,
  };
  const answer = await ask('attend', { source, scene: null, head: now.head, terms: now.terms, query: [now.word, 0], target: null });
  // What the page computes itself, for exports, is the same.
  const [, most] = (await page.locator('#text .difference').textContent()).match(/differ by (\S+) at most/);
  assert.ok(Number(most) < 1e-9, `the page's own numbers differ by ${most}`);
  return { now, answer };
}

test('a word\u2019s energies, sum and shares are the engine\u2019s, in every kind of layer', async () => {
  const page = await open();
  await page.locator('#text').scrollIntoViewIfNeeded();
  const blocks = await page.evaluate(() => tw.data.info.translator.blocks);
  assert.ok(blocks.some(({ kind }) => kind === 'cross') && blocks.some(({ name }) => name.startsWith('decoder')), 'blocks of all kinds');
  for (const { name, heads, kind, terms } of blocks) {
    await page.locator('#block').selectOption(name);
    await page.waitForFunction(
      (block) => tw.panels.find(({ id }) => id === 'text').json().block === block && document.querySelector('#text-head').length > 0,
      name,
    );
    await page.locator('#text-head').selectOption(String(heads - 1));
    await page.locator('.word-rows [data-word="2"]').first().click();
    const { now, answer } = await shown(page);
    assert.deepEqual([now.word, now.head], [2, heads - 1], name);
    assert.equal(now.key_words.length, answer.weights.length, name);
    for (const [row, values] of [
      ['sum', answer.sum],
      ['share', answer.weights],
      ...answer.energies.map((energy, i) => [`E${i + 1}`, energy]).filter(([, energy]) => energy),
    ]) {
      for (const key of [0, values.length - 1]) {
        if (answer.visible && !answer.visible[key]) continue;
        const cell = page.locator(`.word-energies [data-row=${row}][data-key="${key}"]`);
        close(Number(await cell.getAttribute('data-value')), values[key], `${name}, ${row} of key ${key}`);
      }
    }
    assert.equal(answer.energies.map((energy) => (energy ? '1' : '0')).join(''), terms, name);
    if (kind === 'cross') assert.match(terms, /^.0.0$/, 'no relative position between two sentences');
    if (answer.visible) {
      const hidden = answer.visible.indexOf(false);
      assert.equal(await page.locator(`.word-energies [data-row=share][data-key="${hidden}"]`).textContent(), '\u2013');
    }
  }
  await done(page);
});

test('hovering a word shows its numbers; terms switch; by keyboard too', async () => {
  const page = await open();
  await page.locator('#text').scrollIntoViewIfNeeded();
  const first = await shown(page);
  await page.locator('.word-energies [data-row=E3][data-key="1"]').hover();
  close(number((await page.locator('#tip strong').textContent()).split(': ')[1]), first.answer.energies[2][1], 'E3');
  close(
    Number(await page.locator('#text .formula [data-share]').getAttribute('data-share')),
    first.answer.weights[1],
    'share in the formula',
  );
  await page.locator('[data-text-term="1"]').focus();
  await page.keyboard.press('Enter');
  assert.equal(await page.evaluate(() => tw.state.textTerms), '1011');
  const second = await shown(page);
  assert.equal(second.now.terms, '1011');
  assert.notDeepEqual(second.answer.weights, first.answer.weights);
  second.answer.weights.forEach((weight, k) => close(second.now.weights[k], weight, `key ${k}`));
  await page.locator('.word-rows [data-word="3"]').focus();
  await page.keyboard.press('Enter');
  assert.equal(await page.evaluate(() => tw.state.word), 3);
  assert.equal(await page.evaluate(() => document.activeElement.dataset.word), '3');
  await done(page);
});

test('another sentence is translated, and the address keeps it', async () => {
  const page = await open();
  await page.locator('#text').scrollIntoViewIfNeeded();
  const example = await page.evaluate(() => tw.data.info.translator.example);
  const words = example.split(' ').slice(0, 3).join(' ');
  await page.locator('#sentence').fill(words);
  await page.locator('#sentence').press('Enter');
  await page.waitForFunction((text) => tw.state.text === text, words);
  const answer = await ask('sentence', { text: words });
  await page.waitForFunction(
    (translation) => document.querySelector('.translation strong').textContent === translation,
    answer.translation,
  );
  await page.waitForFunction(() => location.hash.includes('text='));
  const tab = await page.context().newPage();
  await tab.goto(page.url());
  await tab.waitForSelector('.translation strong');
  assert.equal(await tab.locator('#sentence').inputValue(), words);
  await done(page);
});
