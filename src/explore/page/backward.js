/* The backward view: a target colour, the loss, its derivatives in weights and energies, and a live gradient check. */
(function () {
  'use strict';
  const tw = window.tw;
  const { el } = tw;

  let colour,
    none,
    lossLine,
    maps,
    badge,
    checked = null,
    checkedFor = '',
    chain;

  const checkParams = () => {
    const { source, scene } = tw.layerParams();
    return { source, scene, terms: tw.within(tw.state.terms, tw.data.layer.terms) };
  };
  const checkKey = () => tw.api.keyOf('gradcheck', checkParams());

  function showBadge(kind, text) {
    badge.dataset.status = kind;
    tw.fill(badge, text);
  }

  /** Asks for a gradient check of the layer and the terms of this moment. */
  function check(panel) {
    if (!tw.data.layer) return;
    const key = checkKey();
    if (key === checkedFor && checked) return;
    checkedFor = key;
    checked = null;
    showBadge('running', 'checking\u2026');
    tw.api
      .call('gradcheck', checkParams(), 'gradcheck')
      .then((answer) => {
        checked = answer;
        showBadge(answer.status, [
          el('strong', {}, `Gradients: ${answer.status}`),
          ` ${answer.elements} derivatives of ${answer.op} against differences, worst ${answer.worst.toExponential(1)}${answer.worst_name ? ` (${answer.worst_name})` : ''}, ${tw.format(answer.seconds)} s`,
        ]);
        badge.title = answer.summary;
      })
      .catch((error) => {
        if (error.name === 'AbortError') return;
        checkedFor = '';
        showBadge('none', tw.api.online ? error.message : 'not checked in a saved page');
      });
  }
  let mine;
  const soon = tw.later(1500, () => check(mine));

  const pick = (rgb) => tw.set({ target: rgb });
  const hover = (name, of) => (index, event) => {
    tw.hover(index);
    tw.draw.tip(
      index === null || !tw.data.attend
        ? null
        : [`${name}: ${tw.format.fine(of(tw.data.attend.backward)[index])}`, `key at ${tw.cellName(index, tw.data.layer.width)}`],
      event,
    );
  };

  function drawLoss() {
    const { attend } = tw.data;
    const { backward } = attend;
    const list = (values) => '(' + values.slice(0, 4).map(tw.format).join(', ') + (values.length > 4 ? ', \u2026' : '') + ')';
    const aim = tw.data.layer.colour && tw.state.target;
    tw.fill(
      lossLine,
      tw.data.layer.colour ? null : 'The output of this layer is not a colour, so the target is zero. ',
      aim ? 'loss = \u00bd |output \u2212 target|\u00b2 = ' : 'loss = \u00bd |output|\u00b2 = ',
      el('strong', { 'data-loss': backward.loss }, tw.format(backward.loss)),
      `; d loss / d output = ${aim ? 'output \u2212 target' : 'output'} = ${list(backward.grad_output)}`,
    );
  }

  tw.panel({
    id: 'backward',
    order: 20,
    short: 'Backward',
    title: 'Backward: what the loss asks of every cell',
    lead: 'Choose the colour that the output should have. Blue cells: more attention there lowers the loss. Orange cells: it raises the loss.',
    mount(body, panel) {
      mine = panel;
      colour = el('input', {
        type: 'color',
        id: 'target',
        onchange: () => pick(tw.colour.rgb(colour.value)),
        oninput: () => pick(tw.colour.rgb(colour.value)),
      });
      none = el('button', { type: 'button', onclick: () => pick(tw.state.target ? null : tw.colour.rgb(colour.value)) });
      badge = el('span', { class: 'badge', role: 'status', 'data-status': 'none' }, 'not checked yet');
      lossLine = el('p', { class: 'loss-line' });
      chain = el('div', { class: 'backward' });
      maps = {
        weights: tw.draw.map({ label: 'd loss / d weight', kind: 'diverging', onhover: hover('d loss / d weight', (b) => b.grad_weights) }),
        energies: tw.draw.map({
          label: 'd loss / d energy',
          kind: 'diverging',
          onhover: hover('d loss / d energy', (b) => b.grad_energies),
        }),
      };
      const card = (title, text, map) =>
        el(
          'div',
          { class: 'card' },
          el('div', { class: 'card-head' }, el('h3', {}, title)),
          el('p', { class: 'card-line' }, text),
          map.element,
        );
      chain.append(
        card('d loss / d weight', 'How well each cell\u2019s value fits what the output lacks.', maps.weights),
        card('d loss / d energy', 'The same, less its mean, times the share: a cell that is not looked at learns nothing.', maps.energies),
        el(
          'div',
          { class: 'backward-text' },
          el(
            'p',
            {},
            'The four energies are added, so each term that is switched on receives the same derivative; a term that is switched off receives none. ',
            'What differs is where it goes on to: E1 to the query\u2019s and the keys\u2019 contents, E2 to the query\u2019s content and the places, E3 to u and the contents, E4 to v and the places.',
          ),
          el(
            'p',
            {},
            el(
              'button',
              {
                type: 'button',
                id: 'show-backward',
                onclick: () => {
                  tw.set({ backward: !tw.state.backward });
                  document.getElementById('attention').scrollIntoView();
                },
              },
              'show in the maps of the terms',
            ),
          ),
          el('h3', {}, 'Are these derivatives right?'),
          el(
            'p',
            { class: 'small' },
            'The engine compares every derivative of this very layer, cut to a small size, with differences of the loss. It does so after each change, once you pause.',
          ),
          el(
            'p',
            { class: 'row' },
            el(
              'button',
              {
                type: 'button',
                id: 'gradcheck',
                onclick: () => {
                  checkedFor = '';
                  check(panel);
                },
              },
              'check now',
            ),
            badge,
          ),
        ),
      );
      body.append(el('div', { class: 'row' }, el('label', {}, 'Target colour', colour), none), lossLine, chain);
    },
    update(state, data, changed) {
      if (state.target) colour.value = tw.colour.hex(state.target);
      none.textContent = state.target ? 'no target' : 'set the target';
      document.getElementById('show-backward').setAttribute('aria-pressed', String(state.backward));
      if (data.layer && (changed.has('data.layer') || changed.has('terms'))) {
        if (checkKey() !== checkedFor) {
          showBadge('none', tw.api.online ? 'not checked yet' : 'not checked in a saved page');
          checked = null;
        }
        // Also in an export: it may hold the check of its own state.
        soon();
      }
      if (!changed.has('data.attend') || !data.attend) return;
      const { layer, attend } = data;
      const query = state.query[0] * layer.width + state.query[1];
      maps.weights.draw(attend.backward.grad_weights, layer.height, layer.width);
      maps.energies.draw(attend.backward.grad_energies, layer.height, layer.width);
      for (const map of Object.values(maps)) map.marks({ query });
      drawLoss();
    },
    svg() {
      const { attend, layer } = tw.data;
      if (!attend) return null;
      const shape = {
        height: layer.height,
        width: layer.width,
        kind: 'diverging',
        query: tw.state.query[0] * layer.width + tw.state.query[1],
      };
      return tw.draw.figure(
        `Loss ${tw.format(attend.backward.loss)}, terms ${tw.state.terms}`,
        [
          { title: 'd loss / d weight', values: attend.backward.grad_weights, ...shape },
          { title: 'd loss / d energy', values: attend.backward.grad_energies, ...shape },
        ],
        { columns: 2 },
      );
    },
    json: () => tw.data.attend && { ...tw.data.attend.backward, gradient_check: checked },
  });
})();
