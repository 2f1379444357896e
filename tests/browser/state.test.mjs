// Rows 14, 15, 16, 17: the address, other hosts, keyboard and screen reader, links to files.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ADDRESS, attendOf, close, done, open, settled } from './helpers.mjs';

test('the address holds the whole state, and a new tab restores it', async () => {
  const page = await open();
  const state = {
    scene: await page.evaluate(() => tw.data.info.scenes[1].name),
    size: 12,
    seed: 7,
    terms: '0110',
    query: [3, 8],
    key: [2, 2],
    other: '1001',
    target: [10, 200, 30],
    painted: [
      [0, 255, 0, 0, 0],
      [13, 1, 2, 3, 2],
    ],
    backward: true,
    theme: 'dark',
    look: 'sum',
    table: 'sum',
  };
  await page.evaluate((patch) => tw.set(patch), state);
  await settled(page);
  await page.waitForFunction(() => location.hash === '#' + tw.hash(tw.state));
  const address = page.url();
  const shown = await page.evaluate(() => [tw.state, tw.data.attend.weights]);
  const tab = await page.context().newPage();
  await tab.goto(address);
  await tab.waitForSelector('body[data-ready]');
  await settled(tab);
  const restored = await tab.evaluate(() => [tw.state, tw.data.attend.weights]);
  assert.deepEqual(restored[0], shown[0]);
  shown[1].forEach((weight, k) => close(restored[1][k], weight, `key ${k}`));
  assert.equal(await tab.evaluate(() => tw.data.scene.rgb.slice(0, 3).join()), '255,0,0');
  assert.equal(await tab.evaluate(() => tw.data.scene.arrows[13]), 2);
  // Back to the first address in the same tab: the defaults again.
  await tab.goto(ADDRESS + '/#');
  await tab.waitForFunction(() => tw.state.terms === '1111' && tw.state.size === 16);
  await done(page);
});

test('an address that makes no sense gives the defaults, and no error', async () => {
  const page = await open('terms=2222&query=99999,1&size=abc&painted=zz%&nothing=1&source=%7B&target=1,2');
  const defaults = await open();
  assert.deepEqual(await page.evaluate(() => tw.state), await defaults.evaluate(() => tw.state));
  await done(page);
  await done(defaults);
});

test('a table for each map, with a caption, by keyboard', async () => {
  const page = await open();
  const answer = await attendOf(page);
  const button = page.locator('[data-map=E4] .table-button');
  await button.focus();
  await page.keyboard.press('Enter');
  const table = page.locator('.tables table');
  assert.match(await table.locator('caption').textContent(), /E4/);
  assert.equal(await table.locator('tbody tr').count(), answer.height);
  assert.equal(await table.locator('tbody td').count(), answer.height * answer.width);
  const cell = await table.locator('tbody tr').nth(2).locator('td').nth(5).textContent();
  assert.ok(
    Math.abs(Number(cell.replace('\u2212', '-')) - answer.energies[3][2 * answer.width + 5]) <
      1e-3 * Math.abs(Number(cell.replace('\u2212', '-'))),
  );
  await page.keyboard.press('Enter');
  assert.equal(await table.count(), 0);
  await done(page);
});

test('screen readers hear what the query looks at; every control has a name', async () => {
  const page = await open();
  await page.locator('.picture .map-frame').focus();
  await page.keyboard.press('ArrowDown');
  await page.waitForFunction(() =>
    /^Query at row \d+, column \d+, terms 1111\. Looks most at row \d+, column \d+ with [\d.]+ per cent;/.test(
      document.getElementById('live').textContent,
    ),
  );
  const nameless = await page.evaluate(() =>
    [...document.querySelectorAll('button, select, input, a, [role=application], table')]
      .filter((node) => {
        if (node.closest('[hidden], [aria-hidden=true]')) return false;
        const label =
          node.getAttribute('aria-label') ||
          node.textContent.trim() ||
          (node.labels && [...node.labels].map((l) => l.textContent).join('')) ||
          node.title;
        return !label;
      })
      .map((node) => node.outerHTML.slice(0, 120)),
  );
  assert.deepEqual(nameless, []);
  const headings = await page.locator('h1').count();
  assert.equal(headings, 1);
  await done(page);
});

test('the first stop of the tab key leads to the maps', async () => {
  const page = await open();
  await page.keyboard.press('Tab');
  assert.equal(await page.evaluate(() => document.activeElement.className), 'skip');
  const before = await page.evaluate(() => tw.hash(tw.state));
  await page.keyboard.press('Enter');
  assert.equal(await page.evaluate(() => document.activeElement.id), 'attention');
  assert.equal(await page.evaluate(() => tw.hash(tw.state)), before);
  await done(page);
});

test('no sideways scrolling at 360 points, light and dark readable, motion reduced', async () => {
  for (const colorScheme of ['light', 'dark']) {
    const page = await open('', { viewport: { width: 360, height: 740 }, colorScheme, reducedMotion: 'reduce' });
    assert.ok(await page.evaluate(() => document.documentElement.scrollWidth <= innerWidth), 'sideways scrolling');
    assert.equal(await page.evaluate(() => getComputedStyle(document.documentElement).scrollBehavior), 'auto');
    assert.equal(await page.evaluate(() => getComputedStyle(document.querySelector('.switch .knob')).transitionDuration), '0s');
    const contrast = await page.evaluate(() => {
      const luminance = (css) => {
        const [r, g, b] = css
          .match(/[\d.]+/g)
          .map(Number)
          .map((x) => x / 255)
          .map((x) => (x <= 0.04045 ? x / 12.92 : ((x + 0.055) / 1.055) ** 2.4));
        return 0.2126 * r + 0.7152 * g + 0.0722 * b;
      };
      const paper = luminance(getComputedStyle(document.body).backgroundColor);
      return [...document.querySelectorAll('h1, h2, p, .switch strong, .legend, button:not([disabled])')]
        .map((node) => {
          const style = getComputedStyle(node);
          const behind = style.backgroundColor === 'rgba(0, 0, 0, 0)' ? paper : luminance(style.backgroundColor);
          const [a, b] = [luminance(style.color), behind];
          return [(Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05), node.outerHTML.slice(0, 80)];
        })
        .filter(([ratio, html]) => ratio < (html.includes('<strong') ? 3 : 4.5));
    });
    assert.deepEqual(contrast, [], colorScheme);
    await done(page);
  }
});

test('the theme can be chosen', async () => {
  const page = await open('', { colorScheme: 'light' });
  const paper = () => page.evaluate(() => getComputedStyle(document.body).backgroundColor);
  const light = await paper();
  await page.locator('#theme').click();
  assert.equal(await paper(), light);
  await page.locator('#theme').click();
  assert.notEqual(await paper(), light);
  await done(page);
});

test('each panel names the file that computes it and the one that checks it', async () => {
  const page = await open();
  const { files } = await page.evaluate(() => tw.data.info);
  for (const id of ['attention', 'backward', 'compare', 'text']) {
    const paths = await page.locator(`#${id} .provenance a`).allTextContents();
    assert.deepEqual(paths, [files[id].source, files[id].check], id);
  }
  await page.locator('#attention .provenance a').first().click();
  assert.match(await page.locator('dialog pre').textContent(), /attention/);
  await page.keyboard.press('Escape');
  await page.locator('dialog').waitFor({ state: 'detached' });
  await page.context().close();
});

test('the page names no other address', async () => {
  const html = await (await fetch(ADDRESS + '/')).text();
  const addresses = [...html.matchAll(/(?:https?:)?\/\/[a-z0-9][a-z0-9.-]*\.[a-z]{2,}[^\s'"<>]*/gi)].map(([found]) => found);
  assert.deepEqual([...new Set(addresses)], ['http://www.w3.org/2000/svg']);
  assert.doesNotMatch(html, /<(script|link|img|iframe)[^>]+(src|href)=["'](?!data:)/i);
});

test('the scale of the maps keeps its order in grey and for every colour vision', async () => {
  const page = await open();
  const luminances = await page.evaluate(() => {
    const linear = (x) => (x / 255 <= 0.04045 ? x / 255 / 12.92 : ((x / 255 + 0.055) / 1.055) ** 2.4);
    const luminance = ([r, g, b]) => 0.2126 * linear(r) + 0.7152 * linear(g) + 0.0722 * linear(b);
    const of = (kind) => Array.from({ length: 33 }, (_, i) => luminance(tw.colour.of(i / 32, [0, 1], kind)));
    return [of('sequential'), of('diverging')];
  });
  luminances[0].slice(1).forEach((x, i) => assert.ok(x > luminances[0][i], `step ${i}`));
  luminances[1].slice(1, 17).forEach((x, i) => assert.ok(x > luminances[1][i], `to the middle ${i}`));
  luminances[1].slice(17).forEach((x, i) => assert.ok(x < luminances[1][16 + i], `from the middle ${i}`));
  await done(page);
});

test('without its engine the page says so and goes on', async () => {
  const page = await open();
  await page.route('**/api/**', (route) => route.abort());
  await page.keyboard.press('1');
  await page.waitForFunction(() => /does not answer/.test(document.querySelector('#attention [role=alert]').textContent));
  assert.equal(await page.evaluate(() => tw.state.terms), '0111');
  const sum = await page.evaluate(() => tw.data.attend.weights.reduce((a, b) => a + b, 0));
  close(sum, 1, 'sum of the shares');
  assert.deepEqual(page.foreign, []);
  await page.context().close();
});
