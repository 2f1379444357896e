/*
 * Questions to the engine. In an export there is none: answers are looked up in what the export holds.
 */
(function () {
  'use strict';
  const tw = window.tw;

  const holder = document.getElementById('embedded');
  /** What an export holds: {info, state, layers, answers}; null on the page of the server. */
  tw.embedded = null;
  if (holder && holder.textContent.trim()) {
    try {
      tw.embedded = JSON.parse(holder.textContent);
    } catch {
      tw.embedded = null;
    }
  }

  const sorted = (value) => {
    if (Array.isArray(value)) return value.map(sorted);
    if (value === null || typeof value !== 'object') return value;
    return Object.fromEntries(
      Object.keys(value)
        .sort()
        .map((key) => [key, sorted(value[key])]),
    );
  };
  /** The name under which an export keeps an answer. */
  const keyOf = (name, params) => name + ' ' + JSON.stringify(sorted(params));

  const running = new Map();
  const seen = new Map();
  // How many answers of one kind an export takes along; a layer is large, and an attend is computed from it.
  const KEPT = { attend: 4, layer: 8, matrix: 10, train: 0 };

  function remember(name, key, answer) {
    const limit = name in KEPT ? KEPT[name] : 24;
    const mine = [...seen.keys()].filter((other) => other.startsWith(name + ' ') && other !== key);
    for (const old of mine.slice(0, Math.max(0, mine.length + 1 - limit))) seen.delete(old);
    seen.delete(key);
    if (limit > 0) seen.set(key, answer);
  }

  function embedded(name, key) {
    const { answers = {}, layers = {} } = tw.embedded || {};
    return answers[key] || layers[key] || layers[key.slice(name.length + 1)];
  }

  async function ask(name, request, signal) {
    let response;
    try {
      response = await fetch('/api/' + name, { ...request, signal });
    } catch (error) {
      if (error.name === 'AbortError') throw error;
      tw.api.reachable = false;
      throw new Error('The engine does not answer. Is `termwise explore` still running?');
    }
    tw.api.reachable = true;
    let answer;
    try {
      answer = await response.json();
    } catch (error) {
      if (error.name === 'AbortError') throw error;
      throw new Error(`The engine's answer to "${name}" could not be read (status ${response.status}).`);
    }
    if (!response.ok) throw new Error(answer.error || `The engine refused "${name}" (status ${response.status}).`);
    return answer;
  }

  /** A new question in `slot` makes the one before it there void: its promise fails with an AbortError. */
  function fresh(slot) {
    if (!slot) return undefined;
    if (running.has(slot)) running.get(slot).abort();
    const controller = new AbortController();
    running.set(slot, controller);
    return controller.signal;
  }

  tw.api = {
    /** Whether an engine can be asked (not in an export). */
    online: !tw.embedded && location.protocol !== 'file:',
    reachable: true,
    /** What a saved page can compute itself: {NAME: params => answer, or null where it cannot}. */
    offline: {},
    keyOf,
    /** All answers so far, for an export: [[key, answer], ..]. */
    seen: () => [...seen.entries()],

    /**
     * Asks the engine. `slot` names the place the answer is for (say 'maps'): a later question with the
     * same slot aborts this one. Fails with an Error whose message can be shown.
     */
    async call(name, params, slot) {
      const key = keyOf(name, params);
      const signal = fresh(slot);
      if (!tw.api.online) {
        const answer = embedded(name, key) || (tw.api.offline[name] && tw.api.offline[name](params));
        if (answer) return answer;
        throw new Error('This saved page has no engine and did not keep this answer. Run `termwise explore` to see it.');
      }
      const body = JSON.stringify(params);
      const answer = await ask(name, { method: 'POST', headers: { 'content-type': 'application/json' }, body }, signal);
      remember(name, key, answer);
      return answer;
    },

    /** Sends bytes (a picture, a checkpoint); `query` is what follows '?'. */
    async upload(name, bytes, query, slot) {
      if (!tw.api.online) throw new Error('A saved page has no engine to read files with. Run `termwise explore`.');
      const address = name + (query ? '?' + new URLSearchParams(query) : '');
      return ask(address, { method: 'POST', headers: { 'content-type': 'application/octet-stream' }, body: bytes }, fresh(slot));
    },

    /** What the engine can do. */
    async info() {
      if (!tw.api.online) {
        if (tw.embedded && tw.embedded.info) return tw.embedded.info;
        throw new Error('This file holds no saved page. Open the address that `termwise explore` prints.');
      }
      return ask('info', { method: 'GET' });
    },
  };
})();
