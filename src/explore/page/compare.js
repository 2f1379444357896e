/* Two combinations of terms on the same layer, side by side, with the difference of their weights. */
(function () {
  'use strict';
  const tw = window.tw;
  const { el } = tw;

  const LOOKS = { weights: 'shares of the softmax', sum: 'sums of the energies' };
  tw.define('look', 'weights', tw.codec.text, (x) => x in LOOKS);

  let maps,
    picks,
    note,
    result = null;

  function chooser(field, name) {
    const select = el(
      'select',
      { id: `compare-${field}`, onchange: () => tw.set({ [field]: select.value }) },
      tw.codes.map((code) => el('option', { value: code }, code)),
    );
    return { select, element: el('label', {}, name, select) };
  }

  function hover(name, values) {
    return (index, event) => {
      tw.hover(index);
      tw.draw.tip(
        index === null || !result
          ? null
          : [`${name()}: ${tw.format.fine(values()[index])}`, `key at ${tw.cellName(index, tw.data.layer.width)}`],
        event,
      );
    };
  }

  function draw() {
    const { layer } = tw.data;
    const [a, b] = [result.first[tw.state.look], result.second[tw.state.look]];
    result.difference = a.map((x, k) => x - b[k]);
    const [low, high] = tw.range([...a, ...b]);
    const query = tw.state.query[0] * layer.width + tw.state.query[1];
    for (const [map, values, range] of [
      [maps.first, a, [low, high]],
      [maps.second, b, [low, high]],
      [maps.difference, result.difference],
    ]) {
      map.draw(values, layer.height, layer.width, { range });
      map.marks({ query });
    }
    const moved = result.first.weights.reduce((sum, w, k) => sum + Math.abs(w - result.second.weights[k]), 0) / 2;
    tw.fill(note, `Between ${tw.state.terms} and ${tw.state.other}, ${tw.format.share(moved)} of the attention moves to other cells.`);
  }

  tw.panel({
    id: 'compare',
    order: 30,
    short: 'Side by side',
    title: 'Two combinations side by side',
    lead: 'The same layer, the same query, two choices of terms; both on one scale. In the difference orange means that the first looks there more, blue that the second does.',
    mount(body, panel) {
      picks = { terms: chooser('terms', 'First'), other: chooser('other', 'Second') };
      const look = el(
        'select',
        { id: 'compare-look', onchange: () => tw.set({ look: look.value }) },
        Object.entries(LOOKS).map(([value, text]) => el('option', { value }, text)),
      );
      picks.look = { select: look };
      const make = (name, kind, label, values) => tw.draw.map({ label, kind, onhover: hover(name, values) });
      maps = {
        first: make(
          () => tw.state.terms,
          'sequential',
          'First combination',
          () => result.first[tw.state.look],
        ),
        second: make(
          () => tw.state.other,
          'sequential',
          'Second combination',
          () => result.second[tw.state.look],
        ),
        difference: make(
          () => 'difference',
          'diverging',
          'First less second',
          () => result.difference,
        ),
      };
      note = el('p', { class: 'compare-note' });
      const swap = el('button', { type: 'button', onclick: () => tw.set({ terms: tw.state.other, other: tw.state.terms }) }, 'swap');
      body.append(
        el('div', { class: 'row compare-controls' }, picks.terms.element, picks.other.element, swap, el('label', {}, 'Show', look)),
        el(
          'div',
          { class: 'compare' },
          [
            ['first', 'First'],
            ['second', 'Second'],
            ['difference', 'First \u2212 second'],
          ].map(([name, title]) =>
            el('div', { class: 'card' }, el('div', { class: 'card-head' }, el('h3', { 'data-title': name }, title)), maps[name].element),
          ),
        ),
        note,
      );
      panel.titles = body;
    },
    update(state, data, changed) {
      picks.terms.select.value = state.terms;
      picks.other.select.value = state.other;
      picks.look.select.value = state.look;
      this.titles.querySelector('[data-title=first]').textContent = `First: ${state.terms}`;
      this.titles.querySelector('[data-title=second]').textContent = `Second: ${state.other}`;
      if (!['data.attend', 'other', 'look'].some((key) => changed.has(key)) || !data.attend) return;
      const first = data.attend;
      const own = tw.attend(data.layer, { ...tw.attendParams(state.other) });
      if (own) {
        result = { first, second: own };
        draw();
      }
      if (tw.api.online && (first.by === 'engine' || !own)) {
        const { other } = state;
        this.run(tw.api.call('attend', tw.attendParams(other), 'compare'), (second) => {
          // Both must be about what is shown now.
          if (first !== tw.data.attend || other !== tw.state.other) return;
          result = { first, second };
          draw();
        });
      }
    },
    svg() {
      if (!result) return null;
      const { layer } = tw.data;
      const shape = { height: layer.height, width: layer.width, query: tw.state.query[0] * layer.width + tw.state.query[1] };
      const range = maps.first.range;
      return tw.draw.figure(
        `${LOOKS[tw.state.look]}, query at ${tw.cellName(shape.query, layer.width)}`,
        [
          { title: tw.state.terms, values: result.first[tw.state.look], range, ...shape },
          { title: tw.state.other, values: result.second[tw.state.look], range, ...shape },
          { title: `${tw.state.terms} \u2212 ${tw.state.other}`, values: result.difference, kind: 'diverging', ...shape },
        ],
        { columns: 3 },
      );
    },
    json: () =>
      result && {
        look: tw.state.look,
        first: { terms: tw.state.terms, values: result.first[tw.state.look] },
        second: { terms: tw.state.other, values: result.second[tw.state.look] },
        difference: result.difference,
      },
  });
})();
