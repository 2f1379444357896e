/*
 * Deformable convolution at one query: nine sampling points that can be dragged, the bilinear weights of the chosen
 * one, what the output and the loss do, and the kink that the gradient has at every integer line.
 */
(function () {
  'use strict';
  const tw = window.tw;
  const { el, svg, parts } = tw;
  const drawing = tw.deformDrawing;
  const { HALF, SIDE } = drawing;

  // How far a point can be dragged from its tap, by how much a key moves it, and the points of a curve.
  const [REACH, STEP, COUNT] = [3, 0.05, 241];

  tw.define('tap', 5, tw.codec.number, tw.valid.integer(0, 8));
  tw.define('axis', 1, tw.codec.number, tw.valid.integer(0, 1));
  // Null: the offsets that the layer predicts. Otherwise dy, dx of each tap, as dragged.
  tw.define('offsets', null, tw.codec.list, (x) => x === null || (x.length === 18 && x.every((v) => Math.abs(v) <= 8)));

  let answer = null;
  let scan = null;
  let view = null;

  const taps = () => answer.taps.map((tap) => tap.tap);
  const offsets = () =>
    tw.state.offsets ? answer.taps.map((tap, i) => tw.state.offsets.slice(2 * i, 2 * i + 2)) : answer.taps.map((tap) => tap.offset);
  const params = (scene) => ({
    scene,
    query: parts.queryIn(scene),
    target: tw.state.target,
    offsets: tw.state.offsets && Array.from({ length: 9 }, (_, i) => tw.state.offsets.slice(2 * i, 2 * i + 2)),
  });

  function move(tap, offset) {
    const all = offsets().map((pair) => pair.map((x) => Number(x.toFixed(4))));
    all[tap] = offset.map((x) => Number(Math.min(REACH, Math.max(-REACH, x)).toFixed(2)) + 0);
    tw.set({ offsets: all.flat(), tap });
  }

  /** One step down the gradient for all points: the steepest moves a tenth of a cell. */
  function descend() {
    if (!answer) return;
    const steepest = Math.max(...answer.taps.flatMap((tap) => tap.grad.map(Math.abs)));
    if (!(steepest > 0)) return view.panel.note('The gradient is zero at all nine points: there is no way down from here.');
    const moved = offsets().flatMap((pair, i) =>
      pair.map((x, axis) => {
        const to = x - (0.1 * answer.taps[i].grad[axis]) / steepest;
        return Number(Math.min(REACH, Math.max(-REACH, to)).toFixed(4)) + 0;
      }),
    );
    tw.set({ offsets: moved });
  }

  const KEYS = { ArrowUp: [-STEP, 0], ArrowDown: [STEP, 0], ArrowLeft: [0, -STEP], ArrowRight: [0, STEP] };

  /** One draggable point. The element stays for good, so that focus and drag survive each redraw. */
  function point(i) {
    const node = svg(
      'g',
      { class: 'deform-point', tabindex: '0', role: 'button', 'aria-roledescription': 'movable sampling point', 'data-tap': i },
      svg('circle', { class: 'hit', r: 0.42, fill: 'transparent' }),
      svg('circle', { class: 'dot', r: 0.17, fill: '#ffffff', stroke: '#1f2328', 'stroke-width': 0.06 }),
    );
    let grip = null;
    const place = (event) => {
      const box = view.picture.getBoundingClientRect();
      return [((event.clientY - box.top) / box.height) * SIDE, ((event.clientX - box.left) / box.width) * SIDE];
    };
    node.addEventListener('pointerdown', (event) => {
      if (!answer || event.button > 0) return;
      node.setPointerCapture(event.pointerId);
      node.focus({ preventScroll: true });
      const [at, now] = [place(event), offsets()[i]];
      grip = [now[0] - at[0], now[1] - at[1]];
      tw.set({ tap: i });
      event.preventDefault();
    });
    node.addEventListener('pointermove', (event) => {
      if (!grip) return;
      const [y, x] = place(event);
      move(i, [y + grip[0], x + grip[1]]);
    });
    // Inside of an SVG `touch-action` does not hold: a finger on a point must not scroll the page.
    node.addEventListener('touchstart', (event) => event.preventDefault(), { passive: false });
    for (const end of ['pointerup', 'pointercancel', 'lostpointercapture']) {
      node.addEventListener(end, () => {
        grip = null;
      });
    }
    node.addEventListener('focus', () => answer && tw.set({ tap: i }));
    node.addEventListener('keydown', (event) => {
      const step = KEYS[event.key];
      if (!step || !answer || event.ctrlKey || event.metaKey || event.altKey) return;
      event.preventDefault();
      event.stopPropagation();
      const now = offsets()[i];
      view.speak = true;
      move(i, [now[0] + step[0], now[1] + step[1]]);
      // The axis that is moved along is the one to look at.
      tw.set({ axis: step[0] ? 0 : 1 });
    });
    return node;
  }

  function mount(body, panel) {
    const [cells, grid, behind, front] = ['cells', 'grid', 'behind', 'front'].map((name) => svg('g', { class: 'deform-' + name }));
    for (let i = 0; i < SIDE; i++) {
      const line = { stroke: '#1f2328', 'stroke-width': 0.02, 'stroke-dasharray': '0.08 0.08', opacity: 0.55 };
      grid.append(
        svg('line', { x1: 0, x2: SIDE, y1: i + 0.5, y2: i + 0.5, ...line }),
        svg('line', { y1: 0, y2: SIDE, x1: i + 0.5, x2: i + 0.5, ...line }),
      );
    }
    const points = Array.from({ length: 9 }, (_, i) => point(i));
    const hatch = svg(
      'pattern',
      { id: 'deform-outside', width: 0.25, height: 0.25, patternUnits: 'userSpaceOnUse', patternTransform: 'rotate(45)' },
      svg('rect', { width: 0.25, height: 0.25, fill: 'var(--grid)' }),
      svg('line', { x1: 0, x2: 0, y1: 0, y2: 0.25, stroke: 'var(--muted)', 'stroke-width': 0.03 }),
    );
    const picture = svg(
      'svg',
      {
        class: 'deform-picture',
        viewBox: `0 0 ${SIDE} ${SIDE}`,
        width: 460,
        height: 460,
        role: 'group',
        'aria-label': 'Sampling points of the deformable convolution',
      },
      svg('defs', {}, hatch),
      cells,
      grid,
      behind,
      points,
      front,
    );
    const axis = parts.radios(
      'deform-axis',
      'Chart along',
      [
        [0, 'dy', 'dy, down'],
        [1, 'dx', 'dx, right'],
      ],
      (value) => tw.set({ axis: value }),
    );
    const target = el('input', { type: 'color', id: 'deform-target', oninput: () => tw.set({ target: tw.colour.rgb(target.value) }) });
    const swatches = ['the query\u2019s colour', 'output', 'target'].map(parts.swatch);
    const overview = parts.overview('The scene; choose the query of the deformable convolution');
    const [numbers, charts, caption] = [
      el('div', { class: 'deform-numbers' }),
      el('div', { class: 'deform-charts' }),
      el('p', { class: 'hint' }),
    ];
    const reset = el('button', { type: 'button', onclick: () => tw.set({ offsets: null }) }, 'Reset the points');
    tw.fill(
      body,
      el(
        'div',
        { class: 'deform' },
        el(
          'div',
          { class: 'deform-left' },
          picture,
          caption,
          el('div', { class: 'row' }, reset, el('button', { type: 'button', onclick: descend }, 'Step down the gradient')),
        ),
        el(
          'div',
          { class: 'deform-right' },
          el(
            'div',
            { class: 'deform-top' },
            overview,
            el('div', { class: 'deform-mix' }, swatches, el('label', { for: 'deform-target' }, 'Target colour ', target)),
          ),
          numbers,
          axis,
          charts,
        ),
      ),
    );
    view = {
      panel,
      picture,
      cells,
      behind,
      front,
      points,
      axis,
      target,
      swatches,
      overview,
      numbers,
      charts,
      caption,
      reset,
      speak: false,
    };
    view.ask = parts.whenSeen(panel, ask);
    view.askScan = parts.whenSeen(panel, askScan);
  }

  async function ask() {
    const { scene } = tw.data;
    if (!scene) return;
    view.overview.update();
    await view.panel.run(tw.api.call('deformable', params(scene)), (got) => {
      answer = { ...got, query: parts.queryIn(scene), scene };
      draw();
      view.askScan();
    });
  }

  async function askScan() {
    const { scene } = tw.data;
    if (!scene || !answer) return;
    const { tap, axis } = tw.state;
    const now = Math.abs(offsets()[tap][axis]);
    const reach = now > 2.4 ? Math.max(REACH, Math.ceil(now)) : 2.5;
    // An even number of steps, so that integers are among the points.
    const question = { ...params(scene), offsets: offsets(), tap, axis, from: -reach, to: reach, count: COUNT };
    try {
      const got = await tw.api.call('deformable_scan', question);
      scan = { ...got, tap, axis, reach };
      drawCharts();
    } catch (error) {
      scan = null;
      tw.fill(view.charts, el('p', { class: 'hint' }, error.message));
    }
  }

  function drawPoints() {
    if (!answer) return;
    const [row, column] = answer.query;
    const inView = ([y, x]) => [y - row + HALF + 0.5, x - column + HALF + 0.5];
    const all = offsets();
    tw.fill(view.behind);
    view.picture.querySelectorAll('.deform-point').forEach((node, i) => {
      const [dy, dx] = taps()[i];
      const [ty, tx] = [dy + HALF + 0.5, dx + HALF + 0.5];
      const [y, x] = [ty + all[i][0], tx + all[i][1]];
      const chosen = i === tw.state.tap;
      node.setAttribute('transform', `translate(${x} ${y})`);
      node.setAttribute('aria-pressed', String(chosen));
      node.setAttribute(
        'aria-label',
        `Point ${i + 1} of 9, tap ${dy}, ${dx}; offset down ${all[i][0].toFixed(2)}, right ${all[i][1].toFixed(2)}. Arrow keys move it by ${STEP}.`,
      );
      node.querySelector('.dot').setAttribute('fill', chosen ? '#ffd23f' : '#ffffff');
      view.behind.append(...drawing.offset(ty, tx, all[i]));
    });
    const tap = answer.taps[tw.state.tap];
    const [py, px] = inView(tap.at);
    const labels = tap.corners.map((corner) => {
      const [y, x] = inView([corner.row, corner.col]);
      const { outline, label } = drawing.corner(corner, x, y, [y > py ? 1 : -1, x > px ? 1 : -1]);
      view.behind.append(...outline);
      return label;
    });
    // Its dot once more, on top: moving the point itself to the top would take the focus from it.
    tw.fill(view.front, svg('circle', { cx: px, cy: py, r: 0.17, fill: '#ffd23f', stroke: '#1f2328', 'stroke-width': 0.06 }), labels);
  }

  const drawNumbers = () => drawing.numbers(view.numbers, answer, tw.state.tap, offsets()[tw.state.tap]);

  function draw() {
    const { scene, query } = answer;
    drawing.cells(view.cells, scene, query);
    drawPoints();
    drawNumbers();
    const at = query[0] * scene.width + query[1];
    view.swatches[0].show(scene.rgb.slice(3 * at, 3 * at + 3));
    view.swatches[1].show(parts.bytes(answer.output));
    view.swatches[2].hidden = tw.state.target === null;
    if (tw.state.target) view.swatches[2].show(tw.state.target);
    view.caption.textContent =
      `Query at row ${query[0]}, column ${query[1]}. Dashed lines join the cells\u2019 centres: there a point\u2019s position is an integer. ` +
      (tw.state.offsets ? 'These are your offsets.' : 'The offsets are those that the query\u2019s content predicts.') +
      ' Drag a point, or focus it and press arrow keys.';
    if (view.speak) {
      view.speak = false;
      tw.say(`loss ${tw.format(answer.loss)}, gradient ${tw.format(answer.taps[tw.state.tap].grad[tw.state.axis])}`);
    }
  }

  const curves = (file) => {
    const width = file ? 460 : Math.max(280, Math.min(560, view.charts.clientWidth || 460));
    return drawing.curves(scan, answer, offsets()[scan.tap][scan.axis], { width, file });
  };

  function drawCharts() {
    if (!scan || !answer) return;
    tw.fill(
      view.charts,
      curves(false),
      el(
        'p',
        { class: 'hint' },
        'The loss has no step, only a kink: at each dashed line another pair of cells takes over, and its slope, the gradient, jumps.',
      ),
    );
  }

  function update(state, data, changed) {
    const any = (...keys) => changed.has('all') || keys.some((key) => changed.has(key));
    if (any('axis')) view.axis.show(state.axis);
    if (any('target') && state.target) view.target.value = tw.colour.hex(state.target);
    if (any('offsets')) view.reset.disabled = state.offsets === null;
    if (any('data.scene', 'query', 'offsets', 'target')) view.ask();
    else if (any('data.layer') && answer) draw();
    if (answer && any('offsets', 'tap')) drawPoints();
    if (answer && any('tap')) drawNumbers();
    if (answer && any('tap', 'axis')) view.askScan();
  }

  function figure() {
    if (!answer) return null;
    const charts = scan ? curves(true) : [];
    return parts.sheet(
      `Deformable convolution at row ${answer.query[0]}, column ${answer.query[1]}: loss ${tw.format(answer.loss)}`,
      900,
      430,
      [{ node: parts.lightCopy(view.picture, 380, 380), x: 16, y: 36 }, ...charts.map((node, i) => ({ node, x: 420, y: 40 + 180 * i }))],
    );
  }

  tw.panel({
    id: 'deformable',
    short: 'Deformable',
    order: 40,
    title: 'Deformable convolution: the query moves its sampling points',
    mount,
    update,
    svg: figure,
    lead:
      'A 3\u00d73 convolution reads nine cells beside the query. A deformable one first shifts each of them by an offset that the query\u2019s content predicts, ' +
      'and reads between the cells, as a mix of four corners. That mix is what a gradient can flow through.',
    json: () => answer && { deformable: { query: answer.query, taps: answer.taps, output: answer.output, loss: answer.loss }, scan },
  });
})();
