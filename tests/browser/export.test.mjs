// Row 13: the whole page as one file, SVG and PNG of the panels, JSON of the numbers.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { copyFileSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { ask, attendOf, close, done, hoverCell, number, open, openFile, saved, settled } from './helpers.mjs';

const folder = mkdtempSync(join(tmpdir(), 'termwise-export-'));
const program = process.env.TERMWISE || '../../target/release/termwise';
after(() => rmSync(folder, { recursive: true, force: true }));

async function savedPage(page) {
  const { name, path } = await saved(page, () => page.locator('#save-page').click());
  assert.equal(name, 'termwise-explore.html');
  const file = join(folder, `${Math.random().toString(36).slice(2)}.html`);
  copyFileSync(path, file);
  return file;
}

test('a saved page opens without a network and still computes', async () => {
  const page = await open('terms=0110&query=3,4&size=12&other=0001');
  const answer = await attendOf(page);
  const other = await attendOf(page, { terms: '1001', query: [8, 8] });
  const file = await savedPage(page);
  await done(page);

  const copy = await openFile(file);
  await copy.waitForFunction(() => tw.data.attend);
  assert.equal(await copy.evaluate(() => tw.state.terms), '0110');
  assert.deepEqual(await copy.evaluate(() => tw.state.query), [3, 4]);
  for (const key of [0, 50, 143]) {
    await hoverCell(copy, '[data-map=softmax]', key, 12, 12);
    close(number((await copy.locator('#tip strong').textContent()).split(': ')[1]), answer.weights[key], `key ${key}`);
  }
  // Other terms and another query: computed by the page.
  for (const key of ['1', '2', '3', '4']) await copy.keyboard.press(key);
  await copy.evaluate(() => tw.set({ query: [8, 8] }));
  assert.equal(await copy.evaluate(() => tw.state.terms), '1001');
  const shown = await copy.evaluate(() => tw.data.attend);
  other.weights.forEach((weight, k) => close(shown.weights[k], weight, `key ${k}`));
  other.output.forEach((x, i) => close(shown.output[i], x, `output ${i}`));
  other.backward.grad_energies.forEach((x, k) => close(shown.backward.grad_energies[k], x, `derivative ${k}`));
  assert.match(await copy.locator('.saved').textContent(), /saved page/);
  // What was not kept is said so, in the page.
  await copy.locator('#scene').selectOption({ index: 1 });
  await copy.waitForFunction(() => /did not keep/.test(document.querySelector('#attention [role=alert]').textContent));
  await done(copy);
});

test('a saved page can be saved again', async () => {
  const page = await open('terms=1000');
  const first = await savedPage(page);
  await done(page);
  const copy = await openFile(first);
  await copy.waitForFunction(() => tw.data.attend);
  await copy.keyboard.press('4');
  const second = await savedPage(copy);
  await done(copy);
  const again = await openFile(second);
  await again.waitForFunction(() => tw.data.attend);
  assert.equal(await again.evaluate(() => tw.state.terms), '1001');
  assert.equal((readFileSync(second, 'utf8').match(/id="embedded"/g) || []).length, 1);
  await done(again);
});

test('SVG, PNG and JSON of each panel', async () => {
  const page = await open();
  await page.locator('#compare').scrollIntoViewIfNeeded();
  await page.waitForSelector('.word-energies td');
  const least = { attention: 1500, formula: 1, sixteen: 4000, backward: 500, compare: 750, text: 30 };
  for (const id of Object.keys(least)) {
    const svg = await saved(page, () => page.locator(`#${id} [data-export=SVG]`).click());
    assert.equal(svg.name, `termwise-${id}.svg`);
    const text = readFileSync(svg.path, 'utf8');
    const drawn = await page.evaluate((source) => {
      const parsed = new DOMParser().parseFromString(source, 'image/svg+xml');
      return [parsed.documentElement.nodeName, parsed.querySelectorAll('rect').length, source.includes('NaN')];
    }, text);
    assert.equal(drawn[0], 'svg');
    assert.ok(drawn[1] >= least[id] && !drawn[2], `${id}: ${drawn}`);
    const png = await saved(page, () => page.locator(`#${id} [data-export=PNG]`).click());
    const bytes = readFileSync(png.path);
    assert.deepEqual([...bytes.subarray(0, 4)], [0x89, 0x50, 0x4e, 0x47], id);
    assert.ok(bytes.readUInt32BE(16) > 600, `${id}: width ${bytes.readUInt32BE(16)}`);
  }
  const answer = await attendOf(page);
  const json = await saved(page, () => page.locator('#attention [data-export=JSON]').click());
  const numbers = JSON.parse(readFileSync(json.path, 'utf8'));
  assert.equal(numbers.panel, 'attention');
  assert.deepEqual(numbers.weights, answer.weights);
  assert.deepEqual(numbers.energies, answer.energies);
  const all = await saved(page, () => page.locator('#save-numbers').click());
  const panels = JSON.parse(readFileSync(all.path, 'utf8')).panels;
  assert.deepEqual(panels.attention.sum, answer.sum);
  await done(page);
});

test('the page that the command writes works without a network', async () => {
  const file = join(folder, 'command.html');
  execFileSync(program, ['explore', '--export', file, ...(process.env.ASSETS ? ['--assets', process.env.ASSETS] : [])], {
    stdio: 'ignore',
  });
  const page = await openFile(file);
  await page.waitForFunction(() => tw.data.attend && document.querySelector('.word-energies td'));
  await page.waitForFunction(() => document.querySelector('.badge').dataset.status === 'PASS', null, { timeout: 10000 });
  // Every panel has come near the screen once.
  for (const id of await page.evaluate(() => tw.panels.map((panel) => panel.id))) {
    await page.locator(`#${id}`).scrollIntoViewIfNeeded();
    await page.waitForTimeout(150);
  }
  const notes = await page.locator('.note:not([hidden])').allTextContents();
  assert.deepEqual(notes, []);
  const answer = await ask('attend', await page.evaluate(() => tw.attendParams('0110')));
  await page.keyboard.press('1');
  await page.keyboard.press('4');
  const weights = await page.evaluate(() => tw.data.attend.weights);
  answer.weights.forEach((weight, k) => close(weights[k], weight, `key ${k}`));
  // Every block and head of the example sentence is there.
  for (const block of await page.locator('#block option').evaluateAll((options) => options.map((option) => option.value))) {
    await page.locator('#block').selectOption(block);
    await page.locator('#text-head').selectOption({ index: 1 });
    await page.waitForFunction((name) => tw.panels.find(({ id }) => id === 'text').json().block === name && tw.state.textHead === 1, block);
    assert.equal(await page.locator('#text .note:not([hidden])').count(), 0, block);
  }
  await page.locator('#attention .provenance a').first().click();
  assert.match(await page.locator('dialog pre').textContent(), /fn /);
  await page.keyboard.press('Escape');
  const again = await savedPage(page);
  await done(page);
  const copy = await openFile(again);
  await copy.waitForFunction(() => tw.data.attend && tw.state.terms === '0110');
  assert.match(await copy.locator('meta[http-equiv]').getAttribute('content'), /default-src 'none'/);
  await done(copy);
});
