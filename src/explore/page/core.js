/* The global `tw` and the small helpers that every other file uses. */
(function () {
  'use strict';

  const tw = (window.tw = {});
  const SVG = 'http://www.w3.org/2000/svg';

  function build(node, attributes, children) {
    for (const [name, value] of Object.entries(attributes || {})) {
      if (value === null || value === undefined || value === false) continue;
      if (name.startsWith('on')) node.addEventListener(name.slice(2), value);
      // Not the attribute: the page's policy allows its own style sheet and what scripts set, no inline styles.
      else if (name === 'style') node.style.cssText = value;
      else if (name === 'value') node.value = value;
      else node.setAttribute(name, value === true ? '' : String(value));
    }
    for (const child of children.flat(Infinity)) {
      if (child === null || child === undefined || child === false) continue;
      node.append(child instanceof Node ? child : document.createTextNode(String(child)));
    }
    return node;
  }

  /** An element: `tw.el('p', {class: 'note', onclick: f}, 'text', node, ...)`. Text is never read as HTML. */
  tw.el = (tag, attributes, ...children) => build(document.createElement(tag), attributes, children);

  /** The same for SVG. */
  tw.svg = (tag, attributes, ...children) => build(document.createElementNS(SVG, tag), attributes, children);

  /** Puts `children` in the place of what `element` holds. */
  tw.fill = (element, ...children) => {
    element.replaceChildren(...children.flat(Infinity).filter((child) => child !== null && child !== undefined && child !== false));
    return element;
  };

  /** Calls `task` once, `wait` milliseconds after the last of many requests. `.now()` does not wait. */
  tw.later = (wait, task) => {
    let timer = 0;
    const ask = () => {
      clearTimeout(timer);
      timer = setTimeout(task, wait);
    };
    ask.cancel = () => clearTimeout(timer);
    ask.now = () => {
      clearTimeout(timer);
      task();
    };
    return ask;
  };

  const MINUS = '\u2212';
  const sign = (text) => text.replace('-', MINUS);

  /** A number for reading: four significant digits, a true minus sign. */
  tw.format = (x) => {
    if (typeof x !== 'number' || Number.isNaN(x)) return '\u2013';
    if (!Number.isFinite(x)) return x > 0 ? '\u221e' : MINUS + '\u221e';
    const size = Math.abs(x);
    if (size === 0) return '0';
    if (size >= 1e5 || size < 1e-4) return sign(x.toExponential(2));
    return sign(String(Number(x.toPrecision(4))));
  };

  /** A number for checking: right to a millionth. */
  tw.format.fine = (x) => {
    if (typeof x !== 'number' || !Number.isFinite(x)) return tw.format(x);
    return sign(Math.abs(x) >= 1e6 ? x.toPrecision(12) : x.toFixed(6));
  };

  /** A share of one in per cent. */
  tw.format.share = (x) => (x !== 0 && x < 0.001 ? '< 0.1' : (100 * x).toFixed(1)) + ' %';

  /** Says `text` to screen readers. */
  tw.say = (text) => {
    const live = document.getElementById('live');
    if (live && live.textContent !== text) live.textContent = text;
  };

  /** The four terms, in the order of the switches. */
  tw.terms = [
    { name: 'E1', short: 'content \u2194 content', line: 'Does the key\u2019s content fit the query\u2019s?' },
    { name: 'E2', short: 'query \u2194 place', line: 'Is the key where the query points?' },
    { name: 'E3', short: 'key content', line: 'Is the key\u2019s content striking to any query?' },
    { name: 'E4', short: 'place', line: 'Is the key at a good distance?' },
  ];
  /** All sixteen codes, '0000' to '1111'. */
  tw.codes = Array.from({ length: 16 }, (_, i) => i.toString(2).padStart(4, '0'));

  /** The terms of `code` that a layer with the terms `of` has. */
  tw.within = (code, of) => [...code].map((term, i) => (term === '1' && of[i] === '1' ? '1' : '0')).join('');

  /** Least and greatest finite number of an array. */
  tw.range = (values) => {
    let [min, max] = [Infinity, -Infinity];
    for (const value of values) {
      if (!Number.isFinite(value)) continue;
      if (value < min) min = value;
      if (value > max) max = value;
    }
    return min > max ? [0, 0] : [min, max];
  };
})();
