// Row 11: painted cells, a picture, a sentence; what is painted reaches the maps and the address.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ask, close, done, open, settled } from './helpers.mjs';

/** A PNG of `width` x `height` cells of the given colour function, made by the browser itself. */
const picture = (page, width, height) =>
  page.evaluate(
    async ([width, height]) => {
      const canvas = document.createElement('canvas');
      Object.assign(canvas, { width, height });
      const context = canvas.getContext('2d');
      for (let y = 0; y < height; y++) {
        for (let x = 0; x < width; x++) {
          context.fillStyle = x < width / 2 ? 'rgb(255,0,0)' : 'rgb(0,0,255)';
          context.fillRect(x, y, 1, 1);
        }
      }
      const blob = await new Promise((made) => canvas.toBlob(made, 'image/png'));
      return [...new Uint8Array(await blob.arrayBuffer())];
    },
    [width, height],
  );

const cellOf = (page, index) => page.evaluate((i) => [...tw.data.scene.rgb.slice(3 * i, 3 * i + 3), tw.data.scene.arrows[i]], index);
const brush = (page, name) => page.getByRole('radio', { name, exact: true }).check();

/** The maps' weights are the engine's for the scene as painted. */
async function mapsFollow(page) {
  await settled(page);
  const params = await page.evaluate(() => ({
    source: tw.state.source,
    scene: tw.data.scene,
    head: 0,
    terms: tw.state.terms,
    query: tw.state.query,
    target: tw.state.target,
  }));
  const { weights } = await ask('attend', params);
  const shown = await page.evaluate(() => tw.data.attend.weights);
  weights.forEach((weight, k) => close(shown[k], weight, `key ${k}`));
  return shown;
}

async function begin(page) {
  const painter = page.locator('.painter');
  await painter.scrollIntoViewIfNeeded();
  const box = await painter.boundingBox();
  return (row, column, size) => [box.x + ((column + 0.5) / size) * box.width, box.y + ((row + 0.5) / size) * box.height];
}

test('cells painted by dragging the mouse reach the maps and the address, and can be undone', async () => {
  const page = await open('size=8&query=3,3&terms=1000');
  const before = await mapsFollow(page);
  const at = await begin(page);
  await brush(page, 'paint orange');
  await page.mouse.move(...at(1, 1, 8));
  await page.mouse.down();
  // One jump across five cells: no gaps.
  await page.mouse.move(...at(1, 6, 8));
  await page.mouse.up();
  for (let x = 1; x <= 6; x++) assert.deepEqual((await cellOf(page, 8 + x)).slice(0, 3), [240, 140, 30], `cell ${x}`);
  await brush(page, 'draw an arrow right');
  await page.mouse.click(...at(3, 3, 8));
  assert.equal((await cellOf(page, 27))[3], 2);
  const after = await mapsFollow(page);
  assert.ok(
    after.some((weight, k) => Math.abs(weight - before[k]) > 1e-3),
    'the map changed',
  );
  await page.waitForFunction(() => location.hash.slice(1) === tw.hash(tw.state));
  const again = await open((await page.evaluate(() => location.hash)).slice(1));
  assert.deepEqual(await again.evaluate(() => tw.data.scene), await page.evaluate(() => tw.data.scene), 'a new tab shows the same');
  await done(again);
  // Eraser, undo, clear.
  await brush(page, 'eraser: back to the scene');
  await page.mouse.click(...at(1, 1, 8));
  const original = await ask('scene', { name: 'arrows', size: 8, seed: 1 });
  assert.deepEqual((await cellOf(page, 9)).slice(0, 3), original.rgb.slice(27, 30));
  await page.getByRole('button', { name: 'Undo' }).click();
  assert.deepEqual((await cellOf(page, 9)).slice(0, 3), [240, 140, 30]);
  await page.getByRole('button', { name: 'Clear what I painted' }).click();
  assert.deepEqual(await page.evaluate(() => tw.data.scene), original);
  await done(page);
});

test('cells painted by keyboard and by a finger', async () => {
  const page = await open('size=8&query=3,3', { hasTouch: true });
  // Others speak too: all that was said is kept.
  await page.evaluate(() => {
    window.said = [];
    new MutationObserver(() => said.push(document.getElementById('live').textContent)).observe(document.getElementById('live'), {
      childList: true,
    });
  });
  await brush(page, 'paint purple');
  await page.locator('.painter').focus();
  await page.keyboard.press('ArrowDown');
  await page.keyboard.press('ArrowRight');
  await page.keyboard.press('Space');
  await page.keyboard.press('Shift+ArrowRight');
  for (const i of [9, 10]) assert.deepEqual((await cellOf(page, i)).slice(0, 3), [130, 60, 170]);
  assert.equal(await page.evaluate(() => tw.state.painted.length), 2);
  assert.ok(
    (await page.evaluate(() => said)).some((text) => text.startsWith('row 1, column 2: #823caa')),
    'said to screen readers',
  );
  await page.keyboard.press('Control+z');
  assert.equal(await page.evaluate(() => tw.state.painted.length), 1);
  assert.deepEqual(await page.evaluate(() => tw.state.query), [3, 3], 'the query stays');
  const at = await begin(page);
  const finger = await page.context().newCDPSession(page);
  const touch = (type, row, column) => {
    const [x, y] = at(row, column, 8).map(Math.round);
    return finger.send('Input.dispatchTouchEvent', { type, touchPoints: type === 'touchEnd' ? [] : [{ x, y }] });
  };
  const scrolled = await page.evaluate(() => scrollY);
  await touch('touchStart', 5, 2);
  await touch('touchMove', 6, 2);
  await touch('touchMove', 7, 2);
  await touch('touchEnd', 7, 2);
  await page.waitForFunction(() => tw.state.painted.length === 4);
  for (const i of [42, 50, 58]) assert.deepEqual((await cellOf(page, i)).slice(0, 3), [130, 60, 170]);
  assert.equal(await page.evaluate(() => scrollY), scrolled, 'painting does not scroll');
  await mapsFollow(page);
  await done(page);
});

test('a built-in scene, its size and seed; a blank sheet', async () => {
  const page = await open();
  const scenes = await page.evaluate(() => tw.data.info.scenes.map((s) => s.name));
  await page.locator('#input-scene').selectOption(scenes[2]);
  await page.getByRole('radio', { name: '8 by 8 cells' }).check();
  await page.locator('#input-seed').fill('5');
  await page.locator('#input-seed').press('Enter');
  await page.waitForFunction(() => tw.data.scene.height === 8);
  await settled(page);
  assert.deepEqual(await page.evaluate(() => tw.data.scene), await ask('scene', { name: scenes[2], size: 8, seed: 5 }));
  await page.getByRole('button', { name: 'Blank sheet' }).click();
  assert.deepEqual(await page.evaluate(() => new Set(tw.data.scene.rgb).size), 1);
  await mapsFollow(page);
  await done(page);
});

test('a PNG becomes the scene, by the engine; what is no picture is refused kindly', async () => {
  const page = await open('size=8&query=0,0&terms=1000');
  await page
    .locator('#input-picture')
    .setInputFiles({ name: 'halves.png', mimeType: 'image/png', buffer: Buffer.from(await picture(page, 64, 32)) });
  await page.waitForFunction(() => tw.state.own !== null);
  const scene = await page.evaluate(() => tw.data.scene);
  assert.equal(scene.width, 8);
  assert.deepEqual(scene.rgb.slice(0, 3), [255, 0, 0]);
  assert.deepEqual(scene.rgb.slice(3 * 7, 3 * 8), [0, 0, 255]);
  const weights = await mapsFollow(page);
  assert.ok(weights[1] > 10 * weights[6], 'red looks at red');
  await page.locator('#input-picture').setInputFiles({ name: 'no.png', mimeType: 'image/png', buffer: Buffer.from('not a picture') });
  await page.waitForFunction(() => !document.querySelector('#input .note').hidden);
  page.faults.length = 0;
  assert.deepEqual(await page.evaluate(() => tw.data.scene), scene, 'the scene stays');
  await done(page);
});

test('a typed sentence becomes the text of the page', async () => {
  const page = await open();
  await page.locator('#input-sentence').fill('the old man sees a small boat');
  await page.locator('#input-sentence').press('Enter');
  assert.equal(await page.evaluate(() => tw.state.text), 'the old man sees a small boat');
  await page.waitForFunction(() => decodeURIComponent(location.hash).includes('text=the old man'));
  page.faults.length = 0;
  await done(page);
});
