/* A sample of the task with its targets and what the probe says, and the way to its attention maps. */
(function () {
  'use strict';
  const tw = window.tw;
  const { el, svg } = tw;

  // Eight values, told apart by their digit; the tints only help.
  const TINTS = ['#8ecae6', '#ffd6a5', '#b7e4c7', '#e0bbe4', '#f6e58d', '#ffadad', '#c8d6e5', '#d5c4a1'];
  const FONT = { 'font-family': 'system-ui, sans-serif', 'text-anchor': 'middle' };

  function picture(label, size, cell) {
    const node = svg('svg', { class: 'train-picture', viewBox: `0 0 ${size} ${size}`, width: 200, height: 200, role: 'img', 'aria-label': label });
    for (let i = 0; i < size * size; i++) node.append(...cell(i, i % size, Math.floor(i / size)));
    return node;
  }

  function digits(label, values, targets, size) {
    return picture(label, size, (i, x, y) => {
      const [value, target] = [values[i], targets[i]];
      if (target < 0) return [svg('rect', { x, y, width: 1, height: 1, fill: 'var(--grid)', stroke: 'var(--paper)', 'stroke-width': 0.04 })];
      const wrong = value !== target;
      return [
        svg('rect', { x, y, width: 1, height: 1, fill: TINTS[value % 8], stroke: 'var(--paper)', 'stroke-width': 0.04 }),
        svg('text', { ...FONT, x: x + 0.5, y: y + 0.7, 'font-size': 0.55, fill: '#1f2328', 'font-weight': wrong ? 700 : 400 }, value),
        ...(wrong ? [svg('line', { x1: x + 0.1, y1: y + 0.9, x2: x + 0.9, y2: y + 0.1, stroke: '#b02a30', 'stroke-width': 0.09 })] : []),
      ];
    });
  }

  function scenePicture(scene) {
    const node = picture('What the probe sees', scene.width, (i, x, y) => [svg('rect', { x, y, width: 1.01, height: 1.01, fill: tw.colour.hex(scene.rgb.slice(3 * i, 3 * i + 3)) })]);
    node.append(tw.draw.sceneArrows(scene));
    return node;
  }

  /** {element, show(run)}: asks for the sample of state.sample each time. */
  tw.trainSample = (panel) => {
    const index = el('input', { type: 'number', id: 'train-sample', min: 0, max: 999, step: 1, onchange: () => {
      const value = Number(index.value);
      if (tw.valid.integer(0, 999)(value)) tw.set({ sample: value });
      else index.value = tw.state.sample;
    } });
    const look = el('button', { type: 'button', onclick: lookAt }, 'Look at its attention maps');
    const back = el('button', { type: 'button', onclick: () => tw.set({ source: { kind: 'lesson' } }) }, 'Back to the lesson');
    const [pictures, hint] = [el('div', { class: 'train-pictures' }), el('p', { class: 'hint' })];
    const element = el('div', { class: 'train-sample', hidden: true }, el('h3', {}, 'One sample'),
      el('div', { class: 'row' }, el('label', { for: 'train-sample' }, 'Sample', index), look, back), pictures, hint);
    let run = null;
    let asked = 0;

    const attends = () => run !== null && /^[01]{4}$/.test(run.learner);
    const looking = () => tw.state.source.kind === 'probe' && run !== null && tw.state.source.session === run.session;

    function lookAt() {
      if (!attends()) return;
      const { query } = tw.state;
      tw.set({ source: { kind: 'probe', session: run.session, sample: tw.state.sample }, terms: run.learner, head: 0, query: query.map((x) => Math.min(x, 7)), key: null });
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
      const marks = typeof sample.marks === 'string' ? sample.marks : '';
      tw.fill(pictures,
        figure('what it sees', scenePicture(sample.scene), marks),
        figure('what it should say', digits('Targets: ' + targets.join(' '), targets, targets, width), 'grey: does not count'),
        figure('what it says', digits('Predictions: ' + predictions.join(' '), predictions, targets, width), `${right} of ${counted} right; struck through: wrong`));
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
        if (looking() && tw.state.source.sample !== tw.state.sample) tw.set({ source: { kind: 'probe', session, sample: tw.state.sample } });
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
