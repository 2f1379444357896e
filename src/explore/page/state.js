/*
 * The state of the page: one plain object, changed by `tw.set` only, mirrored in the address's hash.
 * Whatever differs from its default is in the hash, so that a pasted address restores the page.
 */
(function () {
  'use strict';
  const tw = window.tw;

  const fields = {};
  const listeners = [];
  tw.state = {};

  const base64url = (bytes) => {
    let text = '';
    for (const byte of bytes) text += String.fromCharCode(byte);
    return btoa(text).replace(/\+/g, '-').replace(/\//g, '_').replace(/=+$/, '');
  };
  const bytesOf = (text) => Uint8Array.from(atob(text.replace(/-/g, '+').replace(/_/g, '/')), (c) => c.charCodeAt(0));

  /** How a value is written in the hash. `read` answers undefined for what it cannot read. */
  tw.codec = {
    text: { write: (value) => value, read: (text) => text },
    number: { write: String, read: (text) => (Number.isFinite(Number(text)) ? Number(text) : undefined) },
    flag: { write: (value) => (value ? '1' : '0'), read: (text) => text === '1' },
    /** Numbers, or null. */
    list: {
      write: (value) => (value === null ? '-' : value.join(',')),
      read: (text) => {
        if (text === '-') return null;
        const numbers = text.split(',').map(Number);
        return numbers.every(Number.isFinite) ? numbers : undefined;
      },
    },
    json: { write: (value) => JSON.stringify(value), read: (text) => JSON.parse(text) },
    /** Painted cells, [[index, red, green, blue, arrow], ..]: six bytes each, or four where all follow in order. */
    cells: {
      write: (cells) => {
        const dense = cells.length > 1 && cells.every(([index], i) => index === i);
        const bytes = cells.flatMap(([index, ...rest]) => (dense ? rest : [index >> 8, index & 255, ...rest]));
        return (dense ? 'a' : 'c') + base64url(bytes);
      },
      read: (text) => {
        const [dense, bytes] = [text[0] === 'a', bytesOf(text.slice(1))];
        const stride = dense ? 4 : 6;
        if (bytes.length % stride !== 0 || bytes.length / stride > 1024) return undefined;
        return Array.from({ length: bytes.length / stride }, (_, i) => {
          const at = bytes.slice(i * stride, (i + 1) * stride);
          const [index, rest] = dense ? [i, at] : [256 * at[0] + at[1], at.slice(2)];
          return [index, rest[0], rest[1], rest[2], Math.min(rest[3], 4)];
        });
      },
    },
  };

  /** Adds a field to the state: its default, its codec and, optionally, `valid(value)`. */
  tw.define = (key, value, codec, valid) => {
    fields[key] = { value, codec, valid: valid || (() => true) };
    tw.state[key] = value;
  };

  const same = (a, b) => a === b || JSON.stringify(a) === JSON.stringify(b);

  /** The hash of a state, without '#'. */
  tw.hash = (state) => {
    const parts = [];
    for (const [key, { value, codec }] of Object.entries(fields)) {
      const now = state[key];
      if (!same(now, value)) parts.push(key + '=' + encodeURIComponent(codec.write(now)).replace(/%2C/g, ',').replace(/%3A/g, ':'));
    }
    return parts.join('&');
  };

  /** The fields that a hash holds; what is unknown, unreadable or not valid is left out. */
  tw.unhash = (hash) => {
    const patch = {};
    for (const part of hash.replace(/^#/, '').split('&')) {
      const cut = part.indexOf('=');
      const field = fields[part.slice(0, cut)];
      if (cut < 1 || !field) continue;
      try {
        const value = field.codec.read(decodeURIComponent(part.slice(cut + 1)));
        if (value !== undefined && field.valid(value)) patch[part.slice(0, cut)] = value;
      } catch {
        // An address cut short or mistyped: this field keeps its default.
      }
    }
    return patch;
  };

  /** Calls `listener(state, changed)` after each change; `changed` is a Set of field names. */
  tw.on = (listener) => listeners.push(listener);

  let pending = null;
  /** Tells all listeners that `keys` changed. A change made by a listener is told after the others have heard. */
  tw.notify = (keys) => {
    if (pending) {
      keys.forEach((key) => pending.add(key));
      return;
    }
    let changed = new Set(keys);
    while (changed.size > 0) {
      pending = new Set();
      for (const listener of listeners) {
        try {
          listener(tw.state, changed);
        } catch (error) {
          console.error(error);
        }
      }
      changed = pending;
    }
    pending = null;
  };

  let written = '';
  const write = tw.later(150, () => {
    written = tw.hash(tw.state);
    const address = location.pathname + location.search + (written ? '#' + written : '');
    try {
      history.replaceState(null, '', location.protocol === 'file:' ? '#' + written : address);
    } catch {
      // Browsers limit how often an address may change; the next change writes it.
    }
  });

  /** Changes fields. Unknown fields and those that are not valid are errors of the caller. */
  tw.set = (patch) => {
    const changed = [];
    for (const [key, value] of Object.entries(patch)) {
      if (!fields[key]) throw new Error(`tw.set: no field "${key}"`);
      if (!fields[key].valid(value)) throw new Error(`tw.set: ${key} cannot be ${JSON.stringify(value)}`);
      if (same(tw.state[key], value)) continue;
      tw.state[key] = value;
      changed.push(key);
    }
    if (changed.length === 0) return;
    tw.notify(changed);
    write();
  };

  /** Takes the state from `state` (of an export) and then from the hash; fields not named keep their defaults. */
  tw.restore = (state) => {
    const patch = { ...Object.fromEntries(Object.entries(fields).map(([key, field]) => [key, field.value])) };
    for (const [key, value] of Object.entries(state || {})) if (fields[key] && fields[key].valid(value)) patch[key] = value;
    Object.assign(patch, tw.unhash(location.hash));
    tw.set(patch);
  };
  window.addEventListener('hashchange', () => {
    const hash = location.hash.slice(1);
    // Anchors of the page (#attention) are not states.
    if (hash !== written && (hash === '' || hash.includes('='))) tw.restore(tw.embedded && tw.embedded.state);
  });

  const integer = (from, to) => (x) => Number.isInteger(x) && x >= from && x <= to;
  const place = (x) => Array.isArray(x) && x.length === 2 && x.every(integer(0, 4095));
  const colour = (x) => x === null || (Array.isArray(x) && x.length === 3 && x.every(integer(0, 255)));
  const code = (x) => /^[01]{4}$/.test(x);
  tw.valid = { integer, place, colour, code };

  const { text, number, flag, list, json, cells } = tw.codec;
  tw.define('source', { kind: 'lesson' }, json, (x) => x !== null && typeof x.kind === 'string');
  tw.define('scene', 'arrows', text);
  tw.define('size', 16, number, integer(1, 32));
  tw.define('seed', 1, number, integer(0, 2 ** 32 - 1));
  // A picture of one's own: scene 'own', its [height, width], every cell in `painted`.
  tw.define('own', null, list, (x) => x === null || (x.length === 2 && x.every(integer(1, 32))));
  tw.define('painted', [], cells);
  tw.define('terms', '1111', text, code);
  tw.define('query', [4, 7], list, place);
  tw.define('key', null, list, (x) => x === null || place(x));
  tw.define('head', 0, number, integer(0, 255));
  tw.define('other', '0100', text, code);
  tw.define('target', [230, 60, 50], list, colour);
  tw.define('text', '', text);
  tw.define('block', 'encoder.0', text);
  tw.define('word', 0, number, integer(0, 4095));
  tw.define('textHead', 0, number, integer(0, 255));
  tw.define('textTerms', '1111', text, code);
  tw.define('backward', false, flag);
  tw.define('theme', 'auto', text, (x) => ['auto', 'light', 'dark'].includes(x));
})();
