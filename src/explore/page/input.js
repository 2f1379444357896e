/* One's own input: a built-in scene, painted cells, a picture, a sentence. */
(function () {
  'use strict';
  const tw = window.tw;
  const { el, parts } = tw;

  const SIZES = [8, 16, 32];
  const COLOURS = [
    ['red', [214, 39, 40]],
    ['orange', [240, 140, 30]],
    ['yellow', [240, 190, 30]],
    ['green', [44, 130, 60]],
    ['cyan', [20, 170, 190]],
    ['blue', [31, 90, 200]],
    ['purple', [130, 60, 170]],
    ['white', [245, 245, 245]],
    ['grey', [120, 120, 120]],
    ['black', [30, 30, 30]],
  ];
  const ARROWS = ['no arrow', 'arrow up', 'arrow right', 'arrow down', 'arrow left'];
  const SIGNS = ['\u00b7', '\u2191', '\u2192', '\u2193', '\u2190'];
  const KEPT = 60;
  const BLANK = [245, 245, 245];

  let view = null;
  let brush = 'colour 0';
  let custom = [255, 105, 180];
  const past = [];

  const FIELDS = ['scene', 'size', 'seed', 'own', 'painted'];
  function remember() {
    past.push(Object.fromEntries(FIELDS.map((key) => [key, tw.state[key]])));
    if (past.length > KEPT) past.shift();
    view.undo.disabled = false;
  }
  function undo() {
    if (past.length === 0) return;
    tw.set(past.pop());
    view.undo.disabled = past.length === 0;
    tw.say('Undone.');
  }
  /** Another scene: what was painted on the old one goes, but can be had back. */
  function choose(patch) {
    remember();
    tw.set({ own: null, painted: [], source: { kind: 'lesson' }, ...patch });
  }

  function paint(cells) {
    const { scene } = tw.data;
    const painted = new Map(tw.state.painted.map((cell) => [cell[0], cell]));
    const [kind, which] = brush.split(' ');
    for (const [row, column] of cells) {
      const index = row * scene.width + column;
      const [r, g, b, arrow] = (painted.get(index) || [index, ...scene.rgb.slice(3 * index, 3 * index + 3), scene.arrows[index]]).slice(1);
      if (kind === 'eraser') {
        // Of a picture of one's own every cell is painted: there the eraser leaves blank paper.
        if (tw.state.own === null) painted.delete(index);
        else painted.set(index, [index, ...BLANK, 0]);
      } else if (kind === 'arrow') painted.set(index, [index, r, g, b, Number(which)]);
      else painted.set(index, [index, ...(which === 'own' ? custom : COLOURS[Number(which)][1]), arrow]);
    }
    tw.set({ painted: [...painted.values()].sort((x, y) => x[0] - y[0]), source: { kind: 'lesson' } });
  }

  function describe([row, column]) {
    const { scene } = tw.data;
    const i = row * scene.width + column;
    return `row ${row}, column ${column}: ${tw.colour.hex(scene.rgb.slice(3 * i, 3 * i + 3))}, ${ARROWS[scene.arrows[i]]}`;
  }

  /** Every cell of `scene` as painted cells, of a size of its own. */
  function adopt(scene) {
    remember();
    const painted = scene.arrows.map((arrow, i) => [i, ...scene.rgb.slice(3 * i, 3 * i + 3), arrow]);
    tw.set({ own: [scene.height, scene.width], painted, source: { kind: 'lesson' } });
  }
  const blank = () => {
    const { size } = tw.state;
    adopt({
      height: size,
      width: size,
      rgb: Array.from({ length: 3 * size * size }, (_, i) => BLANK[i % 3]),
      arrows: new Array(size * size).fill(0),
    });
  };

  /** A picture read by the browser itself, its longer side `size` cells. */
  async function decode(file, size) {
    let bitmap;
    try {
      bitmap = await createImageBitmap(file);
    } catch {
      throw new Error(`${file.name}: expected a picture (PNG or JPEG), found something else.`);
    }
    const scale = size / Math.max(bitmap.width, bitmap.height);
    const [width, height] = [bitmap.width, bitmap.height].map((x) => Math.max(1, Math.round(scale * x)));
    const canvas = el('canvas', { width, height });
    const context = canvas.getContext('2d');
    context.fillStyle = '#ffffff';
    context.fillRect(0, 0, width, height);
    Object.assign(context, { imageSmoothingEnabled: true, imageSmoothingQuality: 'high' });
    context.drawImage(bitmap, 0, 0, width, height);
    const { data } = context.getImageData(0, 0, width, height);
    const rgb = [];
    for (let i = 0; i < data.length; i += 4) rgb.push(data[i], data[i + 1], data[i + 2]);
    return { height, width, rgb, arrows: new Array(width * height).fill(0) };
  }

  async function load(file) {
    const { size } = tw.state;
    const most = (tw.data.info.limits && tw.data.info.limits.upload_bytes) || 8e6;
    if (file.size > most) return view.panel.note(`${file.name} has ${file.size} bytes; at most ${most} are read.`);
    const answer = tw.api.online
      ? file.arrayBuffer().then((bytes) => tw.api.upload('picture', bytes, { size }, 'input.picture'))
      : decode(file, size);
    return view.panel.run(answer, (scene) => {
      adopt(scene);
      tw.say(`${file.name} is the scene now, ${scene.height} by ${scene.width} cells.`);
    });
  }

  function brushes() {
    const face = (rgb) => parts.chip(rgb);
    const options = [
      ...COLOURS.map(([name, rgb], i) => [`colour ${i}`, face(rgb), `paint ${name}`]),
      ['colour own', el('span', { class: 'chip own-chip' }), 'paint the colour of your choice'],
      ...SIGNS.map((sign, i) => [`arrow ${i}`, sign, i === 0 ? 'take the arrow away' : `draw an ${ARROWS[i]}`]),
      ['eraser 0', 'erase', 'eraser: back to the scene'],
    ];
    const group = parts.radios(
      'brush',
      'Brush',
      options,
      (value) => {
        brush = value;
      },
      'brushes',
    );
    group.show(brush);
    const own = group.querySelector('.own-chip');
    own.style.background = tw.colour.css(custom);
    const colour = el('input', {
      type: 'color',
      id: 'input-colour',
      value: tw.colour.hex(custom),
      oninput: () => {
        custom = tw.colour.rgb(colour.value);
        own.style.background = colour.value;
        brush = 'colour own';
        group.show(brush);
      },
    });
    return [group, el('label', { for: 'input-colour' }, 'Another colour', colour)];
  }

  function sentence() {
    const { translator } = tw.data.info;
    const example = (translator && translator.example) || '';
    const box = el('input', {
      type: 'text',
      id: 'input-sentence',
      maxlength: 400,
      placeholder: example,
      autocomplete: 'off',
      onchange: () => tw.set({ text: box.value.trim(), word: 0 }),
    });
    const form = el(
      'form',
      {
        class: 'row',
        onsubmit: (event) => {
          event.preventDefault();
          tw.set({ text: box.value.trim(), word: 0 });
          const panel = document.getElementById('text');
          if (panel) panel.scrollIntoView();
        },
      },
      el('label', { for: 'input-sentence' }, 'A sentence', box),
      el('button', { type: 'submit' }, 'Look at its words'),
    );
    return { form, box };
  }

  function mount(body, panel) {
    const { scenes } = tw.data.info;
    const painter = tw.painter({ onstroke: remember, onpaint: paint, onundo: undo, describe });
    const scene = el(
      'select',
      { id: 'input-scene', onchange: () => choose({ scene: scene.value }) },
      scenes.map((s) => el('option', { value: s.name }, s.title)),
    );
    const size = parts.radios(
      'size',
      'Size',
      SIZES.map((n) => [n, `${n}\u00d7${n}`, `${n} by ${n} cells`]),
      (n) => choose({ size: n }),
    );
    const seed = el('input', {
      type: 'number',
      id: 'input-seed',
      min: 0,
      max: 4294967295,
      step: 1,
      onchange: () => {
        const value = Number(seed.value);
        if (seed.value !== '' && tw.valid.integer(0, 2 ** 32 - 1)(value)) choose({ seed: value });
        else seed.value = tw.state.seed;
      },
    });
    const file = el('input', {
      type: 'file',
      id: 'input-picture',
      accept: 'image/png,image/jpeg',
      onchange: () => {
        if (file.files.length > 0) load(file.files[0]);
        file.value = '';
      },
    });
    const button = (name, onclick) => el('button', { type: 'button', onclick }, name);
    const undoButton = button('Undo', undo);
    undoButton.disabled = true;
    const clear = button('Clear what I painted', () => choose({}));
    const words = sentence();
    const note = el('p', { class: 'hint' });
    tw.fill(
      body,
      el(
        'div',
        { class: 'input' },
        el('div', { class: 'input-picture' }, painter.element, note),
        el(
          'div',
          { class: 'input-tools' },
          el(
            'div',
            { class: 'row' },
            el('label', { for: 'input-scene' }, 'Scene', scene),
            el('label', { for: 'input-seed' }, 'Seed', seed),
            button('Another', () => choose({ seed: (tw.state.seed + 1) % 2 ** 32 })),
          ),
          size,
          brushes(),
          el('div', { class: 'row' }, undoButton, clear, button('Blank sheet', blank)),
          el('div', { class: 'row' }, el('label', { for: 'input-picture' }, 'A picture (PNG, JPEG)', file)),
          words.form,
        ),
      ),
    );
    view = { panel, painter, scene, size, seed, undo: undoButton, clear, words, note };
    painter.element.addEventListener('dragover', (event) => event.preventDefault());
    painter.element.addEventListener('drop', (event) => {
      event.preventDefault();
      if (event.dataTransfer.files.length > 0) load(event.dataTransfer.files[0]);
    });
  }

  function update(state, data, changed) {
    const any = (...keys) => changed.has('all') || keys.some((key) => changed.has(key));
    if (any('data.scene', 'query') && data.scene) view.painter.draw(data.scene, parts.queryIn(data.scene));
    if (any('scene')) view.scene.value = state.scene;
    if (any('size')) view.size.show(state.size);
    if (any('seed')) view.seed.value = state.seed;
    if (any('text') && document.activeElement !== view.words.box) view.words.box.value = state.text;
    if (any('painted', 'own')) {
      view.clear.disabled = state.painted.length === 0 && state.own === null;
      const count = state.painted.length;
      view.note.textContent =
        (state.own
          ? `Your own picture, ${state.own.join('\u00d7')} cells. `
          : count > 0
            ? `${count} cell${count === 1 ? '' : 's'} painted. `
            : '') +
        'Drag to paint; or focus the picture: arrow keys move, space paints, shift with arrow keys paints along. What you paint is kept in the address.';
    }
  }

  tw.panel({
    id: 'input',
    short: 'Your input',
    order: 15,
    title: 'Your own input',
    mount,
    update,
    lead: 'Paint cells, give them arrows, load a picture or type a sentence: everything on this page follows.',
    svg: () =>
      tw.data.scene &&
      tw.draw.figure(
        'The scene',
        [
          {
            title: tw.state.own ? 'own picture' : tw.state.scene,
            values: tw.data.scene.rgb,
            height: tw.data.scene.height,
            width: tw.data.scene.width,
            kind: 'colours',
            layer: tw.draw.sceneArrows(tw.data.scene),
          },
        ],
        { columns: 1, size: 420 },
      ),
    json: () => tw.data.scene && { scene: tw.data.scene },
  });
})();
