/* Small things that several panels share. */
(function () {
  'use strict';
  const tw = window.tw;
  const { el, svg } = tw;
  const parts = (tw.parts = {});

  /**
   * A job of a panel: `request()` runs `work` (which may answer a promise) as soon as the panel is near the screen.
   * One run at a time; requests made meanwhile lead to one more run, so a drag is followed without a queue.
   */
  parts.whenSeen = (panel, work) => {
    const job = { dirty: false, busy: false, seen: false };
    const run = async () => {
      if (job.busy || !job.dirty || !job.seen) return;
      Object.assign(job, { busy: true, dirty: false });
      try {
        await work();
      } catch (error) {
        console.error(error);
        panel.note(error.message);
      }
      job.busy = false;
      run();
    };
    new IntersectionObserver(
      (entries) => {
        job.seen = entries[entries.length - 1].isIntersecting;
        run();
      },
      { rootMargin: '300px' },
    ).observe(panel.section);
    return () => {
      job.dirty = true;
      run();
    };
  };

  /** The query, moved into the scene where it lies beyond its edge. */
  parts.queryIn = (scene, [row, column] = tw.state.query) => [Math.min(row, scene.height - 1), Math.min(column, scene.width - 1)];

  /** Where the query goes when another cell of the scene is chosen; the scene is what the lesson looks at. */
  parts.moveQuery = (query) => tw.set({ query, key: null, source: { kind: 'lesson' } });

  // Bytes to features and back, as the last layer of the lesson said.
  let mix = { scale: 1 / 255, shift: 0 };
  /** The first three channels of `features` as a colour, bytes. */
  parts.bytes = (features) => {
    if (tw.data.layer && tw.data.layer.colour) mix = tw.data.layer.colour;
    return [0, 1, 2].map((i) => Math.min(255, Math.max(0, Math.round((features[i] - mix.shift) / mix.scale))));
  };

  /** A coloured square with a name: `swatch('output', rgb)`; `.show(rgb)` changes it. */
  parts.swatch = (name) => {
    const square = el('span', { class: 'swatch-colour', 'aria-hidden': 'true' });
    const text = el('span', { class: 'swatch-text' });
    const element = el('span', { class: 'swatch' }, square, el('span', {}, el('span', { class: 'swatch-name' }, name), text));
    element.show = (rgb) => {
      square.style.background = tw.colour.css(rgb);
      text.textContent = tw.colour.hex(rgb);
    };
    return element;
  };

  /** A small coloured square. */
  parts.chip = (rgb) => {
    const chip = el('span', { class: 'chip' });
    chip.style.background = tw.colour.css(rgb);
    return chip;
  };

  /** The scene, small, in which the query is chosen by click, touch and arrow keys. `.update()` draws it. */
  parts.overview = (label) => {
    const map = tw.draw.map({
      label,
      kind: 'colours',
      className: 'overview',
      onpick: (i) => parts.moveQuery([Math.floor(i / map.width), i % map.width]),
      onmove: (down, right) => {
        const [row, column] = parts.queryIn(tw.data.scene);
        const within = (x, size) => Math.min(size - 1, Math.max(0, x));
        parts.moveQuery([within(row + down, map.height), within(column + right, map.width)]);
      },
    });
    map.element.update = () => {
      const { scene } = tw.data;
      if (!scene) return;
      const [row, column] = parts.queryIn(scene);
      map.draw(scene.rgb, scene.height, scene.width);
      map.marks({ query: row * scene.width + column, layer: tw.draw.sceneArrows(scene) });
    };
    return map.element;
  };

  const COLOURS = {
    '--paper': '#fdfcf8',
    '--card': '#ffffff',
    '--ink': '#1f2328',
    '--muted': '#5f656c',
    '--grid': '#e3e2db',
    '--line': '#cfcdc3',
    '--alarm': '#b02a30',
  };
  tw.colour.light.forEach((hex, i) => {
    COLOURS[(i < 4 ? '--e' : '--s') + (i + 1)] = hex;
  });
  /** A copy of an <svg> for a file: the theme's colours replaced by those of light, size as given. */
  parts.lightCopy = (node, width, height) => {
    const copy = node.cloneNode(true);
    for (const part of [copy, ...copy.querySelectorAll('*')]) {
      for (const { name, value } of [...part.attributes]) {
        if (value.includes('var('))
          part.setAttribute(
            name,
            value.replace(/var\((--[a-z0-9]+)\)/g, (all, key) => COLOURS[key] || '#1f2328'),
          );
        if (['tabindex', 'role', 'class', 'style'].includes(name) || name.startsWith('aria-')) part.removeAttribute(name);
      }
    }
    if (width) copy.setAttribute('width', width);
    if (height) copy.setAttribute('height', height);
    return copy;
  };

  /** Several <svg> of known size below a heading, in one file's figure: [{node, x, y}]. */
  parts.sheet = (heading, width, height, pieces) =>
    svg(
      'svg',
      { width, height, viewBox: `0 0 ${width} ${height}` },
      svg('rect', { width, height, fill: '#fdfcf8' }),
      svg('text', { ...tw.draw.TEXT, x: 16, y: 22, 'font-size': 13 }, heading),
      pieces
        .filter((piece) => piece.node)
        .map(({ node, x, y }) => {
          node.setAttribute('x', x);
          node.setAttribute('y', y);
          return node;
        }),
    );

  /**
   * A choice drawn as buttons of which one is pressed, by real radio buttons: arrow keys move, labels are read.
   * options: [[value, content, accessible name], ..]; `.show(value)` presses one.
   */
  parts.radios = (name, legend, options, onchoose, className = '') => {
    const inputs = options.map(([value, content, label]) => {
      const input = el('input', { type: 'radio', name, value: String(value), 'aria-label': label, onchange: () => onchoose(value) });
      return { value, input, label: el('label', { title: label }, input, el('span', { class: 'face' }, content)) };
    });
    const element = el(
      'fieldset',
      { class: 'radios ' + className },
      el('legend', {}, legend),
      el(
        'span',
        { class: 'radio-row' },
        inputs.map((x) => x.label),
      ),
    );
    element.show = (value) =>
      inputs.forEach((x) => {
        x.input.checked = x.value === value;
      });
    return element;
  };

  /** A thin outline of the cell at column `x`, row `y`, in units of cells. */
  parts.outline = (x, y) =>
    svg(
      'g',
      {},
      ['#1f2328', '#ffffff'].map((stroke, i) =>
        svg('rect', { x: x + 0.04, y: y + 0.04, width: 0.92, height: 0.92, fill: 'none', stroke, 'stroke-width': i === 0 ? 0.13 : 0.06 }),
      ),
    );

  /** The cells of a 3x3 kernel with their numbers, as SVG in units of cells. */
  parts.kernel = (weights, size, label) => {
    const range = [0, Math.max(...weights, 1e-9)];
    const node = svg('svg', { class: 'kernel', width: 150, height: 150, viewBox: `0 0 ${size} ${size}`, role: 'img', 'aria-label': label });
    weights.forEach((weight, j) => {
      const [x, y, rgb] = [j % size, Math.floor(j / size), tw.colour.of(weight, range, 'sequential')];
      node.append(
        svg('rect', { x, y, width: 1, height: 1, fill: tw.colour.hex(rgb) }),
        svg(
          'text',
          {
            x: x + 0.5,
            y: y + 0.58,
            'text-anchor': 'middle',
            'font-size': 0.24,
            'font-family': 'system-ui, sans-serif',
            fill: tw.colour.ink(rgb),
          },
          weight.toFixed(4),
        ),
      );
    });
    return node;
  };
})();
