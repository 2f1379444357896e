/* The costs of all mechanisms in a table that can be sorted by each column. */
(function () {
  'use strict';
  const tw = window.tw;
  const { el } = tw;

  // Name of the column, whether it holds numbers, and its value for a mechanism and its answer.
  const COLUMNS = [
    ['mechanism', false, (m) => m.code],
    ['what it is', false, (m) => m.name],
    ['multiply-adds', true, (m, a) => a.flops],
    ['parameters', true, (m, a) => a.parameters],
    ['keys with a weight', true, (m, a) => a.weights.reduce((n, x) => n + (Math.abs(x) > 1e-9 ? 1 : 0), 0) / a.queries],
  ];
  tw.define(
    'sort',
    [0, 1],
    tw.codec.list,
    (x) => x !== null && x.length === 2 && tw.valid.integer(0, COLUMNS.length - 1)(x[0]) && Math.abs(x[1]) === 1,
  );

  /** {element, update(answers), choose(code)}; `answers` maps codes to what `matrix` answers. */
  tw.matrixTable = ({ mechanisms, count }) => {
    let answers = new Map();
    let current = null;
    const heads = COLUMNS.map(([name], i) => {
      const button = el(
        'button',
        {
          type: 'button',
          class: 'sort',
          onclick: () => {
            const [column, way] = tw.state.sort;
            tw.set({ sort: [i, column === i ? -way : 1] });
            tw.say(`Sorted by ${name}, ${tw.state.sort[1] > 0 ? 'ascending' : 'descending'}`);
          },
        },
        name,
        el('span', { 'aria-hidden': 'true' }),
      );
      return { button, cell: el('th', { scope: 'col', class: COLUMNS[i][1] ? null : 'matrix-words' }, button) };
    });
    const body = el('tbody', {});
    const caption = el('caption', {});
    const element = el(
      'details',
      { class: 'matrix-table', open: true },
      el('summary', {}, 'Cost of each, sortable'),
      el(
        'div',
        { class: 'table-scroll', tabindex: '0', role: 'region', 'aria-label': 'Cost of each mechanism' },
        el(
          'table',
          { class: 'numbers' },
          caption,
          el(
            'thead',
            {},
            el(
              'tr',
              {},
              heads.map((x) => x.cell),
            ),
          ),
          body,
        ),
      ),
    );

    function draw() {
      const first = answers.size > 0 ? [...answers.values()][0] : {};
      caption.textContent =
        'Multiply-adds for the scene above, and parameters' + (first.parameters_meaning ? ', ' + first.parameters_meaning : '');
      const [column, way] = tw.state.sort;
      const [, numeric, value] = COLUMNS[column];
      heads.forEach(({ cell, button }, i) => {
        if (i === column) cell.setAttribute('aria-sort', way > 0 ? 'ascending' : 'descending');
        else cell.removeAttribute('aria-sort');
        button.lastChild.textContent = i === column ? (way > 0 ? ' \u25b2' : ' \u25bc') : '';
      });
      const rows = mechanisms()
        .filter((m) => answers.has(m.code))
        .map((m) => ({ m, a: answers.get(m.code) }));
      rows.sort((x, y) => {
        const [a, b] = [value(x.m, x.a), value(y.m, y.a)];
        return way * (numeric ? a - b : String(a).localeCompare(String(b)));
      });
      tw.fill(
        body,
        rows.map(({ m, a }) =>
          el(
            'tr',
            { 'data-code': m.code, class: m.code === current ? 'chosen' : null },
            el('th', { scope: 'row' }, el('button', { type: 'button', class: 'link', onclick: () => tw.set({ mech: m.code }) }, m.code)),
            el('td', { class: 'matrix-words' }, m.name),
            el('td', { title: a.flops_formula, 'data-flops': a.flops }, count(a.flops)),
            el('td', {}, count(a.parameters)),
            el('td', {}, tw.format(COLUMNS[4][2](m, a))),
          ),
        ),
      );
    }
    return {
      element,
      update: (next) => {
        answers = next;
        draw();
      },
      choose: (code) => {
        current = code;
        for (const row of body.children) row.className = row.dataset.code === code ? 'chosen' : '';
      },
    };
  };
})();
