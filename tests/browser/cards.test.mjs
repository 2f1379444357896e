// Row 10: predict, then reveal. The answer is hidden until chosen, and the numbers bear each explanation out.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { done, open, settled } from './helpers.mjs';

const answer = (page) => page.locator('#cards .quiz-answer');
const revealed = (page) => page.waitForFunction(() => Boolean(document.querySelector('#cards .quiz-answer').dataset.holds));
const card = (page, field) => page.evaluate((field) => tw.cards[tw.state.card][field], field);

test('the answer is hidden until one is chosen; choosing sets the page to the case', async () => {
  const page = await open();
  await page.locator('#cards').scrollIntoViewIfNeeded();
  const own = await page.evaluate(() => ({ terms: tw.state.terms, scene: tw.data.scene, query: tw.state.query }));
  const right = (await card(page, 'choices'))[await card(page, 'answer')];
  assert.equal(await answer(page).isVisible(), false);
  assert.equal(await answer(page).textContent(), '', 'nothing to read in the page\u2019s text either');
  assert.equal(await page.locator('.quiz-choice.answer').count(), 0);
  const show = page.getByRole('button', { name: 'Show the answer' });
  assert.equal(await show.isDisabled(), true);
  // A wrong one.
  const wrong = ((await card(page, 'answer')) + 1) % 4;
  await page.locator('.quiz-choices input').nth(wrong).check();
  assert.equal(await answer(page).textContent(), '', 'picked, not yet asked for');
  const before = await card(page, 'before');
  assert.equal(await page.evaluate(() => tw.state.terms), before.terms, 'the page shows the case');
  assert.deepEqual(await page.evaluate(() => tw.state.own), [8, 8]);
  await show.click();
  await revealed(page);
  assert.ok((await answer(page).textContent()).includes('Not so. The answer: ' + right));
  assert.equal(await page.evaluate(() => tw.state.terms), (await card(page, 'after')).terms, 'the page shows the change');
  assert.equal(await page.locator('.quiz-choices input:enabled').count(), 0, 'an answer stands');
  assert.equal(await page.locator('.quiz-score').textContent(), 'Score: 0 of 1 right');
  await page.getByRole('button', { name: 'Back to my own case' }).click();
  await page.waitForFunction((size) => tw.data.scene.height === size, own.scene.height);
  assert.deepEqual(await page.evaluate(() => ({ terms: tw.state.terms, scene: tw.data.scene, query: tw.state.query })), own);
  await done(page);
});

test('every card, by keyboard alone: what it says is what the numbers say', async () => {
  const page = await open();
  const count = await page.evaluate(() => tw.cards.length);
  assert.ok(count >= 10, `${count} cards`);
  assert.equal(await page.evaluate(() => new Set(tw.cards.map((c) => c.id)).size), count);
  for (let i = 0; i < count; i++) {
    const next = page.getByRole('button', { name: 'Next card' });
    if (i > 0) {
      await next.focus();
      await page.keyboard.press('Enter');
    }
    const id = await card(page, 'id');
    assert.equal(await answer(page).isVisible(), false, `${id}: hidden`);
    const right = await card(page, 'answer');
    await page.locator('.quiz-choices input').first().focus();
    await page.keyboard.press('Space');
    for (let down = 0; down < right; down++) await page.keyboard.press('ArrowDown');
    await page.keyboard.press('Enter');
    await revealed(page);
    assert.equal(await answer(page).getAttribute('data-holds'), 'true', `${id}: ${await answer(page).textContent()}`);
    assert.ok((await answer(page).textContent()).startsWith('\u2713 Right'), id);
    assert.ok(/\d/.test(await page.locator('.quiz-text').textContent()), `${id} quotes numbers`);
  }
  assert.equal(await page.locator('.quiz-score').textContent(), `Score: ${count} of ${count} right`);
  // The score and the card are in the address.
  await page.waitForFunction(() => location.hash.slice(1) === tw.hash(tw.state));
  const again = await open((await page.evaluate(() => location.hash)).slice(1));
  assert.equal(await again.locator('.quiz-score').textContent(), `Score: ${count} of ${count} right`);
  await again.getByRole('button', { name: 'Start again' }).click();
  assert.equal(await again.locator('.quiz-score').textContent(), 'Score: none answered yet');
  assert.equal(await answer(again).isVisible(), false);
  await done(again);
  await done(page);
});

test('an explanation that comes late shows on no other card', async () => {
  const page = await open();
  await page.locator('#cards').scrollIntoViewIfNeeded();
  let release;
  const held = new Promise((done) => (release = done));
  await page.context().route('**/api/**', async (route) => {
    await held;
    await route.continue();
  });
  const layers = page.waitForRequest(/api\/layer/);
  await page.locator('.quiz-choices input').first().check();
  await page.getByRole('button', { name: 'Show the answer' }).click();
  await layers; // what the explanation computes with is asked for, and not there
  assert.match(await answer(page).textContent(), /Computing/);
  await page.getByRole('button', { name: 'Start again' }).click();
  assert.equal(await answer(page).isVisible(), false);
  assert.equal(await answer(page).textContent(), '');
  release();
  await settled(page);
  await page.locator('.quiz-choices input').first().check();
  assert.equal(await answer(page).textContent(), '', 'a card that was not answered');
  assert.equal(await answer(page).getAttribute('data-holds'), null);
  await done(page);
});

test('an explanation that the numbers do not bear out says so', async () => {
  const page = await open();
  await page.evaluate(() => {
    // The same question of a scene without any red cell.
    tw.cards[0].scene.rgb.fill(120);
  });
  await page.locator('#cards').scrollIntoViewIfNeeded();
  await page.locator('.quiz-choices input').nth(1).check();
  await page.getByRole('button', { name: 'Show the answer' }).click();
  await revealed(page);
  assert.equal(await answer(page).getAttribute('data-holds'), 'false');
  await done(page);
});
