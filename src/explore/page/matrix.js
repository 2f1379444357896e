/* Every mechanism as one and the same thing: a matrix of weights, a row for each query and a column for each key. */
(function () {
  'use strict';
  const tw = window.tw;
  const { el, svg, parts } = tw;

  // The largest scene whose matrix is asked for as it is, and the cut-out of larger ones.
  const [MOST, CUT] = [12, 8];
  const ALL = '1111';
  tw.define('mech', ALL, tw.codec.text, (x) => /^[a-z0-9+/]{1,40}$/.test(x));

  // Code -> answer, for the scene `shown`.
  let answers = new Map();
  let shown = null;
  let view = null;
  let running = 0;

  const mechanisms = () => tw.data.info.mechanisms;
  const nameOf = (code) => {
    const found = mechanisms().find((m) => m.code === code);
    return found && found.name !== code ? `${code}: ${found.name}` : code;
  };
  const chosen = () => (mechanisms().some((m) => m.code === tw.state.mech) ? tw.state.mech : mechanisms()[0].code);

  /** The scene, or the 8x8 part of it that holds the query and moves in steps of four cells. */
  function cut(scene) {
    const [row, column] = parts.queryIn(scene);
    if (scene.height <= MOST && scene.width <= MOST) return { scene, top: 0, left: 0 };
    const start = (at, size, length) => Math.max(0, Math.min(4 * Math.floor((at - 2) / 4), size - length));
    const [height, width] = [Math.min(CUT, scene.height), Math.min(CUT, scene.width)];
    const [top, left] = [start(row, scene.height, height), start(column, scene.width, width)];
    const part = { height, width, rgb: [], arrows: [] };
    for (let y = top; y < top + height; y++) {
      const from = y * scene.width + left;
      part.rgb.push(...scene.rgb.slice(3 * from, 3 * (from + width)));
      part.arrows.push(...scene.arrows.slice(from, from + width));
    }
    return { scene: part, top, left };
  }

  /** Without an engine: the scene of which the saved page kept matrices. */
  function kept() {
    if (tw.api.online || !tw.embedded) return null;
    const key = Object.keys(tw.embedded.answers || {}).find((name) => name.startsWith('matrix '));
    return key ? { scene: JSON.parse(key.slice('matrix '.length)).scene, top: 0, left: 0, saved: true } : null;
  }

  async function load() {
    if (!tw.data.scene) return;
    let now = cut(tw.data.scene);
    if (!tw.api.online) {
      const key = tw.api.keyOf('matrix', { scene: now.scene, mechanism: chosen() });
      if (!(tw.embedded.answers || {})[key]) now = kept() || now;
    }
    const same = shown && JSON.stringify(shown.scene) === JSON.stringify(now.scene);
    shown = now;
    if (!same) answers = new Map();
    const turn = ++running;
    const waiting = [
      chosen(),
      ...mechanisms()
        .map((m) => m.code)
        .filter((code) => code !== chosen()),
    ].filter((code) => !answers.has(code));
    drawLarge();
    for (const code of waiting) {
      try {
        const answer = await tw.api.call('matrix', { scene: now.scene, mechanism: code });
        if (turn !== running) return;
        answers.set(code, answer);
        view.panel.note(null);
      } catch (error) {
        if (turn !== running) return;
        // A saved page may have kept some of them.
        if (code === chosen() || tw.api.online) view.panel.note(error.message);
        if (!tw.api.reachable) return;
      }
      drawSmall(code);
      if (code === chosen()) drawLarge();
      view.table.update(answers);
      if (view.dirty()) return;
    }
  }

  /** The query's row in the matrix of the scene shown; null where the cut-out does not hold it. */
  function rowOfQuery() {
    const [row, column] = parts.queryIn(tw.data.scene || shown.scene);
    const [r, c] = shown.saved ? parts.queryIn(shown.scene) : [row - shown.top, column - shown.left];
    return r >= 0 && c >= 0 && r < shown.scene.height && c < shown.scene.width ? r * shown.scene.width + c : null;
  }
  const place = (i) => {
    const { width } = shown.scene;
    return `row ${shown.top + Math.floor(i / width)}, column ${shown.left + (i % width)}`;
  };

  function paint(canvas, answer, range) {
    const { queries, keys, weights } = answer;
    Object.assign(canvas, { width: keys, height: queries });
    const image = new ImageData(keys, queries);
    weights.forEach((weight, i) => image.data.set([...tw.colour.of(weight, range, 'sequential'), 255], 4 * i));
    canvas.getContext('2d').putImageData(image, 0, 0);
  }
  const rangeOf = (answer) => [0, answer.weights.reduce((most, x) => Math.max(most, x), 1e-12)];

  function drawSmall(code) {
    const card = view.small.get(code);
    const answer = answers.get(code);
    if (!card || !answer) return;
    paint(card.canvas, answer, rangeOf(answer));
    card.cost.textContent = count(answer.flops);
  }

  /** A count with thin spaces between thousands. */
  const count = (x) =>
    Math.round(x)
      .toString()
      .replace(/\B(?=(\d{3})+$)/g, '\u2009');
  tw.parts.count = count;

  function drawMarks() {
    if (!answers.has(chosen())) return;
    const answer = answers.get(chosen());
    const q = rowOfQuery();
    const frame =
      q === null
        ? null
        : svg(
            'g',
            {},
            ['#1f2328', '#ffffff'].map((stroke, i) =>
              svg('rect', {
                x: -0.4,
                y: q - 0.4,
                width: answer.keys + 0.8,
                height: 1.8,
                fill: 'none',
                stroke,
                'stroke-width': i === 0 ? 0.7 : 0.35,
              }),
            ),
          );
    view.large.marks({ layer: frame });
    const { height, width } = shown.scene;
    view.rowTitle.textContent =
      q === null
        ? 'The query lies outside of this cut-out.'
        : `The marked row, folded back into the picture: where the query at ${place(q)} looks`;
    view.row.element.hidden = q === null;
    if (q !== null) {
      const weights = answer.weights.slice(q * answer.keys, (q + 1) * answer.keys);
      view.row.draw(weights, height, width, { range: [0, Math.max(...weights, 1e-12)] });
      view.row.marks({ query: q, layer: tw.draw.sceneArrows({ ...shown.scene, rgb: shown.scene.rgb.map(() => 0) }) });
    }
  }

  function drawLarge() {
    const code = chosen();
    for (const [other, card] of view.small) card.button.setAttribute('aria-pressed', String(other === code));
    const answer = answers.get(code);
    view.title.textContent = nameOf(code);
    if (!answer) return;
    view.large.draw(answer.weights, answer.queries, answer.keys, { range: rangeOf(answer) });
    drawMarks();
    const { height, width } = shown.scene;
    const cutOut = shown.saved
      ? ' (the scene kept in this saved page)'
      : tw.data.scene && (tw.data.scene.height > MOST || tw.data.scene.width > MOST)
        ? `, cut out of the scene around the query`
        : '';
    const { explanation } = mechanisms().find((m) => m.code === code);
    tw.fill(
      view.facts,
      explanation ? el('p', {}, explanation) : null,
      el(
        'p',
        { class: 'small' },
        `${answer.queries} queries \u00d7 ${answer.keys} keys: ${height}\u00d7${width} cells${cutOut}. ${answer.meaning ? 'Shown: ' + answer.meaning + '.' : ''}`,
      ),
      costs(answer),
    );
  }

  /** The parts of the multiply-adds with their formulas, and what they add up to. */
  function costs(answer) {
    const line = (name, formula, value, attributes) =>
      el('tr', attributes, el('th', { scope: 'row' }, name), el('td', { class: 'matrix-formula' }, formula), el('td', {}, value));
    const parts = answer.flops_parts || [];
    return el(
      'table',
      { class: 'numbers matrix-costs' },
      el('caption', {}, 'What it costs'),
      el(
        'tbody',
        {},
        parts.map((part) => line(part.name, part.formula, count(part.value), { 'data-part': part.value })),
        line(
          'multiply-adds',
          parts.length > 0 ? '' : answer.flops_formula,
          el('span', { 'data-flops': answer.flops }, count(answer.flops)),
          { class: 'total' },
        ),
        line('parameters', answer.parameters_meaning || '', el('span', { 'data-parameters': answer.parameters }, count(answer.parameters))),
      ),
      parts.length > 0
        ? el('tfoot', {}, el('tr', {}, el('td', { colspan: 3 }, answer.flops_formula.split('; ').slice(1).join('; '))))
        : null,
    );
  }

  function tell(i, event) {
    const answer = answers.get(chosen());
    if (i === null || !answer) return tw.draw.tip(null);
    const [q, k] = [Math.floor(i / answer.keys), i % answer.keys];
    const weight = answer.weights[i];
    const lines = [`weight ${tw.format.fine(weight)}`, `query ${q}: ${place(q)}`, `key ${k}: ${place(k)}`];
    tw.draw.tip(lines, event);
    if (event instanceof Element) tw.say(lines.join(', '));
    return undefined;
  }

  function mount(body, panel) {
    const small = new Map(
      mechanisms().map((mechanism) => {
        const canvas = el('canvas', { width: 1, height: 1, 'aria-hidden': 'true' });
        const cost = el('span', { class: 'matrix-cost' });
        const button = el(
          'button',
          {
            type: 'button',
            class: 'matrix-small',
            'data-code': mechanism.code,
            'aria-pressed': 'false',
            'aria-label': `Show ${mechanism.code}, ${mechanism.name}`,
            onclick: () => tw.set({ mech: mechanism.code }),
          },
          canvas,
          el(
            'span',
            { class: 'matrix-code' },
            mechanism.code.split('+').map((part, i) => (i === 0 ? part : ['+', el('wbr'), part])),
          ),
          cost,
        );
        return [mechanism.code, { button, canvas, cost }];
      }),
    );
    const large = tw.draw.map({
      label: 'Matrix of weights: a row for each query, a column for each key; arrow keys read it, Enter takes the query',
      onhover: tell,
      className: 'matrix-large',
      onpick: (i) => {
        const q = Math.floor(i / answers.get(chosen()).keys);
        if (!shown.saved) parts.moveQuery([shown.top + Math.floor(q / shown.scene.width), shown.left + (q % shown.scene.width)]);
      },
    });
    const row = tw.draw.map({ label: 'The current query\u2019s row of the matrix, as a picture', className: 'matrix-row' });
    const [title, rowTitle, facts] = [el('h3', {}), el('p', { class: 'small' }), el('div', {})];
    const table = tw.matrixTable({ mechanisms, count });
    tw.fill(
      body,
      el(
        'div',
        { class: 'matrix' },
        el('div', { class: 'matrix-main' }, title, el('p', { class: 'small matrix-axis' }, '\u2193 queries, keys \u2192'), large.element),
        el('div', { class: 'matrix-side' }, rowTitle, row.element, facts),
        el(
          'div',
          { class: 'matrix-all', role: 'group', 'aria-label': 'All mechanisms; choose one to see it large' },
          [...small.values()].map((x) => x.button),
        ),
      ),
      table.element,
    );
    view = { panel, small, large, row, title, rowTitle, facts, table };
    let again = false;
    const job = parts.whenSeen(panel, () => {
      again = false;
      return load();
    });
    view.dirty = () => again;
    view.ask = () => {
      again = true;
      job();
    };
  }

  function update(state, data, changed) {
    const any = (...keys) => changed.has('all') || keys.some((key) => changed.has(key));
    if (!data.scene) return;
    const now = any('data.scene', 'query') || !shown ? cut(data.scene) : null;
    const moved = now && (!shown || (!shown.saved && (now.top !== shown.top || now.left !== shown.left)));
    if (any('data.scene') || moved) view.ask();
    else if (any('query') && shown) drawMarks();
    if (any('mech') && shown) {
      drawLarge();
      if (!answers.has(chosen())) view.ask();
    }
    if (any('mech')) view.table.choose(chosen());
    if (any('sort')) view.table.update(answers);
  }

  function figure() {
    const items = mechanisms()
      .filter((m) => answers.has(m.code))
      .map((m) => {
        const { weights, queries, keys, flops } = answers.get(m.code);
        // An image in place of thousands of rectangles each.
        const canvas = el('canvas');
        paint(canvas, { weights, queries, keys }, rangeOf({ weights }));
        return svg(
          'g',
          {},
          svg('text', { ...tw.draw.TEXT, 'font-weight': 600, y: 12 }, m.code),
          svg('text', { ...tw.draw.TEXT, 'font-size': 10, y: 144 }, count(flops) + ' multiply-adds'),
          svg('image', {
            y: 18,
            width: 112,
            height: 112,
            href: canvas.toDataURL(),
            'image-rendering': 'pixelated',
            preserveAspectRatio: 'none',
          }),
        );
      });
    if (items.length === 0) return null;
    items.forEach((item, i) => item.setAttribute('transform', `translate(${16 + 146 * (i % 6)} ${36 + 164 * Math.floor(i / 6)})`));
    return parts.sheet(
      'Each mechanism as a matrix of weights: queries down, keys across',
      900,
      46 + 164 * Math.ceil(items.length / 6),
      items.map((node) => ({ node: svg('svg', { overflow: 'visible' }, node), x: 0, y: 0 })),
    );
  }

  tw.panel({
    id: 'matrix',
    short: 'All as one matrix',
    order: 50,
    title: 'Every mechanism is the same matrix, filled differently',
    mount,
    update,
    svg: figure,
    lead: 'Row: who asks. Column: who is asked. Each row says how the output at that query is mixed. Attention fills rows with a softmax over all keys, a convolution with a few diagonals; deformable convolution bends them, dynamic convolution rewrites them row by row.',
    json: () => (answers.size === 0 ? null : { scene: shown.scene, matrices: Object.fromEntries(answers) }),
  });
})();
