// What the browser tests share: one browser, a page that may ask nobody but the server, and the engine's own answers.
import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { after, before } from 'node:test';
import { chromium } from 'playwright-core';

/** The address of the server under test. */
export const ADDRESS = process.env.TERMWISE_URL;
assert.ok(ADDRESS, 'TERMWISE_URL: expected the address of a running `termwise explore`; use tests/browser/run');

const BROWSERS = ['/usr/bin/chromium', '/usr/bin/chromium-browser', '/usr/bin/google-chrome'];
const ARGUMENTS = [
  '--no-sandbox',
  '--disable-gpu',
  '--disable-quic',
  '--no-first-run',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
];

/** SLOW=N: a processor N times slower, and answers that come N times 100 ms late; finds tests that only pass on fast machines. */
const SLOW = Number(process.env.SLOW || 0);

async function pace(context, page) {
  context.setDefaultTimeout(60000);
  if (!SLOW) return;
  const session = await context.newCDPSession(page);
  await session.send('Emulation.setCPUThrottlingRate', { rate: SLOW });
  await context.route(`${ADDRESS}/api/**`, async (route) => {
    await new Promise((done) => setTimeout(done, 100 * SLOW));
    await route.continue().catch(() => {});
  });
}

let browser;
before(async () => {
  const executablePath = process.env.CHROMIUM || BROWSERS.find(existsSync);
  assert.ok(executablePath, `CHROMIUM: expected the path of a browser, found none of ${BROWSERS.join(', ')}`);
  browser = await chromium.launch({ executablePath, args: ARGUMENTS });
});
after(() => browser.close());

/**
 * A fresh page at `hash`, ready and with its numbers from the engine; `options` are those of a browser context.
 * `page.foreign` lists requests to anybody else, `page.faults` errors of its scripts and of its policy.
 */
export async function open(hash = '', options = {}) {
  const context = await browser.newContext({ viewport: { width: 1280, height: 800 }, acceptDownloads: true, ...options });
  const page = await context.newPage();
  Object.assign(page, { foreign: [], faults: [] });
  const watch = (opened) => {
    opened.on('request', (request) => {
      const address = request.url();
      if (!address.startsWith(ADDRESS + '/') && !/^(data|blob):/.test(address)) page.foreign.push(address);
    });
    opened.on('pageerror', (error) => page.faults.push(error.message));
    opened.on('console', (message) => message.type() === 'error' && page.faults.push(message.text()));
  };
  context.on('page', watch);
  watch(page);
  await pace(context, page);
  await page.goto(`${ADDRESS}/${hash ? '#' + hash : ''}`);
  await page.waitForSelector('body[data-ready]');
  await settled(page);
  return page;
}

/** Waits until the numbers shown are the engine's for the state shown. */
export async function settled(page) {
  await page.waitForFunction(() => {
    const now = tw.data.attend;
    return now && now.by === 'engine' && !tw.data.stale;
  });
}

/** A page that is a file: nothing may be fetched, no network at all. */
export async function openFile(path, hash = '', options = {}) {
  const context = await browser.newContext({ viewport: { width: 1280, height: 800 }, ...options });
  const page = await context.newPage();
  Object.assign(page, { foreign: [], faults: [] });
  await context.setOffline(true);
  await context.route(/^(?!file:)/, (route) => {
    page.foreign.push(route.request().url());
    return route.abort();
  });
  page.on('pageerror', (error) => page.faults.push(error.message));
  page.on('console', (message) => message.type() === 'error' && page.faults.push(message.text()));
  await pace(context, page);
  await page.goto('file://' + path + (hash ? '#' + hash : ''));
  await page.waitForSelector('body[data-ready]');
  return page;
}

/** Closes a page and says whether it kept to itself and ran without faults. */
export async function done(page) {
  assert.deepEqual(page.foreign, [], 'requests to others');
  assert.deepEqual(page.faults, [], 'errors in the page');
  await page.context().close();
}

/** The engine's answer, asked by the test itself. */
export async function ask(name, params) {
  const response = await fetch(`${ADDRESS}/api/${name}`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify(params),
  });
  const answer = await response.json();
  assert.ok(response.ok, `${name}: ${answer.error}`);
  return answer;
}

/** The engine's answer for what `page` shows; `changes` replaces parameters. */
export async function attendOf(page, changes = {}) {
  const params = await page.evaluate(() => tw.attendParams(tw.state.terms));
  return ask('attend', { ...params, ...changes });
}

/** The number in a text of the page. */
export const number = (text) => Number(text.replace('\u2212', '-').replace('\u221e', 'Infinity'));

/** Asserts that two numbers agree to 1e-6, of their size where they are large. */
export function close(found, expected, what) {
  assert.ok(Math.abs(found - expected) <= 1e-6 * Math.max(1, Math.abs(expected)), `${what}: expected ${expected}, found ${found}`);
}

/** Moves the pointer onto cell `index` of the map in `card` (a selector). */
export async function hoverCell(page, card, index, width, height) {
  const frame = page.locator(`${card} .map-frame:visible`);
  await frame.scrollIntoViewIfNeeded();
  const box = await frame.boundingBox();
  const [x, y] = [((index % width) + 0.5) / width, (Math.floor(index / width) + 0.5) / height];
  await page.mouse.move(box.x + x * box.width, box.y + y * box.height);
}

/** What a click saves: {name, path}. */
export async function saved(page, click) {
  const [download] = await Promise.all([page.waitForEvent('download'), click()]);
  const path = await download.path();
  // Chromium drops the eleventh download that a page begins within a second. No person is that fast; a test is.
  await page.waitForTimeout(120);
  return { name: download.suggestedFilename(), path };
}
