/* Line charts. */
(function () {
  'use strict';
  const tw = window.tw;
  const { svg } = tw;

  /** Round numbers that divide [min, max] into about four parts. */
  function ticks(min, max) {
    const raw = (max - min) / 4 || 1;
    const power = 10 ** Math.floor(Math.log10(raw));
    const step = [1, 2, 5, 10].map((m) => m * power).find((s) => s >= raw);
    const found = [];
    for (let t = Math.ceil(min / step) * step; t <= max + 1e-9 * step; t += step)
      found.push(Math.abs(t) < 1e-9 * step ? 0 : Number(t.toPrecision(12)));
    return found;
  }

  /**
   * Lines as an <svg>. series: [{name, colour, points: [[x, y], ..], dash}]; options: width, height, x and y labels,
   * rangeX, rangeY ([min, max]), verticals ([{x, name}]), dots ([{x, y, colour}]), label (for screen readers).
   * On the page use theme colours (`var(--ink)`); `file: true` uses those of light.
   */
  tw.lines = (
    series,
    { width = 480, height = 220, x: xName = '', y: yName = '', rangeX, rangeY, verticals = [], dots = [], label = '', file = false } = {},
  ) => {
    const [ink, muted, grid] = file ? ['#1f2328', '#5f656c', '#e3e2db'] : ['var(--ink)', 'var(--muted)', 'var(--grid)'];
    const all = series.flatMap((line) => line.points).filter((point) => point.every(Number.isFinite));
    const spread = (given, index) => {
      if (given) return given;
      const [min, max] = tw.range(all.map((point) => point[index]));
      return min === max ? [min - 0.5, max + 0.5] : [min, max];
    };
    const [[x0, x1], [y0, y1]] = [spread(rangeX, 0), spread(rangeY, 1)];
    const [left, top, right, bottom] = [52, series.length > 1 ? 28 : 12, width - 12, height - 38];
    const X = (x) => left + ((x - x0) / (x1 - x0)) * (right - left);
    const Y = (y) => bottom - ((y - y0) / (y1 - y0)) * (bottom - top);
    const text = (attributes, content) =>
      svg('text', { 'font-family': 'system-ui, sans-serif', 'font-size': 11, fill: muted, ...attributes }, content);
    const node = svg('svg', { class: 'chart', width, height, viewBox: `0 0 ${width} ${height}`, role: 'img', 'aria-label': label });
    if (file) node.append(svg('rect', { width, height, fill: '#fdfcf8' }));
    for (const t of ticks(y0, y1)) {
      node.append(
        svg('line', { x1: left, x2: right, y1: Y(t), y2: Y(t), stroke: grid }),
        text({ x: left - 6, y: Y(t) + 4, 'text-anchor': 'end' }, tw.format(t)),
      );
    }
    for (const t of ticks(x0, x1)) node.append(text({ x: X(t), y: bottom + 15, 'text-anchor': 'middle' }, tw.format(t)));
    node.append(svg('line', { x1: left, x2: right, y1: bottom, y2: bottom, stroke: muted }));
    for (const line of verticals) {
      node.append(svg('line', { x1: X(line.x), x2: X(line.x), y1: top, y2: bottom, stroke: muted, 'stroke-dasharray': '3 3' }));
      if (line.name) node.append(text({ x: X(line.x) + 4, y: top + 10 }, line.name));
    }
    series.forEach((line, i) => {
      let pen = 'M';
      const path = line.points
        .map(([x, y]) => {
          if (!Number.isFinite(y)) {
            pen = 'M';
            return '';
          }
          const part = `${pen}${X(x).toFixed(2)} ${Y(y).toFixed(2)}`;
          pen = 'L';
          return part;
        })
        .join('');
      node.append(
        svg('path', {
          d: path || 'M0 0',
          fill: 'none',
          stroke: line.colour,
          'stroke-width': 2,
          'stroke-linejoin': 'round',
          'stroke-dasharray': line.dash,
          class: 'line',
        }),
      );
      if (series.length > 1) {
        const at = left + (i * (right - left)) / series.length;
        node.append(
          svg('line', { x1: at, x2: at + 16, y1: 14, y2: 14, stroke: line.colour, 'stroke-width': 2, 'stroke-dasharray': line.dash }),
          text({ x: at + 21, y: 18, fill: ink }, line.name),
        );
      }
    });
    for (const dot of dots)
      node.append(
        svg('circle', {
          cx: X(dot.x),
          cy: Y(dot.y),
          r: 4.5,
          fill: dot.colour,
          stroke: file ? '#fdfcf8' : 'var(--paper)',
          'stroke-width': 1.5,
        }),
      );
    node.append(
      text({ x: right, y: height - 6, 'text-anchor': 'end' }, xName),
      text({ x: 12, y: (top + bottom) / 2, transform: `rotate(-90 12 ${(top + bottom) / 2})`, 'text-anchor': 'middle' }, yName),
    );
    return node;
  };
})();
