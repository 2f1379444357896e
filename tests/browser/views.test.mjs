// Rows 8 and 9: two combinations side by side, the backward view.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ask, attendOf, close, done, hoverCell, number, open, settled } from './helpers.mjs';

test('two combinations and their difference', async () => {
  const page = await open('other=0100');
  await page.locator('#compare-terms').selectOption('1010');
  await page.locator('#compare-other').selectOption('0011');
  await settled(page);
  await page.waitForFunction(() => tw.panels.find(({ id }) => id === 'compare').json().second.terms === '0011');
  const [first, second] = await Promise.all(['1010', '0011'].map((terms) => attendOf(page, { terms })));
  const card = (n) => `#compare .card:nth-child(${n})`;
  for (const key of [3, 71, 200]) {
    for (const [n, expected] of [
      [1, first.weights[key]],
      [2, second.weights[key]],
      [3, first.weights[key] - second.weights[key]],
    ]) {
      await hoverCell(page, card(n), key, first.width, first.height);
      close(number((await page.locator('#tip strong').textContent()).split(': ')[1]), expected, `map ${n}, key ${key}`);
    }
  }
  // Both maps have one scale; that of the difference is symmetric.
  const legends = await page
    .locator('#compare .legend')
    .evaluateAll((all) => all.map((legend) => [...legend.querySelectorAll('.min, .max')].map((x) => x.textContent)));
  assert.deepEqual(legends[0], legends[1]);
  assert.equal(legends[2][0].replace('\u2212', ''), legends[2][1]);
  await page.locator('#compare button', { hasText: 'swap' }).focus();
  await page.keyboard.press('Enter');
  assert.deepEqual(await page.evaluate(() => [tw.state.terms, tw.state.other]), ['0011', '1010']);
  await done(page);
});

test('the derivatives in the maps are the engine\u2019s, and those of the loss', async () => {
  const page = await open('terms=1011');
  await page.locator('#target').evaluate((input) => {
    input.value = '#10c820';
    input.dispatchEvent(new Event('input'));
  });
  await settled(page);
  assert.deepEqual(await page.evaluate(() => tw.state.target), [16, 200, 32]);
  const answer = await attendOf(page);
  close(Number(await page.locator('[data-loss]').getAttribute('data-loss')), answer.backward.loss, 'loss');
  await page.locator('#show-backward').click();
  const expected = {
    E1: answer.backward.grad_energies,
    E2: answer.backward.grad_energies.map(() => 0),
    sum: answer.backward.grad_energies,
    softmax: answer.backward.grad_weights,
  };
  for (const [name, values] of Object.entries(expected)) {
    for (const key of [0, 90, 199]) {
      await hoverCell(page, `[data-map=${name}]`, key, answer.width, answer.height);
      const tip = await page.locator('#tip strong').textContent();
      assert.match(tip, /^d loss \/ d /);
      close(number(tip.split(': ')[1]), values[key], `${name}, key ${key}`);
    }
  }
  // What the page computes itself agrees too: an export has nothing else.
  const own = await page.evaluate(() => tw.attend(tw.data.layer, tw.attendParams(tw.state.terms)).backward);
  answer.backward.grad_energies.forEach((x, k) => close(own.grad_energies[k], x, `own, key ${k}`));
  answer.backward.grad_weights.forEach((x, k) => close(own.grad_weights[k], x, `own weight, key ${k}`));
  await page.locator('[data-backward=false]').focus();
  await page.keyboard.press('Enter');
  assert.equal(await page.evaluate(() => tw.state.backward), false);
  await done(page);
});

test('the badge comes from a live check, on request and after a pause', async () => {
  const page = await open();
  const badge = page.locator('.badge');
  await page.waitForFunction(() => document.querySelector('.badge').dataset.status === 'PASS', null, { timeout: 30000 });
  assert.match(await badge.textContent(), /Gradients: PASS \d+ derivatives of .* worst \d/);
  await page.keyboard.press('2');
  assert.notEqual(await badge.getAttribute('data-status'), 'PASS');
  await page.locator('#gradcheck').focus();
  await page.keyboard.press('Enter');
  await page.waitForFunction(() => document.querySelector('.badge').dataset.status === 'PASS', null, { timeout: 30000 });
  const params = await page.evaluate(() => ({ source: tw.state.source, scene: tw.data.scene, terms: tw.state.terms }));
  const answer = await ask('gradcheck', params);
  assert.equal(answer.status, 'PASS');
  assert.ok((await badge.textContent()).includes(`${answer.elements} derivatives`));
  await done(page);
});
