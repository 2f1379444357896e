/* All sixteen combinations of the four terms: what the same query looks at under each. */
(function () {
  'use strict';
  const tw = window.tw;
  const { el } = tw;

  const cells = {};
  let grid;

  const describe = (code) =>
    tw.terms
      .filter((_, i) => code[i] === '1')
      .map((term) => term.name)
      .join(' + ') || 'no term';
  const weightsOf = (code) => tw.attend(tw.data.layer, { terms: code, query: tw.state.query, target: null });

  /** Codes have four digits; the grid's eight columns are E2 E3 E4, its two rows E1 off and on. */
  function button(code) {
    const map = tw.draw.map({ label: '', legend: false });
    map.frame.setAttribute('aria-hidden', 'true');
    const dots = tw.terms.map((term, i) => el('span', { class: 'dot', style: code[i] === '1' ? `background:${tw.colour.term(i)}` : '' }));
    const element = el(
      'button',
      {
        type: 'button',
        class: 'sixteen-cell',
        'data-code': code,
        'aria-label': `${code}: ${describe(code)}`,
        onclick: () => tw.set({ terms: code }),
      },
      map.element,
      el('span', { class: 'sixteen-name', 'aria-hidden': 'true' }, code, el('span', { class: 'dots' }, dots)),
    );
    cells[code] = { element, map };
    return element;
  }

  /** Arrow keys walk through the grid; only the chosen cell is a stop of the tab key. */
  function walk(event) {
    const from = tw.codes.indexOf(event.target.dataset.code);
    const columns = getComputedStyle(grid).gridTemplateColumns.split(' ').length;
    const step = { ArrowRight: 1, ArrowLeft: -1, ArrowDown: columns, ArrowUp: -columns }[event.key];
    if (from < 0 || !step) return;
    event.preventDefault();
    const to = tw.codes[from + step];
    if (to && !cells[to].element.hidden) cells[to].element.focus();
  }

  tw.panel({
    id: 'sixteen',
    files: 'attention',
    order: 12,
    short: 'All sixteen',
    title: 'All sixteen combinations',
    lead: 'The softmax of the same query under every choice of terms, each on its own scale. Choose one to put it into the maps above.',
    mount(body) {
      grid = el('div', { class: 'sixteen', role: 'group', 'aria-label': 'Combinations of terms', onkeydown: walk }, tw.codes.map(button));
      body.append(grid);
    },
    update(state, data, changed) {
      const now = data.layer ? tw.within(state.terms, data.layer.terms) : state.terms;
      for (const [code, { element }] of Object.entries(cells)) {
        element.setAttribute('aria-pressed', String(code === now));
        element.tabIndex = code === now ? 0 : -1;
      }
      if (!data.layer || !['data.layer', 'query'].some((key) => changed.has(key))) return;
      const query = state.query[0] * data.layer.width + state.query[1];
      for (const [code, { map, element }] of Object.entries(cells)) {
        // Only what the layer has can be combined.
        const answer = tw.within(code, data.layer.terms) === code ? weightsOf(code) : null;
        element.hidden = !answer;
        if (!answer) continue;
        map.draw(answer.weights, data.layer.height, data.layer.width);
        map.marks({ query });
      }
    },
    svg() {
      const { layer } = tw.data;
      if (!layer || !weightsOf('0000')) return null;
      const query = tw.state.query[0] * layer.width + tw.state.query[1];
      const maps = tw.codes
        .filter((code) => tw.within(code, layer.terms) === code)
        .map((code) => ({ title: code, values: weightsOf(code).weights, height: layer.height, width: layer.width, query }));
      return tw.draw.figure(`Softmax under all combinations of terms, query at ${tw.cellName(query, layer.width)}`, maps, {
        columns: 8,
        size: 110,
      });
    },
    json() {
      if (!tw.data.layer) return null;
      return { query: tw.state.query, weights: Object.fromEntries(tw.codes.map((code) => [code, (weightsOf(code) || {}).weights])) };
    },
  });
})();
