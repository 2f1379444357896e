// Row 7: a probe trained live. Same seed, same curve, bit for bit.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ask, close, done, open } from './helpers.mjs';

const runs = (page) => page.evaluate(() => (tw.panels.find((panel) => panel.id === 'training').json() || { runs: [] }).runs);
const atStep = (page, n) => page.waitForSelector(`#training [data-step="${n}"]`);
const fingerprint = (page) => page.locator('#training [data-fingerprint]').getAttribute('data-fingerprint');
const button = (page, name) => page.locator('#training').getByRole('button', { name, exact: true });

async function begin(page) {
  await page.locator('#training').scrollIntoViewIfNeeded();
  const tasks = await page.evaluate(() => tw.data.info.tasks.map((t) => t.name));
  await page.locator('#train-task').selectOption(tasks[0]);
  await page.locator('#train-mechanism').selectOption('1000');
  return tasks[0];
}

test('the same seed gives the same curve, another one another; the fingerprint shows it', async () => {
  const page = await open();
  const task = await begin(page);
  const three = async () => {
    for (let i = 0; i < 3; i++) {
      await button(page, 'One step').click();
      await atStep(page, i + 1);
    }
    return fingerprint(page);
  };
  const first = await three();
  assert.match(first, /^[0-9a-f]{16}$/);
  await button(page, 'Reset').click();
  await page.waitForFunction(() => document.querySelector('.train-status').textContent.includes('Step 0 of'));
  assert.equal(await three(), first);
  assert.equal(await page.locator('#training [data-twin]').getAttribute('data-twin'), 'same');
  const [a, b] = await runs(page);
  assert.deepEqual(a.losses, b.losses);
  assert.deepEqual(a.accuracies, b.accuracies);
  assert.notEqual(a.session, b.session, 'it was trained anew');
  // The curve is the engine's, however many steps are asked for at once.
  const { session, steps } = await ask('train', { action: 'new', task, mechanism: '1000', seed: 1 });
  const answer = await ask('train', { action: 'step', session, count: 3 });
  assert.deepEqual(a.losses, answer.losses);
  assert.equal(a.steps, steps);
  await page.locator('#train-seed').fill('2');
  await page.locator('#train-seed').press('Enter');
  assert.notEqual(await three(), first);
  await page.waitForFunction(() => location.hash.includes('trainSeed=2'));
  await done(page);
});

test('play and pause by keyboard; the curves grow, and stand still while it pauses', async () => {
  const page = await open();
  await begin(page);
  await button(page, 'Play').focus();
  await page.keyboard.press('Enter');
  await page.waitForFunction(
    () => {
      const shown = document.querySelector('#training [data-step]');
      return shown && Number(shown.dataset.step) >= 30;
    },
    null,
    { timeout: 60000 },
  );
  assert.equal(await button(page, 'Pause').getAttribute('aria-pressed'), 'true');
  await page.keyboard.press('Enter');
  await button(page, 'Play').waitFor();
  // What was under way may still come in.
  await page.waitForSelector('#training:not([aria-busy])');
  const [{ losses }] = await runs(page);
  await page.waitForTimeout(400);
  const [run] = await runs(page);
  assert.equal(run.losses.length, losses.length);
  assert.equal(run.finished, false, 'it was paused, not done');
  const points = await page.locator('.train-charts .chart').first().locator('path.line').first().getAttribute('d');
  assert.equal(points.split(/[ML]/).length - 1, run.losses.length, 'a point for each step');
  assert.equal(await page.locator('#training [data-step]').getAttribute('data-step'), String(run.losses.length));
  await done(page);
});

test('the sample: targets, predictions, and the maps of what was learned', async () => {
  const page = await open();
  await begin(page);
  await button(page, 'One step').click();
  await atStep(page, 1);
  await page.locator('#train-sample').fill('3');
  await page.locator('#train-sample').press('Enter');
  const [{ session }] = await runs(page);
  const sample = await ask('sample', { session, index: 3 });
  await page.waitForFunction((targets) => {
    const picture = document.querySelectorAll('.train-picture')[1];
    return picture && picture.getAttribute('aria-label') === 'Targets: ' + targets;
  }, sample.targets.join(' '));
  assert.equal(await page.locator('.train-picture').nth(2).getAttribute('aria-label'), 'Predictions: ' + sample.predictions.join(' '));
  const counted = sample.targets.filter((target) => target >= 0).length;
  const right = sample.targets.filter((target, i) => target >= 0 && target === sample.predictions[i]).length;
  assert.ok((await page.locator('.train-pictures').textContent()).includes(`${right} of ${counted} right`));
  const wrong = await page.locator('.train-picture').nth(2).locator('line').count();
  assert.ok(wrong >= counted - right, 'wrong ones are struck through, not only coloured');
  // Its attention maps.
  await button(page, 'Look at its attention maps').click();
  assert.deepEqual(await page.evaluate(() => tw.state.source), { kind: 'probe', session, sample: 3 });
  await page.waitForFunction(
    () => tw.data.attend && tw.data.attend.by === 'engine' && tw.data.layer.height === 8 && tw.data.layer.heads > 1,
  );
  const params = await page.evaluate(() => tw.attendParams(tw.state.terms));
  const weights = async () => (await ask('attend', params)).weights;
  const shown = await page.evaluate(() => tw.data.attend.weights);
  (await weights()).forEach((weight, k) => close(shown[k], weight, `key ${k}`));
  // A further step reaches the maps.
  await button(page, 'One step').click();
  await atStep(page, 2);
  const next = await weights();
  await page.waitForFunction(
    (next) => tw.data.attend.by === 'engine' && next.every((weight, k) => Math.abs(weight - tw.data.attend.weights[k]) < 1e-6),
    next,
  );
  await button(page, 'Back to the lesson').click();
  assert.deepEqual(await page.evaluate(() => tw.state.source), { kind: 'lesson' });
  await page.waitForFunction(() => tw.data.layer.height === tw.data.scene.height);
  await done(page);
});
