// Rows 4, 5, 7, 10, 11 in a saved page: no engine and no network, and still one's own input.
import assert from 'node:assert/strict';
import { rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { ask, close, done, open, openFile } from './helpers.mjs';

const path = join(tmpdir(), `termwise-page-${process.pid}.html`);
after(() => rm(path, { force: true }));

/** The page saved after three steps of training, opened as a file. */
async function savedPage(hash = '') {
  const page = await open();
  await page.locator('#training').scrollIntoViewIfNeeded();
  for (let i = 1; i <= 3; i++) {
    await page.locator('#training').getByRole('button', { name: 'One step' }).click();
    await page.waitForSelector(`#training [data-step="${i}"]`);
  }
  const fingerprint = await page.locator('#training [data-fingerprint]').getAttribute('data-fingerprint');
  await writeFile(path, await page.evaluate(() => tw.exportPage()));
  await done(page);
  const file = await openFile(path, hash);
  await file.waitForFunction(() => tw.data.attend);
  return { file, fingerprint };
}

const all = (found, expected, what) => expected.forEach((value, i) => close(found[i], value, `${what} ${i}`));

test('painted cells change the maps of a saved page, as the engine would have them', async () => {
  const { file } = await savedPage();
  const painter = file.locator('.painter');
  await painter.scrollIntoViewIfNeeded();
  await file.getByRole('radio', { name: 'paint orange', exact: true }).check();
  await painter.focus();
  await file.keyboard.press('Space');
  await file.getByRole('radio', { name: 'draw an arrow down', exact: true }).check();
  await painter.click({ position: { x: 200, y: 120 } });
  await file.waitForFunction(() => tw.state.painted.length === 2 && tw.data.layer.value[0] > 0.9);
  const shown = await file.evaluate(() => ({
    params: { ...tw.attendParams(tw.state.terms), source: { kind: 'lesson' } },
    attend: tw.data.attend,
    problem: tw.data.problem,
  }));
  assert.equal(shown.problem, null);
  assert.equal(shown.attend.by, 'page');
  const answer = await ask('attend', shown.params);
  all(shown.attend.weights, answer.weights, 'weight');
  all(shown.attend.output, answer.output, 'output');
  all(shown.attend.backward.grad_energies, answer.backward.grad_energies, 'gradient');
  // The convolutions follow too.
  const { scene, query, target } = shown.params;
  const offsets = Array.from({ length: 9 }, (_, i) => [0.3 - 0.2 * i, 0.15 * i]);
  for (const given of [null, offsets]) {
    const [own, engine] = [
      await file.evaluate((params) => tw.api.call('deformable', params), { scene, query, target, offsets: given }),
      await ask('deformable', { scene, query, target, offsets: given }),
    ];
    close(own.loss, engine.loss, 'loss');
    engine.taps.forEach((tap, i) => {
      all(own.taps[i].grad, tap.grad, `gradient of point ${i}`);
      all(own.taps[i].sampled, tap.sampled, `sample ${i}`);
      all(
        own.taps[i].corners.map((c) => c.weight),
        tap.corners.map((c) => c.weight),
        `corner of ${i}`,
      );
    });
  }
  const [own, engine] = [
    await file.evaluate((params) => tw.api.call('dynamic', params), { scene, query }),
    await ask('dynamic', { scene, query }),
  ];
  all(own.kernel, engine.kernel, 'kernel');
  all(own.output, engine.output, 'output');
  await done(file);
});

test('a point is dragged and its kink drawn in a saved page', async () => {
  const { file } = await savedPage();
  await file.locator('#deformable').scrollIntoViewIfNeeded();
  await file.waitForSelector('#deformable [data-loss]');
  const point = file.locator('.deform-point[data-tap="5"]');
  await point.focus();
  await file.keyboard.press('ArrowRight');
  await file.waitForFunction(() => {
    const json = tw.panels.find((panel) => panel.id === 'deformable').json();
    return tw.state.offsets && json && json.scan && Math.abs(json.deformable.taps[5].offset[1] - tw.state.offsets[11]) < 1e-9;
  });
  assert.ok((await file.locator('.deform-charts .chart').count()) === 2);
  await done(file);
});

test('a picture is read, a card answered, the trained curve is kept, and what needs the engine says so', async () => {
  const { file, fingerprint } = await savedPage();
  const bytes = await file.evaluate(async () => {
    const canvas = document.createElement('canvas');
    Object.assign(canvas, { width: 40, height: 20 });
    const context = canvas.getContext('2d');
    context.fillStyle = 'rgb(0,0,255)';
    context.fillRect(0, 0, 40, 20);
    const blob = await new Promise((made) => canvas.toBlob(made, 'image/png'));
    return [...new Uint8Array(await blob.arrayBuffer())];
  });
  await file.locator('#input-picture').setInputFiles({ name: 'blue.png', mimeType: 'image/png', buffer: Buffer.from(bytes) });
  await file.waitForFunction(() => tw.state.own !== null && tw.data.layer.height === 8 && tw.data.layer.width === 16);
  assert.deepEqual(await file.evaluate(() => tw.data.scene.rgb.slice(0, 3)), [0, 0, 255]);
  await file.locator('#input-picture').setInputFiles({ name: 'no.png', mimeType: 'image/png', buffer: Buffer.from('nothing') });
  await file.waitForFunction(() => document.querySelector('#input .note').textContent.includes('no.png: expected a picture'));
  await file.locator('#cards').scrollIntoViewIfNeeded();
  await file.locator('.quiz-choices input').nth(1).check();
  await file.getByRole('button', { name: 'Show the answer' }).click();
  await file.waitForFunction(() => document.querySelector('#cards .quiz-answer').dataset.holds === 'true');
  await file.locator('#training').scrollIntoViewIfNeeded();
  assert.equal(await file.locator('#training [data-fingerprint]').getAttribute('data-fingerprint'), fingerprint);
  assert.equal(await file.locator('#training').getByRole('button', { name: 'Play' }).isDisabled(), true);
  await file.locator('#matrix').scrollIntoViewIfNeeded();
  await file.waitForFunction(
    () => !document.querySelector('#matrix .note').hidden || tw.panels.find((panel) => panel.id === 'matrix').json(),
  );
  await done(file);
});
