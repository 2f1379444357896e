/* What the panel of deformable convolution draws: cells, points, weights, slopes and curves. */
(function () {
  'use strict';
  const tw = window.tw;
  const { el, svg, parts } = tw;

  // Cells shown on each side of the query.
  const HALF = 4;
  const SIDE = 2 * HALF + 1;
  const AXES = ['dy (down)', 'dx (right)'];
  const FONT = { 'font-family': 'system-ui, sans-serif', 'text-anchor': 'middle' };

  /** The cells about the query into `group`; hatched where there is no cell. */
  function cells(group, scene, [row, column]) {
    tw.fill(group);
    for (let y = 0; y < SIDE; y++) {
      for (let x = 0; x < SIDE; x++) {
        const [r, c] = [row - HALF + y, column - HALF + x];
        const inside = r >= 0 && c >= 0 && r < scene.height && c < scene.width;
        const at = r * scene.width + c;
        group.append(
          svg('rect', {
            x,
            y,
            width: 1.005,
            height: 1.005,
            fill: inside ? tw.colour.hex(scene.rgb.slice(3 * at, 3 * at + 3)) : 'url(#deform-outside)',
          }),
        );
      }
    }
    const arrows = tw.draw.sceneArrows(scene);
    arrows.setAttribute('transform', `translate(${HALF - column} ${HALF - row})`);
    // Arrows of cells beyond the cut-out would be drawn over the page.
    group.append(
      svg('svg', { width: SIDE, height: SIDE, viewBox: `0 0 ${SIDE} ${SIDE}`, overflow: 'hidden' }, arrows),
      parts.outline(HALF, HALF),
    );
  }

  /** A tap at (tx, ty) and the arrow of its offset (dy, dx), up to the edge of the point's dot. */
  function offset(ty, tx, [dy, dx]) {
    const tap = svg('circle', { cx: tx, cy: ty, r: 0.08, fill: '#ffffff', stroke: '#1f2328', 'stroke-width': 0.04, opacity: 0.85 });
    const length = Math.hypot(dy, dx);
    if (length <= 0.02) return [tap];
    const reach = Math.max(0, length - 0.17) / length;
    const [y, x] = [ty + reach * dy, tx + reach * dx];
    // A pale line beneath keeps it visible on dark cells.
    const halo = svg('line', { x1: tx, y1: ty, x2: x, y2: y, stroke: '#ffffff', 'stroke-width': 0.14, 'stroke-linecap': 'round' });
    const arrow = tw.draw.arrow(tx, ty, x, y, { colour: '#1f2328', width: 0.06, head: Math.min(0.26, 0.6 * length) });
    return reach > 0 ? [tap, halo, arrow] : [tap, halo];
  }

  /** A corner of the chosen point: {outline, label}, the label moved away from the point so that neither hides the other. */
  function corner({ weight }, x, y, away) {
    const text = weight.toFixed(3);
    const [cx, cy] = [x + 0.3 * away[1], y + 0.32 * away[0]];
    const outline = [
      svg('rect', { x: x - 0.5, y: y - 0.5, width: 1, height: 1, fill: 'none', stroke: '#ffd23f', 'stroke-width': 0.07 }),
      svg('circle', { cx: x, cy: y, r: 0.03 + 0.16 * Math.sqrt(weight), fill: '#ffd23f', stroke: '#1f2328', 'stroke-width': 0.03 }),
    ];
    const label = svg(
      'g',
      { class: 'deform-corner' },
      svg('rect', { x: cx - 0.34, y: cy - 0.15, width: 0.68, height: 0.3, rx: 0.06, fill: '#1f2328', opacity: 0.88 }),
      svg('text', { ...FONT, x: cx, y: cy + 0.09, 'font-size': 0.25, fill: '#ffffff' }, text),
    );
    return { outline, label };
  }

  // What is zero but for rounding is shown as zero.
  const tidy = (x) => (Math.abs(x) < 1e-15 ? 0 : x);
  const vector = (values) => values.slice(0, 3).map((x) => tw.format(x));
  const cellsOf = (name, values) =>
    el(
      'tr',
      {},
      el('th', { scope: 'row' }, name),
      values.map((x) => el('td', {}, x)),
    );

  /** The weights and slopes of point `i`, at `offset`, and the loss, into `box`. */
  function numbers(box, answer, i, offset) {
    const tap = answer.taps[i];
    const { scene } = answer;
    const colourOf = (corner) => {
      const at = corner.row * scene.width + corner.col;
      return scene.rgb.slice(3 * at, 3 * at + 3);
    };
    const corners = el(
      'table',
      { class: 'numbers deform-weights' },
      el('caption', {}, `Point ${i + 1}: four corners, bilinear weights`),
      el(
        'thead',
        {},
        el(
          'tr',
          {},
          ['corner', 'colour', 'weight'].map((x) => el('th', { scope: 'col' }, x)),
        ),
      ),
      el(
        'tbody',
        {},
        tap.corners.map((corner) =>
          el(
            'tr',
            {},
            el('th', { scope: 'row' }, `(${corner.row}, ${corner.col})`),
            el('td', {}, corner.inside ? parts.chip(colourOf(corner)) : 'outside: 0'),
            el('td', {}, tw.format.fine(corner.weight)),
          ),
        ),
        cellsOf('sum', ['', tw.format.fine(tap.corners.reduce((sum, corner) => sum + corner.weight, 0))]),
      ),
    );
    const slopes = el(
      'table',
      { class: 'numbers deform-slopes' },
      el('caption', {}, 'What moving the point does'),
      el(
        'thead',
        {},
        el(
          'tr',
          {},
          ['', ...AXES].map((x) => el('th', { scope: 'col' }, x)),
        ),
      ),
      el(
        'tbody',
        {},
        cellsOf(
          'offset',
          offset.map((x) => tw.format(x)),
        ),
        cellsOf(
          'position',
          tap.at.map((x) => tw.format(x)),
        ),
        ['red', 'green', 'blue'].map((name, c) =>
          cellsOf(
            `d ${name} / d offset`,
            tap.grad_output.map((g) => tw.format(tidy(g[c]))),
          ),
        ),
        el(
          'tr',
          { class: 'strong' },
          el('th', { scope: 'row' }, 'd loss / d offset'),
          tap.grad.map((g, axis) => el('td', { 'data-grad': axis, 'data-value': g }, tw.format.fine(g))),
        ),
      ),
    );
    tw.fill(
      box,
      el(
        'p',
        { class: 'deform-loss' },
        'loss = \u00bd |output \u2212 target|\u00b2 = ',
        el('strong', { 'data-loss': answer.loss }, tw.format.fine(answer.loss)),
        el('span', { class: 'small' }, `  output (${vector(answer.output).join(', ')})`),
      ),
      el('div', { class: 'deform-tables' }, corners, slopes),
    );
  }

  /** The two curves of the scan. The gradient's is broken at integers: there it jumps. */
  function curves(scan, answer, now, { width, file }) {
    const { tap, axis } = scan;
    const colours = file ? tw.colour.light : ['var(--e1)', 'var(--e2)'];
    const integers = Array.from({ length: 2 * Math.floor(scan.reach) + 1 }, (_, i) => ({ x: i - Math.floor(scan.reach) }));
    const broken = scan.offset.map((x, i) => [x, Math.abs(x - Math.round(x)) < 1e-9 ? NaN : scan.grad[i]]);
    // Room above and below, so that no line lies on the frame.
    const room = (values) => {
      const [min, max] = tw.range(values);
      const edge = 0.08 * (max - min) || 0.01;
      return [min - edge, max + edge];
    };
    const chart = (name, points, colour, y) =>
      tw.lines([{ name, colour, points }], {
        rangeY: room([...points.map((point) => point[1]), y]),
        width,
        height: 168,
        x: `offset ${AXES[axis]} of point ${tap + 1}`,
        y: name,
        verticals: integers,
        file,
        dots: [{ x: now, y, colour: file ? '#1f2328' : 'var(--ink)' }],
        label: `${name} along the offset ${AXES[axis]} of point ${tap + 1}`,
      });
    const grad = answer.taps[tap].grad[axis];
    return [
      chart(
        'loss',
        scan.offset.map((x, i) => [x, scan.loss[i]]),
        colours[0],
        answer.loss,
      ),
      chart('d loss / d offset', broken, colours[1], grad),
    ];
  }

  tw.deformDrawing = { HALF, SIDE, cells, offset, corner, numbers, curves };
})();
