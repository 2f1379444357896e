/* A sample of the task with its targets and what the probe says, and the way to its attention maps. */
(function () {
  'use strict';
  const tw = window.tw;
  const { el, svg } = tw;

  const FONT = { 'font-family': 'system-ui, sans-serif', 'text-anchor': 'middle' };
  const letter = (symbol) => String.fromCharCode(65 + symbol);

  /** The colour of each value, as the sample's own cells show it. */
  function palette({ values, scene }) {
    const colours = [];
    (values || []).forEach((value, i) => {
      colours[value] = scene.rgb.slice(3 * i, 3 * i + 3);
    });
    return Array.from({ length: 8 }, (_, value) => colours[value] || [200, 200, 200]);
  }

  function picture(label, size, cell) {
    const node = svg('svg', {
      class: 'train-picture',
      viewBox: `0 0 ${size} ${size}`,
      width: 200,
      height: 200,
      role: 'img',
      'aria-label': label,
    });
    for (let i = 0; i < size * size; i++) node.append(...cell(i, i % size, Math.floor(i / size)));
    return node;
  }

  /** Values in their colours with their digit; a wrong one is struck through, and keeps its digit readable. */
  function digits(label, values, targets, size, colours) {
    return picture(label, size, (i, x, y) => {
      const [value, target] = [values[i], targets[i]];
      if (target < 0)
        return [svg('rect', { x, y, width: 1, height: 1, fill: 'var(--grid)', stroke: 'var(--paper)', 'stroke-width': 0.04 })];
      const rgb = colours[value % 8];
      const ink = tw.colour.ink(rgb);
      return [
        svg('rect', { x, y, width: 1, height: 1, fill: tw.colour.css(rgb), stroke: 'var(--paper)', 'stroke-width': 0.04 }),
        svg('text', { ...FONT, x: x + 0.5, y: y + 0.7, 'font-size': 0.55, fill: ink }, value),
        ...(value !== target
          ? [svg('line', { x1: x + 0.12, y1: y + 0.88, x2: x + 0.88, y2: y + 0.12, stroke: ink, 'stroke-width': 0.06 })]
          : []),
      ];
    });
  }

  /** The cells' values as colours, with their symbols, what each asks for, arrows and the lit cell. */
  function scenePicture({ scene, symbols = [], questions = [], lit = null }) {
    const node = picture('What the probe sees', scene.width, (i, x, y) => {
      const rgb = scene.rgb.slice(3 * i, 3 * i + 3);
      const text = (dy, size, content) =>
        svg(
          'text',
          { ...FONT, x: x + 0.5, y: y + dy, 'font-size': size, fill: tw.colour.ink(rgb), 'font-weight': size > 0.4 ? 700 : 400 },
          content,
        );
      return [
        svg('rect', { x, y, width: 1.01, height: 1.01, fill: tw.colour.hex(rgb) }),
        symbols[i] >= 0 ? text(0.5, 0.5, letter(symbols[i])) : null,
        questions[i] >= 0 ? text(0.9, 0.36, letter(questions[i]) + '?') : null,
      ].filter(Boolean);
    });
    node.append(tw.draw.sceneArrows(scene));
    if (lit !== null) node.append(tw.parts.outline(lit % scene.width, Math.floor(lit / scene.width)));
    return node;
  }

  /** {element, show(run)}: asks for the sample of state.sample each time. */
  tw.trainSample = (panel) => {
    const index = el('input', {
      type: 'number',
      id: 'train-sample',
      min: 0,
      max: 999,
      step: 1,
      onchange: () => {
        const value = Number(index.value);
        if (tw.valid.integer(0, 999)(value)) tw.set({ sample: value });
        else index.value = tw.state.sample;
      },
    });
    const look = el('button', { type: 'button', onclick: lookAt }, 'Look at its attention maps');
    const back = el('button', { type: 'button', onclick: () => tw.set({ source: { kind: 'lesson' } }) }, 'Back to the lesson');
    const [pictures, hint] = [el('div', { class: 'train-pictures' }), el('p', { class: 'hint' })];
    const element = el(
      'div',
      { class: 'train-sample', hidden: true },
      el('h3', {}, 'One sample'),
      el('div', { class: 'row' }, el('label', { for: 'train-sample' }, 'Sample', index), look, back),
      pictures,
      hint,
    );
    let run = null;
    let asked = 0;

    const attends = () => run !== null && /^[01]{4}$/.test(run.learner);
    const looking = () => tw.state.source.kind === 'probe' && run !== null && tw.state.source.session === run.session;

    function lookAt() {
      if (!attends()) return;
      const { query } = tw.state;
      tw.set({
        source: { kind: 'probe', session: run.session, sample: tw.state.sample },
        terms: run.learner,
        head: 0,
        query: query.map((x) => Math.min(x, 7)),
        key: null,
      });
      const maps = document.getElementById('attention');
      if (maps) {
        maps.scrollIntoView();
        maps.focus({ preventScroll: true });
      }
      tw.say('The maps show this probe now.');
    }

    function figure(name, node, below) {
      return el('figure', {}, el('figcaption', {}, name), node, el('p', { class: 'small' }, below));
    }

    function draw(sample) {
      const { targets, predictions, width } = sample;
      const counted = targets.filter((t) => t >= 0).length;
      const right = targets.filter((t, i) => t >= 0 && t === predictions[i]).length;
      const colours = palette(sample);
      const marks = typeof sample.marks === 'string' ? sample.marks : '8\u00d78 cells';
      tw.fill(
        pictures,
        figure('what it sees', scenePicture(sample), `${marks}; colours are values`),
        figure('what it should say', digits('Targets: ' + targets.join(' '), targets, targets, width, colours), 'grey: does not count'),
        figure(
          'what it says',
          digits('Predictions: ' + predictions.join(' '), predictions, targets, width, colours),
          `${right} of ${counted} right; struck through: wrong`,
        ),
      );
    }

    return {
      element,
      async show(next) {
        run = next;
        index.value = tw.state.sample;
        element.hidden = run === null;
        back.hidden = tw.state.source.kind === 'lesson';
        look.disabled = !attends();
        look.setAttribute('aria-pressed', String(looking()));
        hint.textContent = run !== null && !attends() ? 'Convolutions have no map of energies; their weights are in the matrix above.' : '';
        if (run === null) return;
        const turn = ++asked;
        const { session } = run;
        if (looking() && tw.state.source.sample !== tw.state.sample)
          tw.set({ source: { kind: 'probe', session, sample: tw.state.sample } });
        try {
          const sample = await tw.api.call('sample', { session, index: tw.state.sample }, 'train.sample');
          if (turn === asked) draw(sample);
        } catch (error) {
          if (error.name !== 'AbortError' && turn === asked) tw.fill(pictures, el('p', { class: 'hint' }, error.message));
        }
      },
    };
  };
})();
