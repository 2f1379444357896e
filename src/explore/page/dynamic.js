/* Dynamic convolution at one query: the kernel that its content generates, beside a static one. */
(function () {
  'use strict';
  const tw = window.tw;
  const { el, svg, parts } = tw;

  const DIRECTIONS = ['no arrow', 'an arrow up', 'an arrow to the right', 'an arrow down', 'an arrow to the left'];
  tw.define('group', 0, tw.codec.number, tw.valid.integer(0, 63));

  let answer = null;
  let view = null;

  const group = () => Math.min(tw.state.group, answer.groups - 1);
  const kernel = () => {
    const taps = answer.size * answer.size;
    return answer.kernels ? answer.kernels.slice(group() * taps, (group() + 1) * taps) : answer.kernel;
  };
  const total = (weights) => weights.reduce((sum, x) => sum + x, 0);
  const content = (scene, at) => [...scene.rgb.slice(3 * at, 3 * at + 3), scene.arrows[at]];

  /** Cells with the query's content, and the next cell (row-major) whose content differs or is the same. */
  function others(scene, at) {
    const mine = content(scene, at).join();
    const count = scene.height * scene.width;
    const next = (same) => {
      for (let step = 1; step < count; step++) {
        const i = (at + step) % count;
        if ((content(scene, i).join() === mine) === same) return i;
      }
      return null;
    };
    const twins = scene.arrows.filter((_, i) => i !== at && content(scene, i).join() === mine).length;
    return { twins, same: next(true), different: next(false) };
  }

  /** The cells below the kernel, with what lies beyond the picture's edge struck out. */
  function neighbourhood(scene, [row, column], size) {
    const half = (size - 1) / 2;
    const node = svg('svg', {
      class: 'kernel',
      width: 150,
      height: 150,
      viewBox: `0 0 ${size} ${size}`,
      role: 'img',
      'aria-label': 'The nine cells that the kernel weighs',
    });
    for (let j = 0; j < size * size; j++) {
      const [x, y] = [j % size, Math.floor(j / size)];
      const [r, c] = [row + y - half, column + x - half];
      const inside = r >= 0 && c >= 0 && r < scene.height && c < scene.width;
      const at = r * scene.width + c;
      node.append(
        svg('rect', { x, y, width: 1, height: 1, fill: inside ? tw.colour.hex(scene.rgb.slice(3 * at, 3 * at + 3)) : 'var(--grid)' }),
      );
      if (!inside)
        node.append(
          svg(
            'text',
            {
              x: x + 0.5,
              y: y + 0.56,
              'text-anchor': 'middle',
              'font-size': 0.2,
              'font-family': 'system-ui, sans-serif',
              fill: 'var(--muted)',
            },
            'outside',
          ),
        );
    }
    const arrows = tw.draw.sceneArrows(scene);
    arrows.setAttribute('transform', `translate(${half - column} ${half - row})`);
    node.append(
      svg('svg', { width: size, height: size, viewBox: `0 0 ${size} ${size}`, overflow: 'hidden' }, arrows),
      parts.outline(half, half),
    );
    return node;
  }

  function mount(body, panel) {
    const overview = parts.overview('The scene; choose the query of the dynamic convolution');
    const [pictures, reason, groups] = [el('div', { class: 'dynamic-pictures' }), el('p', { class: 'dynamic-reason' }), el('div', {})];
    const jump = (which) => {
      const { scene } = tw.data;
      const [row, column] = parts.queryIn(scene);
      const to = others(scene, row * scene.width + column)[which];
      if (to !== null) parts.moveQuery([Math.floor(to / scene.width), to % scene.width]);
    };
    const same = el('button', { type: 'button', onclick: () => jump('same') }, 'Go to a cell of the same content');
    const different = el('button', { type: 'button', onclick: () => jump('different') }, 'Go to a cell of other content');
    tw.fill(
      body,
      el(
        'div',
        { class: 'dynamic' },
        el('div', { class: 'dynamic-left' }, overview, el('p', { class: 'hint' }, 'Click or use arrow keys to move the query.')),
        el('div', {}, groups, pictures, reason, el('div', { class: 'row' }, same, different)),
      ),
    );
    view = { panel, overview, pictures, reason, groups, same, different };
    view.ask = parts.whenSeen(panel, ask);
  }

  async function ask() {
    const { scene } = tw.data;
    if (!scene) return;
    const query = parts.queryIn(scene);
    view.overview.update();
    await view.panel.run(tw.api.call('dynamic', { scene, query }), (got) => {
      answer = { ...got, scene, query };
      draw();
    });
  }

  function column(name, picture, below) {
    return el('figure', { class: 'dynamic-column' }, el('figcaption', {}, name), picture, below);
  }
  const sum = (weights, which) => el('p', { class: 'dynamic-sum' }, 'sum ', el('strong', { 'data-sum': which }, total(weights).toFixed(6)));

  function draw() {
    const { scene, query, size } = answer;
    const at = query[0] * scene.width + query[1];
    const weights = kernel();
    if (answer.groups > 1) {
      const chooser = parts.radios(
        'dynamic-group',
        'Channel group',
        Array.from({ length: answer.groups }, (_, g) => [g, g + 1, `group ${g + 1}`]),
        (g) => tw.set({ group: g }),
      );
      chooser.show(group());
      if (view.groups.dataset.count !== String(answer.groups)) tw.fill(view.groups, chooser);
      else
        view.groups.firstChild.querySelectorAll('input').forEach((input, g) => {
          input.checked = g === group();
        });
    } else tw.fill(view.groups);
    view.groups.dataset.count = answer.groups;
    const [mixed, plain] = ['output', 'output'].map(parts.swatch);
    mixed.show(parts.bytes(answer.output));
    plain.show(parts.bytes(answer.static_output));
    const name =
      answer.groups > 1
        ? `generated here, group ${group() + 1} of ${answer.groups}`
        : 'generated by this query (one group: all channels share it)';
    tw.fill(
      view.pictures,
      column('the cells it weighs', neighbourhood(scene, query, size), el('p', { class: 'small' }, `row ${query[0]}, column ${query[1]}`)),
      column(name, parts.kernel(weights, size, 'Generated kernel: ' + weights.map((x) => x.toFixed(4)).join(', ')), [
        sum(weights, 'generated'),
        mixed,
      ]),
      column(
        'static: the same at every query',
        parts.kernel(answer.static, size, 'Static kernel: ' + answer.static.map((x) => x.toFixed(4)).join(', ')),
        [sum(answer.static, 'static'), plain],
      ),
    );
    const { twins, same, different } = others(scene, at);
    const arrow = DIRECTIONS[scene.arrows[at]];
    view.reason.textContent =
      `The kernel is a softmax over its taps of nine products with this query\u2019s own content (${tw.colour.hex(scene.rgb.slice(3 * at, 3 * at + 3))}, ${arrow}), so its entries sum to 1 and change when the content does. ` +
      `It reads nothing else: the ${twins === 1 ? 'one other cell' : twins + ' other cells'} of this scene with the same content ${twins === 1 ? 'gets' : 'get'} this very kernel, wherever ${twins === 1 ? 'it is' : 'they are'}, and repainting a neighbour changes the output but not the kernel.`;
    view.same.disabled = same === null;
    view.different.disabled = different === null;
  }

  function update(state, data, changed) {
    const any = (...keys) => changed.has('all') || keys.some((key) => changed.has(key));
    if (any('data.scene', 'query')) view.ask();
    else if (any('group', 'data.layer') && answer) draw();
  }

  function figure() {
    if (!answer) return null;
    const pictures = [...view.pictures.querySelectorAll('svg.kernel')].map((node, i) => ({
      node: parts.lightCopy(node, 180, 180),
      x: 16 + 200 * i,
      y: 56,
    }));
    const names = ['cells', 'generated kernel, sum ' + total(kernel()).toFixed(6), 'static kernel'].map((name, i) => ({
      node: svg('text', { ...tw.draw.TEXT }, name),
      x: 16 + 200 * i,
      y: 48,
    }));
    return parts.sheet(`Dynamic convolution at row ${answer.query[0]}, column ${answer.query[1]}`, 620, 256, [...names, ...pictures]);
  }

  tw.panel({
    id: 'dynamic',
    short: 'Dynamic',
    order: 45,
    title: 'Dynamic convolution: the query writes its own kernel',
    mount,
    update,
    svg: figure,
    lead: 'A static kernel weighs the nine cells alike at every place. A dynamic one is generated at each query from the query\u2019s content alone: it never looks at the keys it weighs.',
    json: () =>
      answer && {
        dynamic: {
          query: answer.query,
          groups: answer.groups,
          kernel: answer.kernel,
          kernels: answer.kernels,
          static: answer.static,
          output: answer.output,
          static_output: answer.static_output,
        },
      },
  });
})();
