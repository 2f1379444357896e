/*
 * From the state to the numbers that all panels show:
 * state -> scene (with what was painted) -> layer -> attend (computed here at once, then by the engine).
 * Tells the listeners 'data.scene', 'data.layer', 'data.attend'.
 */
(function () {
  'use strict';
  const tw = window.tw;

  /** What the panels show. `picture` is the input of the layer looked at: the scene, or a probe's sample. `attend.by` is 'page' or
   'engine'; `difference` compares the two. `stale`: another scene or layer is on its way. */
  tw.data = {
    info: null,
    scene: null,
    photo: null,
    picture: null,
    layer: null,
    attend: null,
    difference: null,
    problem: null,
    stale: true,
  };

  /** A copy of `base` with the cells of `painted` ([[index, r, g, b, arrow], ..]) over it. */
  function paint(base, painted) {
    const scene = { height: base.height, width: base.width, rgb: base.rgb.slice(), arrows: base.arrows.slice() };
    for (const [index, r, g, b, arrow] of painted) {
      if (index >= scene.arrows.length) continue;
      scene.rgb.splice(3 * index, 3, r, g, b);
      scene.arrows[index] = arrow;
    }
    return scene;
  }

  function problem(error) {
    if (error.name === 'AbortError') return;
    if (error.name !== 'Error') console.error(error);
    tw.data.problem = error.message;
    tw.notify(['data.problem']);
  }
  function solved() {
    if (tw.data.problem === null) return;
    tw.data.problem = null;
    tw.notify(['data.problem']);
  }

  const clampQuery = (height, width) => {
    const [row, column] = tw.state.query;
    const key = tw.state.key;
    tw.set({
      query: [Math.min(row, height - 1), Math.min(column, width - 1)],
      key: key === null || (key[0] < height && key[1] < width) ? key : null,
    });
  };

  let base = { name: null, scene: null };
  async function loadScene() {
    const { scene: name, size, seed, own, painted } = tw.state;
    if (own !== null)
      base = {
        name: null,
        scene: { height: own[0], width: own[1], rgb: new Array(3 * own[0] * own[1]).fill(255), arrows: new Array(own[0] * own[1]).fill(0) },
      };
    else if (base.name !== `${name} ${size} ${seed}`) {
      const answer = await tw.api.call('scene', { name, size, seed }, 'model.scene');
      base = { name: `${name} ${size} ${seed}`, scene: answer };
    }
    tw.data.scene = paint(base.scene, painted);
    if (tw.state.source.kind !== 'probe') tw.data.picture = input();
    if (tw.state.source.kind === 'lesson') clampQuery(tw.data.scene.height, tw.data.scene.width);
    tw.notify(['data.scene']);
  }

  /** What the layer looks at: a photo where one was loaded for a checkpoint, else the scene. */
  const input = () => (tw.state.source.kind === 'checkpoint' && tw.data.photo) || tw.data.scene;
  /** The parameters that name the layer looked at. */
  tw.layerParams = () => ({ source: tw.state.source, scene: input(), head: tw.state.head });
  /** A picture finer than a scene, for checkpoints; null for none. It is too large for the address. */
  tw.setPhoto = (photo) => {
    tw.data.photo = photo;
    if (tw.state.source.kind !== 'checkpoint') return;
    tw.data.stale = true;
    loadLayer().catch(problem);
  };

  async function loadLayer() {
    const { source } = tw.state;
    // A session or a checkpoint has its own input; the painted scene stays for the lesson.
    const [layer, picture] = await Promise.all([
      tw.api.call('layer', tw.layerParams(), 'model.layer'),
      source.kind === 'probe'
        ? tw.api.call('sample', { session: source.session, index: source.sample }, 'model.sample').then((sample) => sample.scene)
        : input(),
    ]);
    if (source !== tw.state.source) return;
    // The lesson's values are colours; bytes to features, so that outputs can be drawn and targets computed.
    if (source.kind === 'lesson' && !layer.colour) layer.colour = { scale: 1 / 255, shift: 0 };
    Object.assign(tw.data, { layer, picture, attend: null, stale: false });
    clampQuery(layer.height, layer.width);
    solved();
    tw.notify(['data.layer']);
  }

  const largest = (a, b) => a.reduce((most, x, i) => Math.max(most, Math.abs(x - b[i])), 0);
  /** The largest difference between two answers to the same attend. */
  tw.difference = (a, b) =>
    Math.max(
      ...a.energies.map((energy, i) => (energy && b.energies[i] ? largest(energy, b.energies[i]) : 0)),
      largest(a.sum, b.sum),
      largest(a.weights, b.weights),
      largest(a.output, b.output),
    );

  /** The parameters of the attend that the page shows. */
  tw.attendParams = (terms) => {
    const { layer } = tw.data;
    // A target is a colour; only a layer whose output is one can be sent towards it.
    return {
      ...tw.layerParams(),
      terms: tw.within(terms, layer.terms),
      query: tw.state.query,
      target: layer.colour ? tw.state.target : null,
    };
  };

  // Counts the states asked about: an answer to an earlier one comes too late to be shown.
  let turn = 0;
  const askEngine = tw.later(40, async () => {
    // Another layer is on its way: it will be asked about.
    if (tw.data.stale) return;
    const [{ layer }, mine] = [tw.data, turn];
    const params = tw.attendParams(tw.state.terms);
    try {
      const answer = await tw.api.call('attend', params, 'model.attend');
      if (mine !== turn || tw.data.stale) return;
      const own = tw.attend(layer, params);
      tw.data.difference = own ? tw.difference(own, answer) : null;
      tw.data.attend = { ...answer, by: 'engine' };
      solved();
      tw.notify(['data.attend']);
    } catch (error) {
      problem(error);
    }
  });

  function attend() {
    turn += 1;
    const own = tw.attend(tw.data.layer, tw.attendParams(tw.state.terms));
    if (own) {
      tw.data.attend = { ...own, by: 'page' };
      tw.data.difference = null;
      tw.notify(['data.attend']);
    }
    if (tw.api.online || !own) askEngine();
    else if (!tw.data.stale) solved();
  }

  const any = (changed, ...keys) => keys.some((key) => changed.has(key));

  /** The key that the pointer is on, or null; not part of the state. */
  tw.hovered = null;
  const hoverListeners = [];
  tw.onHover = (listener) => hoverListeners.push(listener);
  tw.hover = (key) => {
    if (key === tw.hovered) return;
    tw.hovered = key;
    hoverListeners.forEach((listener) => listener());
  };
  /** The key that formulas speak of: hovered, else pinned, else the one with the largest weight. */
  tw.inspected = () => {
    const { layer, attend: now } = tw.data;
    if (!layer || !now) return null;
    if (tw.hovered !== null && tw.hovered < now.sum.length) return tw.hovered;
    if (tw.state.key) return tw.state.key[0] * layer.width + tw.state.key[1];
    return now.weights.indexOf(Math.max(...now.weights));
  };

  /** Where a cell is: "row 3, column 5". */
  tw.cellName = (index, width) => `row ${Math.floor(index / width)}, column ${index % width}`;

  /** Switches term `i`. */
  tw.toggle = (i) => {
    const terms = [...tw.state.terms];
    terms[i] = terms[i] === '1' ? '0' : '1';
    tw.set({ terms: terms.join('') });
    tw.say(`${tw.terms[i].name} ${terms[i] === '1' ? 'on' : 'off'}`);
  };

  document.addEventListener('keydown', (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.defaultPrevented) return;
    if (event.target.closest && event.target.closest('input, textarea, select, dialog, [contenteditable]')) return;
    const i = ['1', '2', '3', '4'].indexOf(event.key);
    if (i >= 0) tw.toggle(i);
  });

  /** Moves the query by rows and columns, inside the grid. */
  tw.moveQuery = (rows, columns) => {
    const { layer } = tw.data;
    if (!layer) return;
    const [row, column] = tw.state.query;
    tw.set({ query: [Math.min(Math.max(row + rows, 0), layer.height - 1), Math.min(Math.max(column + columns, 0), layer.width - 1)] });
  };
  /** Makes the cell `index` the query. */
  tw.pickQuery = (index) => tw.set({ query: [Math.floor(index / tw.data.layer.width), index % tw.data.layer.width] });
  /** Keeps the key `index` as the one that formulas speak of, or lets it go. */
  tw.pinKey = (index) => {
    const at = [Math.floor(index / tw.data.layer.width), index % tw.data.layer.width];
    tw.set({ key: JSON.stringify(at) === JSON.stringify(tw.state.key) ? null : at });
  };

  /** What screen readers hear after the query or the terms have settled. */
  tw.summary = tw.later(500, () => {
    const { attend, layer } = tw.data;
    if (!attend) return;
    const top = attend.weights
      .map((w, k) => [w, k])
      .sort((a, b) => b[0] - a[0])
      .slice(0, 3);
    tw.say(
      `Query at row ${tw.state.query[0]}, column ${tw.state.query[1]}, terms ${tw.state.terms}. Looks most at ` +
        top.map(([w, k]) => `${tw.cellName(k, layer.width)} with ${(100 * w).toFixed(1)} per cent`).join('; ') +
        '.',
    );
  });

  /** Follows the state from now on. */
  tw.startModel = () => {
    tw.on((state, changed) => {
      const scene = any(changed, 'scene', 'size', 'seed', 'own', 'painted');
      // A probe has an input of its own: what is painted does not concern its layer.
      if (any(changed, 'source', 'head') || (scene && state.source.kind !== 'probe')) tw.data.stale = true;
      if (scene) loadScene().catch(problem);
      if (any(changed, 'source', 'head') || (changed.has('data.scene') && state.source.kind !== 'probe')) {
        if (tw.data.scene) loadLayer().catch(problem);
      }
      if (any(changed, 'data.layer', 'terms', 'query', 'target') && tw.data.layer) attend();
    });
    loadScene().catch(problem);
  };
})();
