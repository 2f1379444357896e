// Rows 4, 5, 6: sampling points that can be dragged, the generated kernel, every mechanism as one matrix.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ask, close, done, number, open } from './helpers.mjs';

const ZERO = Array.from({ length: 9 }, () => [0, 0]);
const shift = (tap, axis, by) => ZERO.map((pair, i) => (i === tap ? pair.map((x, a) => (a === axis ? by : x)) : pair));
const panelJson = (page, id) => page.evaluate((id) => tw.panels.find((panel) => panel.id === id).json(), id);

/** The parameters of what the deformable panel shows, with other offsets. */
const question = (page, offsets) =>
  page.evaluate((offsets) => ({ scene: tw.data.scene, query: tw.parts.queryIn(tw.data.scene), target: tw.state.target, offsets }), offsets);

/** Waits until the panel's numbers are those of offset `at` of the chosen point; answers {loss, grad: [dy, dx]}. */
async function shown(page, axis, at) {
  await page.waitForFunction(
    ([axis, at]) => {
      const json = tw.panels.find((panel) => panel.id === 'deformable').json();
      return json && Math.abs(json.deformable.taps[tw.state.tap].offset[axis] - at) < 1e-9;
    },
    [axis, at],
  );
  const [loss, dy, dx] = await page.evaluate(() =>
    ['[data-loss]', '[data-grad="0"]', '[data-grad="1"]'].map((at) => document.querySelector('#deformable ' + at).textContent),
  );
  return { loss: number(loss), grad: [number(dy), number(dx)] };
}

/** A point whose gradient along x jumps visibly at offset 0, and what the engine says left and right of it. */
async function kink(page) {
  let best = { jump: 0 };
  for (let tap = 0; tap < 9; tap++) {
    const [left, right] = await Promise.all([-0.05, 0.05].map(async (by) => ask('deformable', await question(page, shift(tap, 1, by)))));
    const jump = Math.abs(left.taps[tap].grad[1] - right.taps[tap].grad[1]);
    if (jump > best.jump) best = { tap, jump };
  }
  assert.ok(best.jump > 0.01, 'this scene has a kink');
  return best;
}

/** Asserts that the loss goes on and its slope jumps from `a` (left) to `b` (right), and that it is steady to `c`. */
function kinked(a, b, c, jump) {
  assert.ok(
    Math.abs(a.loss - b.loss) <= 0.1 * Math.max(Math.abs(a.grad[1]), Math.abs(b.grad[1])) + 2e-6,
    `the loss has no step: ${a.loss} and ${b.loss}`,
  );
  close(Math.abs(a.grad[1] - b.grad[1]), jump, 'the jump of the gradient');
  assert.ok(Math.abs(b.grad[1] - c.grad[1]) < 0.5 * jump, `inside of a cell the gradient is steady: ${b.grad[1]} and ${c.grad[1]}`);
}

async function begin(page) {
  await page.locator('#deformable').scrollIntoViewIfNeeded();
  await page.waitForSelector('#deformable [data-loss]');
  const found = await kink(page);
  await page.evaluate((tap) => tw.set({ offsets: new Array(18).fill(0), tap, axis: 1 }), found.tap);
  await shown(page, 1, 0);
  return found;
}

test('a point dragged by mouse across an integer line: the loss is continuous, the gradient jumps', async () => {
  const page = await open();
  const { tap, jump } = await begin(page);
  const point = page.locator(`.deform-point[data-tap="${tap}"]`);
  await page.locator('.deform-picture').scrollIntoViewIfNeeded();
  const picture = await page.locator('.deform-picture').boundingBox();
  const cell = picture.width / 9;
  const dot = await point.locator('.dot').boundingBox();
  const [x, y] = [dot.x + dot.width / 2, dot.y + dot.height / 2];
  await page.mouse.move(x, y);
  await page.mouse.down();
  const at = {};
  for (const by of [-0.05, 0.05, 0.1]) {
    await page.mouse.move(x + by * cell, y, { steps: 4 });
    at[by] = await shown(page, 1, by);
  }
  await page.mouse.up();
  await page.mouse.move(x + 3 * cell, y);
  await shown(page, 1, 0.1);
  kinked(at[-0.05], at[0.05], at[0.1], jump);
  // What is shown is what the engine computes, and the gradient is the slope of the loss.
  const [here, next] = await Promise.all([0.1, 0.1002].map(async (by) => ask('deformable', await question(page, shift(tap, 1, by)))));
  close(at[0.1].loss, here.loss, 'the loss');
  close(at[0.1].grad[1], here.taps[tap].grad[1], 'the gradient');
  assert.ok(Math.abs((next.loss - here.loss) / 0.0002 - here.taps[tap].grad[1]) < 1e-4, 'the gradient is the slope');
  // Where it was dragged is in the address; Reset goes back to what the query predicts.
  await page.waitForFunction(() => location.hash.includes('offsets='));
  await page.getByRole('button', { name: 'Reset the points' }).click();
  const predicted = (await ask('deformable', await question(page, null))).taps[tap].offset[1];
  await shown(page, 1, predicted);
  await done(page);
});

test('a point moved by arrow keys across an integer line, in steps of 0.05', async () => {
  const page = await open();
  const { tap, jump } = await begin(page);
  const query = await page.evaluate(() => tw.state.query);
  await page.locator(`.deform-point[data-tap="${tap}"]`).focus();
  await page.keyboard.press('ArrowLeft');
  const left = await shown(page, 1, -0.05);
  await page.keyboard.press('ArrowRight');
  await page.keyboard.press('ArrowRight');
  const right = await shown(page, 1, 0.05);
  await page.keyboard.press('ArrowRight');
  const further = await shown(page, 1, 0.1);
  kinked(left, right, further, jump);
  await page.keyboard.press('ArrowDown');
  await shown(page, 0, 0.05);
  assert.equal(await page.evaluate(() => tw.state.axis), 0, 'the chart follows the axis moved along');
  assert.deepEqual(await page.evaluate(() => tw.state.query), query, 'the query stays');
  await done(page);
});

test('a point dragged by a finger, and the chart that shows the kink', async () => {
  const page = await open('', { hasTouch: true, viewport: { width: 390, height: 844 } });
  const { tap } = await begin(page);
  await page.locator('.deform-picture').scrollIntoViewIfNeeded();
  const cell = (await page.locator('.deform-picture').boundingBox()).width / 9;
  const dot = await page.locator(`.deform-point[data-tap="${tap}"] .dot`).boundingBox();
  const finger = await page.context().newCDPSession(page);
  // Fingers are told in whole points.
  const [x, y] = [Math.round(dot.x + dot.width / 2), Math.round(dot.y + dot.height / 2)];
  const touch = (type, by) => finger.send('Input.dispatchTouchEvent', { type, touchPoints: type === 'touchEnd' ? [] : [{ x: x + by, y }] });
  await touch('touchStart', 0);
  for (const by of [12, 30, 48]) await touch('touchMove', by);
  await touch('touchEnd', 48);
  await shown(page, 1, Number((48 / cell).toFixed(2)));
  await page.waitForFunction(() => {
    const { scan } = tw.panels.find((panel) => panel.id === 'deformable').json();
    return scan && scan.tap === tw.state.tap && scan.axis === 1;
  });
  const { scan } = await panelJson(page, 'deformable');
  const step = scan.offset[1] - scan.offset[0];
  const slopes = scan.loss.slice(1).map((loss, i) => (loss - scan.loss[i]) / step);
  const steepest = Math.max(...scan.grad.map(Math.abs));
  slopes.forEach((slope, i) => assert.ok(Math.abs(slope) <= 1.01 * steepest + 1e-9, `no step at ${scan.offset[i]}`));
  // Jumps of the gradient: at integers only.
  scan.grad.slice(1).forEach((grad, i) => {
    const crosses = Math.floor(scan.offset[i + 1] + 1e-9) !== Math.floor(scan.offset[i] + 1e-9);
    if (!crosses) assert.ok(Math.abs(grad - scan.grad[i]) < 0.1 * steepest, `no jump between ${scan.offset[i]} and ${scan.offset[i + 1]}`);
  });
  // The drawn line is broken at the integers.
  const pens = await page.locator('.deform-charts .chart').nth(1).locator('path.line').getAttribute('d');
  assert.ok(pens.split('M').length > 4, 'the gradient is drawn in pieces');
  await done(page);
});

test('the four bilinear weights are those of the formula and sum to 1', async () => {
  const page = await open();
  await begin(page);
  await page.evaluate(() => tw.set({ offsets: tw.state.offsets.map((_, i) => (i % 2 ? 0.25 : 0.4)) }));
  await shown(page, 1, 0.25);
  const weights = await page.locator('.deform-weights tbody td:last-child').allTextContents();
  [0.6 * 0.75, 0.6 * 0.25, 0.4 * 0.75, 0.4 * 0.25, 1].forEach((expected, i) => close(number(weights[i]), expected, `weight ${i}`));
  const labels = await page.locator('.deform-corner text').allTextContents();
  assert.deepEqual(labels, ['0.450', '0.150', '0.300', '0.100']);
  await done(page);
});

test('the generated kernel is the engine\u2019s, sums to 1 and moves with the query, by mouse and keyboard', async () => {
  const page = await open();
  await page.locator('#dynamic').scrollIntoViewIfNeeded();
  const cells = (i) => page.locator('#dynamic .dynamic-pictures svg.kernel').nth(i).locator('text').allTextContents();
  const kernels = new Set();
  const overview = page.locator('#dynamic .overview .map-frame');
  for (const move of [null, 'ArrowRight', 'ArrowDown', 'ArrowDown', 'click']) {
    if (move === 'click') await overview.click({ position: { x: 30, y: 100 } });
    else if (move) await overview.press(move);
    const query = await page.evaluate(() => tw.state.query);
    await page.waitForFunction((query) => {
      const json = tw.panels.find((panel) => panel.id === 'dynamic').json();
      return json && json.dynamic.query.join() === query.join();
    }, query);
    const answer = await ask('dynamic', await page.evaluate(() => ({ scene: tw.data.scene, query: tw.state.query })));
    assert.deepEqual(
      await cells(1),
      answer.kernel.map((x) => x.toFixed(4)),
    );
    assert.deepEqual(
      await cells(2),
      answer.static.map((x) => x.toFixed(4)),
    );
    close(
      answer.kernel.reduce((a, b) => a + b),
      1,
      'the sum',
    );
    for (const which of ['generated', 'static']) assert.equal(await page.locator(`[data-sum=${which}]`).textContent(), '1.000000');
    kernels.add((await cells(1)).join());
  }
  assert.ok(kernels.size > 1, 'other content, other kernel');
  const before = await page.evaluate(() => ({ scene: tw.data.scene, query: tw.state.query }));
  await page.getByRole('button', { name: 'Go to a cell of other content' }).click();
  const after = await page.evaluate(() => tw.state.query);
  assert.notDeepEqual(after, before.query);
  await done(page);
});

test('multiply-adds and parameters are the engine\u2019s; for E1 also those counted by hand', async () => {
  const page = await open('size=8&query=2,3');
  await page.locator('#matrix').scrollIntoViewIfNeeded();
  const codes = await page.evaluate(() => tw.data.info.mechanisms.map((m) => m.code));
  await page.waitForFunction((count) => document.querySelectorAll('.matrix-table tbody tr').length === count, codes.length, {
    timeout: 60000,
  });
  const scene = await page.evaluate(() => tw.data.scene);
  for (const mechanism of codes) {
    const answer = await ask('matrix', { scene, mechanism });
    const row = page.locator(`.matrix-table tbody tr[data-code="${mechanism}"] td`);
    const digits = (text) => Number(text.replace(/\D/g, ''));
    assert.equal(digits(await row.nth(1).textContent()), answer.flops, `multiply-adds of ${mechanism}`);
    assert.equal(digits(await row.nth(2).textContent()), answer.parameters, `parameters of ${mechanism}`);
  }
  // E1 on N = 64 places with C = 32 channels: four products with C x C matrices, then N x N dot products and sums.
  const [n, c] = [64, 32];
  await page.locator('.matrix-small[data-code="1000"]').click();
  assert.equal(
    await page.locator('#matrix [data-flops]').first().textContent(),
    `${(4 * n * c * c + 2 * n * n * c).toString().replace(/(\d{3})$/, '\u2009$1')}`,
  );
  const parts = await page.locator('#matrix [data-part]').evaluateAll((rows) => rows.map((row) => Number(row.dataset.part)));
  assert.equal(
    parts.reduce((a, b) => a + b, 0),
    4 * n * c * c + 2 * n * n * c,
    'the parts add up',
  );
  await done(page);
});

test('the matrix: its cells on hover, the row of the query, another mechanism by keyboard, a table that sorts', async () => {
  const page = await open('size=8&query=2,3');
  await page.locator('#matrix').scrollIntoViewIfNeeded();
  const json = () => panelJson(page, 'matrix');
  const ready = (code) =>
    page.waitForFunction(
      (code) => {
        const found = tw.panels.find((panel) => panel.id === 'matrix').json();
        return found && found.matrices[code];
      },
      code,
      { timeout: 60000 },
    );
  const codes = await page.evaluate(() => tw.data.info.mechanisms.map((m) => m.code));
  await ready(codes[codes.length - 1]);
  const { matrices } = await json();
  const frame = page.locator('.matrix-large .map-frame');
  await frame.scrollIntoViewIfNeeded();
  const box = await frame.boundingBox();
  const [q, k] = [19, 44];
  await page.mouse.move(box.x + ((k + 0.5) / 64) * box.width, box.y + ((q + 0.5) / 64) * box.height);
  const tip = await page.locator('#tip').textContent();
  assert.ok(tip.includes('query 19: row 2, column 3') && tip.includes('key 44: row 5, column 4'), tip);
  close(number(tip.match(/weight ([\d.]+)/)[1]), matrices['1111'].weights[64 * q + k], 'the weight');
  // The marked row is the softmax that the maps above show at this query.
  const row = matrices['1111'].weights.slice(64 * q, 64 * q + 64);
  const maps = await page.evaluate(() => tw.data.attend.weights);
  row.forEach((weight, i) => close(weight, maps[i], `key ${i}`));
  for (const code of codes.filter((code) => /^[01]{4}$/.test(code))) {
    for (let i = 0; i < 64; i++)
      close(
        matrices[code].weights.slice(64 * i, 64 * i + 64).reduce((a, b) => a + b),
        1,
        `row ${i} of ${code}`,
      );
  }
  await page.locator('.matrix-small[data-code="dynamic"]').focus();
  await page.keyboard.press('Enter');
  assert.equal(await page.evaluate(() => tw.state.mech), 'dynamic');
  assert.equal(await page.locator('.matrix-small[aria-pressed=true]').getAttribute('data-code'), 'dynamic');
  const column = () =>
    page.locator('.matrix-table tbody td[data-flops]').evaluateAll((cells) => cells.map((cell) => Number(cell.dataset.flops)));
  const sort = page.locator('.matrix-table').getByRole('button', { name: 'multiply-adds' });
  await sort.click();
  assert.deepEqual(
    await column(),
    (await column()).slice().sort((a, b) => a - b),
  );
  await sort.press('Enter');
  assert.deepEqual(
    await column(),
    (await column()).slice().sort((a, b) => b - a),
  );
  assert.equal(await page.locator('.matrix-table th[aria-sort]').getAttribute('aria-sort'), 'descending');
  await done(page);
});
