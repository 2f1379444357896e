/* Drawings of the attention over words: the table of energies, the matrix of shares, and their file. */
(function () {
  'use strict';
  const tw = window.tw;
  const { el, svg } = tw;

  /** The rows of the table: [name, values, colour, whether it counts]. */
  function lines(layer, attend, terms) {
    const energy = tw.terms.map((term, i) => [term.name, attend.energies[i], i, terms[i] === '1']).filter(([, values]) => values);
    return [...energy, ['sum', attend.sum, null, true], ['share', attend.weights, null, true]];
  }
  const seen = (attend, k) => !attend.visible || attend.visible[k];
  const rangeOf = (values, attend) => tw.range(values.filter((_, k) => seen(attend, k)));

  /** A table: a row for each term, the sum and the share; a column for each key. `hover(key or null)`. */
  tw.wordEnergies = (box, layer, attend, terms, hover) => {
    const head = el(
      'tr',
      {},
      el('td', {}),
      layer.key_words.map((word) => el('th', { scope: 'col' }, word)),
      el('th', { scope: 'col', class: 'range' }, 'least'),
      el('th', { scope: 'col', class: 'range' }, 'most'),
    );
    const rows = lines(layer, attend, terms).map(([name, values, i, on]) => {
      const range = rangeOf(values, attend);
      const cells = values.map((value, k) => {
        const hidden = !seen(attend, k);
        const rgb = hidden ? null : tw.colour.of(value, range, 'sequential');
        return el(
          'td',
          {
            class: hidden ? 'unseen-key' : 'heat',
            style: rgb ? `background:${tw.colour.css(rgb)};color:${tw.colour.ink(rgb)}` : '',
            'data-key': k,
            'data-row': name,
            'data-value': value,
            onpointerenter: (event) => {
              tw.draw.tip([`${name}: ${hidden ? 'may not be looked at' : tw.format.fine(value)}`, layer.key_words[k]], event);
              hover(k);
            },
          },
          hidden ? '\u2013' : name === 'share' ? (100 * value).toFixed(1) + ' %' : tw.format(Number(value.toPrecision(3))),
        );
      });
      return el(
        'tr',
        { class: on ? '' : 'dim' },
        el('th', { scope: 'row', style: i === null ? '' : `color:${tw.colour.term(i)}` }, name, on ? null : ' (off)'),
        cells,
        range.map((x) => el('td', { class: 'range' }, tw.format(x))),
      );
    });
    // The table that the pointer is on is kept: only its numbers may have changed.
    const scroll = box.firstElementChild ? box.firstElementChild.scrollLeft : 0;
    tw.fill(
      box,
      el(
        'div',
        {
          class: 'table-scroll plain',
          tabindex: '0',
          role: 'region',
          'aria-label': 'Energies of every key',
          onpointerleave: () => tw.draw.tip(null),
        },
        el(
          'table',
          { class: 'heat-table' },
          el('caption', { class: 'unseen' }, 'Energies of every key for the chosen word'),
          el('thead', {}, head),
          el('tbody', {}, rows),
        ),
      ),
    );
    box.firstElementChild.scrollLeft = scroll;
  };

  /** All queries (rows) by all keys (columns); a row's header chooses its word. */
  tw.wordMatrix = (box, layer, answers, word, pick) => {
    const head = el(
      'tr',
      {},
      el('td', {}),
      layer.key_words.map((key) => el('th', { scope: 'col', class: 'tilted' }, el('span', {}, key))),
    );
    const rows = answers.map((answer, q) =>
      el(
        'tr',
        { class: q === word ? 'chosen' : '' },
        el('th', { scope: 'row' }, layer.query_words[q]),
        Array.from(answer.weights, (value, k) => {
          if (!seen(answer, k)) return el('td', { class: 'small-heat', 'aria-label': 'may not be looked at' });
          const rgb = tw.colour.of(value, [0, 1], 'sequential');
          return el('td', {
            class: 'heat small-heat',
            style: `background:${tw.colour.css(rgb)}`,
            'aria-label': tw.format.share(value),
            onclick: () => pick(q),
            onpointerenter: (event) => tw.draw.tip([tw.format.share(value), `${layer.query_words[q]} \u2192 ${layer.key_words[k]}`], event),
          });
        }),
      ),
    );
    tw.fill(
      box,
      el(
        'div',
        {
          class: 'table-scroll plain',
          tabindex: '0',
          role: 'region',
          'aria-label': 'Shares of all words',
          onpointerleave: () => tw.draw.tip(null),
        },
        el(
          'table',
          { class: 'heat-table' },
          el('caption', { class: 'unseen' }, 'Share of every key (columns) for every query (rows)'),
          el('thead', {}, head),
          el('tbody', {}, rows),
        ),
      ),
      el(
        'div',
        { class: 'legend' },
        '0 %',
        el('span', { class: 'strip', style: 'background:' + tw.colour.gradient('sequential') }),
        '100 %',
      ),
    );
  };

  /** The table of energies as an <svg>. */
  tw.wordSvg = (layer, attend, word, terms) => {
    const [step, high, left] = [Math.max(54, 8 * Math.max(...layer.key_words.map((key) => key.length)) + 8), 26, 70];
    const rows = lines(layer, attend, terms);
    const [width, height] = [left + step * layer.key_words.length + 150, 70 + high * rows.length];
    const text = (x, y, content, more) => svg('text', { ...tw.draw.TEXT, x, y, 'text-anchor': 'middle', ...more }, content);
    const node = svg(
      'svg',
      { width, height, viewBox: `0 0 ${width} ${height}` },
      svg('rect', { width, height, fill: '#fdfcf8' }),
      text(16, 20, `Query: ${layer.query_words[word]}, terms ${terms}`, { 'text-anchor': 'start', 'font-size': 13 }),
      layer.key_words.map((key, k) => text(left + (k + 0.5) * step, 46, key)),
    );
    rows.forEach(([name, values, i, on], r) => {
      const [y, range] = [54 + r * high, rangeOf(values, attend)];
      node.append(
        text(left - 10, y + 17, name + (on ? '' : ' off'), {
          'text-anchor': 'end',
          fill: i === null ? '#1f2328' : tw.colour.light[i],
          'font-weight': 600,
        }),
      );
      values.forEach((value, k) => {
        const hidden = !seen(attend, k);
        const rgb = hidden ? [227, 226, 219] : tw.colour.of(value, range, 'sequential');
        node.append(
          svg('rect', { x: left + k * step, y, width: step - 2, height: high - 2, fill: tw.colour.hex(rgb) }),
          text(left + (k + 0.5) * step - 1, y + 16, hidden ? '\u2013' : tw.format(Number(value.toPrecision(3))), {
            fill: tw.colour.ink(rgb),
            'font-size': 10,
          }),
        );
      });
      node.append(
        text(left + layer.key_words.length * step + 8, y + 16, `${tw.format(range[0])} to ${tw.format(range[1])}`, {
          'text-anchor': 'start',
          'font-size': 10,
        }),
      );
    });
    return node;
  };
})();
