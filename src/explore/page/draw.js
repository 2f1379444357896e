/* Maps of numbers and of colours: on the page a canvas with marks above it, in files SVG rectangles. */
(function () {
  'use strict';
  const tw = window.tw;
  const { el, svg } = tw;

  /** Shows lines of text at the pointer, or beside an element; null hides them. */
  function tip(lines, at) {
    const box = document.getElementById('tip');
    if (!lines) {
      box.hidden = true;
      return;
    }
    tw.fill(
      box,
      lines.map((line, i) => el(i === 0 ? 'strong' : 'span', {}, line)),
    );
    box.hidden = false;
    const frame =
      at instanceof Element ? at.getBoundingClientRect() : { left: at.clientX, right: at.clientX, top: at.clientY, bottom: at.clientY };
    const size = box.getBoundingClientRect();
    const left = frame.right + 14 + size.width > innerWidth ? frame.left - 14 - size.width : frame.right + 14;
    const top = Math.min(frame.bottom + 12, innerHeight - size.height - 6);
    box.style.left = Math.max(4, Math.min(left, innerWidth - size.width - 4)) + 'px';
    box.style.top = Math.max(4, top) + 'px';
  }

  /** An arrow as an SVG group; the head is `head` long. */
  function arrow(x1, y1, x2, y2, { colour = 'currentColor', width = 0.1, head = 0.3, ...rest } = {}) {
    const length = Math.hypot(x2 - x1, y2 - y1) || 1;
    const [dx, dy] = [(x2 - x1) / length, (y2 - y1) / length];
    const size = Math.min(head, length);
    const [bx, by] = [x2 - dx * size, y2 - dy * size];
    const wing = 0.6 * size;
    const points = [
      [x2, y2],
      [bx - dy * wing, by + dx * wing],
      [bx + dy * wing, by - dx * wing],
    ];
    return svg(
      'g',
      { class: 'arrow', ...rest },
      svg('line', { x1, y1, x2: bx, y2: by, stroke: colour, 'stroke-width': width }),
      svg('polygon', { points: points.map((p) => p.join(',')).join(' '), fill: colour }),
    );
  }

  const STEPS = [null, [0, -1], [1, 0], [0, 1], [-1, 0]];
  /** The arrows painted on a scene, as SVG in units of cells. */
  function sceneArrows(scene) {
    const group = svg('g', { class: 'scene-arrows' });
    scene.arrows.forEach((direction, i) => {
      if (!STEPS[direction]) return;
      const [[dx, dy], x, y] = [STEPS[direction], (i % scene.width) + 0.5, Math.floor(i / scene.width) + 0.5];
      const colour = tw.colour.ink(scene.rgb.slice(3 * i, 3 * i + 3));
      group.append(arrow(x - 0.3 * dx, y - 0.3 * dy, x + 0.36 * dx, y + 0.36 * dy, { colour, width: 0.12, head: 0.36 }));
    });
    return group;
  }

  /** The colours of a map's cells, [[r, g, b], ..]. */
  function cellColours(values, kind, range) {
    if (kind === 'colours') return Array.from({ length: values.length / 3 }, (_, i) => values.slice(3 * i, 3 * i + 3));
    return Array.from(values, (value) => tw.colour.of(value, range, kind));
  }

  /** An outline of cell `i` of a map `width` wide, no thicker where cells are large. */
  function ring(i, width, name) {
    const [x, y, thick] = [i % width, Math.floor(i / width), 0.34 * Math.min(1, width / 14)];
    const line = (stroke, size) =>
      svg('rect', { x: x + 0.04, y: y + 0.04, width: 0.92, height: 0.92, fill: 'none', stroke, 'stroke-width': size });
    return svg('g', { class: 'ring ' + name }, line('#1f2328', thick), line(name === 'query' ? '#ffffff' : '#ffd23f', thick / 2));
  }

  /**
   * A map on the page. Options: `label` (what screen readers call it), `kind` ('sequential', 'diverging' or
   * 'colours' with three numbers 0..255 a cell), `legend` (false: none), `onhover(index or null, event)`,
   * `onpick(index)` (click, Enter), `onmove(row step, column step)` (arrow keys; without it they move the hovered
   * cell). Answers {element, draw(values, height, width, {range, grid}), marks({query, key, layer}), values, range}.
   */
  function map({ label, kind = 'sequential', legend = true, onhover, onpick, onmove, className = '' }) {
    const canvas = el('canvas', { width: 1, height: 1 });
    const over = svg('svg', { class: 'marks', 'aria-hidden': 'true', preserveAspectRatio: 'none' });
    const inside = onhover || onpick || onmove;
    const frame = el(
      'div',
      { class: 'map-frame', tabindex: inside ? '0' : null, role: inside ? 'application' : 'img', 'aria-label': label },
      canvas,
      over,
    );
    const [low, high] = [el('span', { class: 'min' }), el('span', { class: 'max' })];
    const strip = el('span', { class: 'strip', style: 'background:' + tw.colour.gradient(kind) });
    const foot = legend && kind !== 'colours' ? el('div', { class: 'legend' }, low, strip, high) : null;
    const element = el('div', { class: 'map ' + className }, frame, foot);
    const self = { element, frame, label, kind, values: [], height: 1, width: 1, range: [0, 0], hovered: null };

    self.draw = (values, height, width, { range, grid } = {}) => {
      // A picture may be finer than the grid of queries that lies on it.
      [self.height, self.width] = grid || [height, width];
      Object.assign(self, { values, range: kind === 'colours' ? [0, 255] : range || tw.colour.range(values, kind) });
      if (canvas.width !== width || canvas.height !== height) Object.assign(canvas, { width, height });
      over.setAttribute('viewBox', `0 0 ${self.width} ${self.height}`);
      frame.style.aspectRatio = `${width} / ${height}`;
      const image = new ImageData(width, height);
      const colours = cellColours(values, kind, self.range);
      for (let i = 0; i < colours.length; i++) {
        image.data[4 * i] = colours[i][0];
        image.data[4 * i + 1] = colours[i][1];
        image.data[4 * i + 2] = colours[i][2];
        image.data[4 * i + 3] = 255;
      }
      canvas.getContext('2d').putImageData(image, 0, 0);
      [low.textContent, high.textContent] = self.range.map(tw.format);
    };
    /** Rings about the query and the inspected key (indices or null) and a further SVG node in units of cells. */
    self.marks = ({ query = null, key = null, layer = null } = {}) => {
      self.marked = { query, key, layer };
      tw.fill(over, layer, query === null ? null : ring(query, self.width, 'query'), key === null ? null : ring(key, self.width, 'key'));
    };

    const cell = (event) => {
      const box = frame.getBoundingClientRect();
      const column = Math.floor(((event.clientX - box.left) / box.width) * self.width);
      const row = Math.floor(((event.clientY - box.top) / box.height) * self.height);
      return column >= 0 && row >= 0 && column < self.width && row < self.height ? row * self.width + column : null;
    };
    const hover = (index, event) => {
      self.hovered = index;
      if (onhover) onhover(index, event);
    };
    if (onhover) {
      frame.addEventListener('pointermove', (event) => hover(cell(event), event));
      frame.addEventListener('pointerleave', () => hover(null));
      frame.addEventListener('blur', () => hover(null));
    }
    if (onpick) frame.addEventListener('click', (event) => cell(event) !== null && onpick(cell(event), event));
    frame.addEventListener('keydown', (event) => {
      const step = { ArrowUp: [-1, 0], ArrowRight: [0, 1], ArrowDown: [1, 0], ArrowLeft: [0, -1] }[event.key];
      if (event.ctrlKey || event.metaKey || event.altKey) return;
      if (step && onmove) onmove(...step, event);
      else if (step && onhover) {
        const from = self.hovered === null ? ((self.marked && (self.marked.key ?? self.marked.query)) ?? 0) : self.hovered;
        const at = [Math.floor(from / self.width) + step[0], (from % self.width) + step[1]];
        const inside = at[0] >= 0 && at[1] >= 0 && at[0] < self.height && at[1] < self.width;
        hover(inside ? at[0] * self.width + at[1] : from, frame);
        const box = document.getElementById('tip');
        if (!box.hidden) tw.say([...box.children].map((line) => line.textContent).join(', '));
      } else if ((event.key === 'Enter' || event.key === ' ') && onpick && self.hovered !== null) onpick(self.hovered, event);
      else if (event.key === 'Escape' && self.hovered !== null) hover(null);
      else return;
      event.preventDefault();
    });
    return self;
  }

  const TEXT = { 'font-family': 'system-ui, sans-serif', 'font-size': 11, fill: '#1f2328' };

  /** One map as SVG rectangles in a square of `size`, with its title and its least and greatest value. */
  function mapSvg({ title, colour = '#1f2328', values, height, width, kind = 'sequential', range, query, key, layer }, size) {
    const unit = size / Math.max(width, height);
    const group = svg('g', {}, svg('text', { ...TEXT, y: 12, fill: colour, 'font-weight': 600 }, title));
    const span = range || tw.colour.range(values, kind);
    const cells = svg('g', { transform: `translate(0 18) scale(${unit})`, 'shape-rendering': 'crispEdges' });
    cellColours(values, kind, span).forEach((rgb, i) => {
      cells.append(svg('rect', { x: i % width, y: Math.floor(i / width), width: 1, height: 1, fill: tw.colour.hex(rgb) }));
    });
    const marks = [
      layer ? layer.cloneNode(true) : null,
      query === null || query === undefined ? null : ring(query, width, 'query'),
      key === null || key === undefined ? null : ring(key, width, 'key'),
    ];
    group.append(cells, svg('g', { transform: `translate(0 18) scale(${unit})` }, marks));
    if (kind !== 'colours') {
      const y = 18 + unit * height + 13;
      group.append(
        svg('text', { ...TEXT, 'font-size': 10, y }, tw.format(span[0])),
        svg('text', { ...TEXT, 'font-size': 10, y, x: unit * width, 'text-anchor': 'end' }, tw.format(span[1])),
      );
    }
    return group;
  }

  /** A file's figure: a heading and maps (see mapSvg) in rows of `columns`. */
  function figure(heading, maps, { columns = 4, size = 180 } = {}) {
    const [across, down, step] = [Math.min(columns, maps.length), Math.ceil(maps.length / columns), size + 24];
    const [width, height] = [across * step + 16, 36 + down * (size + 48)];
    const node = svg(
      'svg',
      { width, height, viewBox: `0 0 ${width} ${height}` },
      svg('rect', { width, height, fill: '#fdfcf8' }),
      svg('text', { ...TEXT, x: 20, y: 22, 'font-size': 13 }, heading),
    );
    maps.forEach((item, i) => {
      const group = mapSvg(item, size);
      group.setAttribute('transform', `translate(${20 + (i % columns) * step} ${36 + Math.floor(i / columns) * (size + 48)})`);
      node.append(group);
    });
    return node;
  }

  /** A real table of a map's numbers. */
  function table(caption, values, height, width) {
    const head = el(
      'tr',
      {},
      el('th', { scope: 'col' }, 'row'),
      Array.from({ length: width }, (_, x) => el('th', { scope: 'col' }, x)),
    );
    const rows = Array.from({ length: height }, (_, y) =>
      el(
        'tr',
        {},
        el('th', { scope: 'row' }, y),
        Array.from({ length: width }, (_, x) => el('td', {}, tw.format(values[y * width + x]))),
      ),
    );
    return el(
      'div',
      { class: 'table-scroll', tabindex: '0', role: 'region', 'aria-label': caption },
      el('table', { class: 'numbers' }, el('caption', {}, caption), el('thead', {}, head), el('tbody', {}, rows)),
    );
  }

  tw.draw = { tip, arrow, sceneArrows, map, mapSvg, figure, table, ring, TEXT };
})();
