/* In numbers: one key (the dot product of each term spelled out, the sum, the exponential, the share) and the output. */
(function () {
  'use strict';
  const tw = window.tw;
  const { el } = tw;

  const PAIRS = [
    ['q', 'k'],
    ['q', 'r'],
    ['u', 'k'],
    ['v', 'r'],
  ];

  /** exp(sum - greatest) and its total, as a softmax computes them. */
  function exponentials(attend, key) {
    const seen = (k) => !attend.visible || attend.visible[k];
    const visible = attend.sum.filter((_, k) => seen(k));
    const most = Math.max(...visible);
    const total = visible.reduce((sum, x) => sum + Math.exp(x - most), 0);
    return { most, own: seen(key) ? Math.exp(attend.sum[key] - most) : 0, total };
  }

  /** The short form: energies, sum, share. `where(index)` names a key. */
  tw.inspect = (box, layer, attend, query, key, { where, terms } = {}) => {
    const code = terms || tw.state.terms;
    const name = where || ((index) => tw.cellName(index, layer.width));
    const lines = tw.terms.map((term, i) => {
      const energy = attend.energies[i];
      if (!energy) return null;
      return [
        el('dt', { class: code[i] === '1' ? '' : 'dim', style: `color:${tw.colour.term(i)}` }, term.name),
        el('dd', { class: code[i] === '1' ? '' : 'dim', 'data-energy': i }, tw.format(energy[key])),
      ];
    });
    tw.fill(
      box,
      el(
        'p',
        { class: 'card-line' },
        tw.hovered !== null ? 'Under the pointer: ' : tw.state.key && !terms ? 'Pinned: ' : 'Looked at most: ',
        name(key),
        '.',
      ),
      el(
        'dl',
        { class: 'vector' },
        lines,
        el('dt', { class: 'rule' }, 'sum'),
        el('dd', { class: 'rule', 'data-sum': '' }, tw.format(attend.sum[key])),
        el('dt', {}, 'share'),
        el('dd', { 'data-share': attend.weights[key] }, tw.format.share(attend.weights[key])),
      ),
    );
  };

  /** An output as a colour [r, g, b] 0..255, or null where the layer does not mix colours. */
  tw.outputColour = (values) => {
    const { colour } = tw.data.layer;
    return colour ? values.slice(0, 3).map((x) => Math.round(Math.min(Math.max((x - colour.shift) / colour.scale, 0), 255))) : null;
  };

  /** The output as a colour beside its target, where it is one, and in numbers. */
  tw.showOutput = (box, attend) => {
    const mixed = tw.outputColour(attend.output);
    const shown = attend.output.slice(0, 6);
    const swatch = (rgb, name) =>
      el(
        'div',
        { class: 'mix' },
        el('span', {
          class: 'mix-box',
          style: `background:${tw.colour.css(rgb)}`,
          role: 'img',
          'aria-label': `${name}: red ${rgb[0]}, green ${rgb[1]}, blue ${rgb[2]}`,
        }),
        name,
      );
    tw.fill(
      box,
      mixed ? el('div', { class: 'mixes' }, swatch(mixed, 'output'), tw.state.target ? swatch(tw.state.target, 'target') : null) : null,
      el(
        'dl',
        { class: 'vector' },
        shown.map((value, i) => [
          el('dt', {}, mixed && i < 3 ? ['red', 'green', 'blue'][i] : `y${i}`),
          el('dd', { 'data-value': value }, tw.format(value)),
        ]),
      ),
      attend.output.length > shown.length ? el('p', { class: 'small' }, `and ${attend.output.length - shown.length} more`) : null,
    );
  };

  /** One line of the long form: E = c x (a b + a b + ..) = value. */
  function term(layer, attend, i, query, key, on) {
    const pair = tw.pair(layer, i, query, key);
    const energy = attend.energies[i];
    if (!pair || !energy) return null;
    const products = Array.from(pair.left, (a, j) => {
      const b = pair.right[j];
      const zero = a === 0 || b === 0;
      const factors = [tw.format(j > 0 ? Math.abs(a) : a), '\u00b7', b < 0 ? `(${tw.format(b)})` : tw.format(b)];
      return [
        j > 0 ? el('span', { class: 'plus' }, a < 0 ? ' \u2212 ' : ' + ') : null,
        el('span', { class: zero ? 'product zero' : 'product' }, factors),
      ];
    });
    const [left, right] = PAIRS[i];
    return el(
      'div',
      { class: on ? 'formula-term' : 'formula-term dim', style: `--term:${tw.colour.term(i)}` },
      el(
        'span',
        { class: 'formula-name' },
        el('strong', {}, tw.terms[i].name),
        ` = ${layer.scale === 1 ? '' : 'c '}${left}\u00b7${right}`,
        on ? '' : ' (off)',
      ),
      el('span', { class: 'formula-body' }, '= ', layer.scale === 1 ? '' : tw.format(layer.scale) + ' \u00d7 ', '( ', products, ' )'),
      el('span', { class: 'formula-value', 'data-value': energy[key] }, '= ', tw.format(energy[key])),
    );
  }

  /** The long form. */
  tw.formula = (box, layer, attend, query, key, { where, terms } = {}) => {
    const code = terms || tw.state.terms;
    const name = where || ((index) => tw.cellName(index, layer.width));
    const { most, own, total } = exponentials(attend, key);
    const addends = attend.energies.filter((energy, i) => energy && code[i] === '1').map((energy) => energy[key]);
    const parts = addends.map((x, i) => (i === 0 ? tw.format(x) : (x < 0 ? ' \u2212 ' : ' + ') + tw.format(Math.abs(x))));
    const hidden = attend.visible && !attend.visible[key];
    tw.fill(
      box,
      el(
        'p',
        { class: 'formula-head' },
        where ? 'Query ' : 'Query at ',
        el('strong', {}, name(query, 'query')),
        where ? ', key ' : ', key at ',
        el('strong', {}, name(key, 'key')),
        '.',
      ),
      [0, 1, 2, 3].map((i) => term(layer, attend, i, query, key, code[i] === '1')),
      el(
        'div',
        { class: 'formula-term total' },
        el('span', { class: 'formula-name' }, 'sum'),
        el('span', { class: 'formula-body' }, '= ', parts.length ? parts : '0'),
        el('span', { class: 'formula-value' }, '= ', tw.format(attend.sum[key])),
      ),
      hidden
        ? el('p', {}, 'This key may not be looked at (it comes later in the sentence): its share is 0.')
        : el(
            'div',
            { class: 'formula-term total' },
            el('span', { class: 'formula-name' }, 'share'),
            el(
              'span',
              { class: 'formula-body' },
              `= exp(${tw.format(attend.sum[key])} ${most < 0 ? '+' : '\u2212'} ${tw.format(Math.abs(most))}) / \u03a3 exp = ${tw.format(own)} / ${tw.format(total)}`,
            ),
            el(
              'span',
              { class: 'formula-value', 'data-share': attend.weights[key] },
              '= ',
              tw.format(attend.weights[key]),
              ' = ',
              tw.format.share(attend.weights[key]),
            ),
          ),
    );
  };

  let box;
  function show() {
    const { layer, attend } = tw.data;
    const key = tw.inspected();
    if (!layer || !attend || key === null) return;
    const query = tw.state.query[0] * layer.width + tw.state.query[1];
    tw.formula(box, layer, attend, query, key);
  }

  /** Text in lines of at most `most` letters, broken at spaces. */
  const broken = (text, most) =>
    text.split(' ').reduce((lines, word) => {
      const last = lines[lines.length - 1];
      if (last !== undefined && last.length + word.length < most) lines[lines.length - 1] = `${last} ${word}`;
      else lines.push(word);
      return lines;
    }, []);

  /** The long form as it stands in `panel`, as an <svg>. */
  function drawing(panel) {
    const lines = [[panel.querySelector('.formula-head').textContent, tw.colour.light[6]]];
    panel.querySelectorAll('.formula-term').forEach((line) => {
      const total = line.classList.contains('total');
      const text = [...line.children].map((part) => part.textContent).join('  ');
      broken(text, 120).forEach((part, n) =>
        lines.push([
          n === 0 ? part : '      ' + part,
          total ? '#1f2328' : tw.colour.light[tw.terms.findIndex(({ name }) => text.startsWith(name))],
        ]),
      );
    });
    const [width, height] = [860, 24 + 20 * lines.length];
    return tw.svg(
      'svg',
      { width, height, viewBox: `0 0 ${width} ${height}` },
      tw.svg('rect', { width, height, fill: '#fdfcf8' }),
      lines.map(([text, fill], i) =>
        tw.svg('text', { ...tw.draw.TEXT, 'font-size': 12, 'xml:space': 'preserve', x: 16, y: 26 + 20 * i, fill }, text),
      ),
    );
  }

  tw.panel({
    id: 'formula',
    files: 'attention',
    order: 11,
    short: 'In numbers',
    title: 'The same in numbers',
    lead: 'Hover over a key in any map, or click it to keep it: its energies are dot products of these vectors.',
    mount(body) {
      box = el('div', { class: 'formula' });
      body.append(
        box,
        el(
          'p',
          { class: 'hint' },
          'q: the query\u2019s vector, made from its content. k: the key\u2019s, made from its content. r: made from where the key lies relative to the query. ',
          'u, v: learned, the same for every query. Grey products are zero. The largest sum is subtracted before the exponential; the shares stay the same and nothing overflows.',
        ),
      );
      tw.onHover(show);
    },
    update(state, data, changed) {
      if (['data.attend', 'key', 'terms', 'query'].some((name) => changed.has(name))) show();
    },
    svg: () => (tw.data.attend ? drawing(box) : null),
    json() {
      const { layer, attend } = tw.data;
      const key = tw.inspected();
      if (!attend || key === null) return null;
      const query = tw.state.query[0] * layer.width + tw.state.query[1];
      return {
        query,
        key,
        scale: layer.scale,
        pairs: [0, 1, 2, 3].map((i) => tw.pair(layer, i, query, key)),
        energies: attend.energies.map((e) => e && e[key]),
        sum: attend.sum[key],
        share: attend.weights[key],
      };
    },
  });
})();
