/*
 * The first panel: the picture with the query, a map for each term, their sum, the softmax and the output,
 * forward or, with `state.backward`, the derivatives of the loss in the same maps.
 */
(function () {
  'use strict';
  const tw = window.tw;
  const { el } = tw;

  tw.define('table', '', tw.codec.text, (x) => ['', 'E1', 'E2', 'E3', 'E4', 'sum', 'softmax'].includes(x));

  const FORMULAS = ['q \u00b7 k', 'q \u00b7 r', 'u \u00b7 k', 'v \u00b7 r'];
  const LESSON = ['Here: the same colour.', 'Here: along its arrow.', 'Here: bright colours.', 'Here: near cells.'];
  /** What term `i` does in the lesson, for the query chosen. */
  function lesson(i) {
    const { scene } = tw.data;
    const [row, column] = tw.state.query;
    return i === 1 && scene && scene.arrows[row * scene.width + column] === 0 ? 'Here: no arrow, so 0.' : LESSON[i];
  }
  const STEPS = {
    sum: ['Sum', 'added up for each cell.', 'd loss / d energy: how the loss changes with each cell\u2019s energy.'],
    softmax: [
      'Softmax',
      'Exponentials over their total: shares that add up to 1.',
      'd loss / d weight: how the loss changes with each cell\u2019s share.',
    ],
  };
  const cardOf = {};
  let picture, output, inspect, tables, problem, difference, sourceLine, headPicker;

  /** The numbers of each map: forward, or the derivatives. */
  function numbers(name) {
    const { attend } = tw.data;
    if (tw.state.backward) {
      const { grad_energies: energies, grad_weights: weights } = attend.backward;
      if (name === 'softmax') return weights;
      const i = ['E1', 'E2', 'E3', 'E4'].indexOf(name);
      return i < 0 || (tw.state.terms[i] === '1' && attend.energies[i]) ? energies : attend.energies[i] && energies.map(() => 0);
    }
    if (name === 'sum') return attend.sum;
    if (name === 'softmax') return attend.weights;
    return attend.energies[['E1', 'E2', 'E3', 'E4'].indexOf(name)];
  }
  const meaning = (name) => {
    if (!tw.state.backward) return name === 'softmax' ? 'Share' : name === 'sum' ? 'Sum of the energies' : `Energy ${name}`;
    return `d loss / d ${name === 'softmax' ? 'weight' : name === 'sum' ? 'energy' : name}`;
  };

  function tableButton(name, title) {
    return el(
      'button',
      {
        type: 'button',
        class: 'quiet table-button',
        'aria-pressed': 'false',
        'aria-label': `Table of ${title}`,
        onclick: () => tw.set({ table: tw.state.table === name ? '' : name }),
      },
      'table',
    );
  }

  /** A map with its head and its sentence; forward and backward use two scales. */
  function mapCard(name, title, head, sentence) {
    const onhover = (index, event) => {
      tw.hover(index);
      const card = cardOf[name];
      const values = tw.data.attend && numbers(name);
      if (index === null || !values) return tw.draw.tip(null);
      return tw.draw.tip([`${meaning(name)}: ${tw.format.fine(values[index])}`, `key at ${tw.cellName(index, card.map.width)}`], event);
    };
    const make = (kind) => tw.draw.map({ label: `${title}: arrow keys inspect a key, Enter pins it`, kind, onhover, onpick: tw.pinKey });
    const [forward, backward] = [make('sequential'), make('diverging')];
    const absent = el('p', { class: 'absent', hidden: true }, 'This layer lacks the term.');
    const text = el('p', { class: 'card-line' }, sentence);
    const button = tableButton(name, title);
    const element = el(
      'div',
      { class: 'card', 'data-map': name },
      el('div', { class: 'card-head' }, head, button),
      text,
      absent,
      forward.element,
      backward.element,
    );
    cardOf[name] = { element, forward, backward, text, absent, button, title, map: forward };
    return element;
  }

  function termCard(term, i) {
    const button = el(
      'button',
      {
        type: 'button',
        class: `switch term-${i + 1}`,
        'data-term': i,
        onclick: () => tw.toggle(i),
        title: `Switch ${term.name} (key ${i + 1})`,
      },
      el('span', { class: 'knob', 'aria-hidden': 'true' }),
      el('strong', {}, term.name),
      el('span', { class: 'math' }, ` = ${FORMULAS[i]}`),
    );
    const element = mapCard(term.name, term.name, button, term.line);
    element.style.setProperty('--term', tw.colour.term(i));
    cardOf[term.name].switch = button;
    return element;
  }

  function sceneControls(info) {
    // Another picture takes the place of what was painted, and of a probe's.
    const choose = (patch) =>
      tw.set({ ...patch, own: null, painted: [], ...(tw.state.source.kind === 'probe' ? { source: { kind: 'lesson' }, head: 0 } : {}) });
    const scene = el(
      'select',
      { id: 'scene', onchange: () => choose({ scene: scene.value }) },
      info.scenes.map(({ name, title }) => el('option', { value: name }, title)),
      el('option', { value: 'own', hidden: true }, 'Own picture'),
    );
    const size = el(
      'select',
      { id: 'size', onchange: () => choose({ size: Number(size.value) }) },
      [8, 12, 16, 24, 32].filter((n) => n <= info.limits.size).map((n) => el('option', { value: n }, `${n}\u202f\u00d7\u202f${n}`)),
    );
    const seed = el(
      'button',
      { type: 'button', title: 'Another picture of this kind', onclick: () => choose({ seed: (tw.state.seed % 9999) + 1 }) },
      'another',
    );
    tw.on(() => show());
    function show() {
      scene.value = tw.state.own ? 'own' : tw.state.scene;
      size.value = String(tw.state.size);
    }
    show();
    return el(
      'div',
      { class: 'row scene-controls' },
      el('label', {}, 'Picture', scene),
      el('label', { class: 'unlabelled' }, el('span', { class: 'unseen' }, 'Size'), size),
      seed,
    );
  }

  const LEADS = {
    false:
      'Click a cell of the picture to make it the query. Each map shows how strongly one term draws the query to every cell: dark least, pale yellow most.',
    true: 'The loss, sent back through the same maps. Blue: more there lowers the loss. Orange: it raises the loss. The target colour is chosen further below.',
  };

  tw.panel({
    id: 'attention',
    order: 10,
    short: 'The terms',
    title: 'One query, four terms',
    lead: LEADS[false],

    mount(body) {
      picture = tw.draw.map({
        label: 'Picture: arrow keys move the query',
        kind: 'colours',
        className: 'picture',
        onpick: tw.pickQuery,
        onmove: tw.moveQuery,
        onhover: (index, event) => {
          tw.hover(index);
          tw.draw.tip(index === null ? null : [`make ${tw.cellName(index, picture.width)} the query`], event);
        },
      });
      sourceLine = el('p', { class: 'source-line' });
      const head = el('select', { id: 'head', onchange: () => tw.set({ head: Number(head.value) }) });
      headPicker = el('label', { hidden: true }, 'Head', head);
      problem = el('p', { class: 'note', role: 'alert', hidden: true });
      difference = el('p', { class: 'small difference' });
      output = el('div', { class: 'output' });
      inspect = el('div', { class: 'inspect' });
      tables = el('div', { class: 'tables' });
      const [title, forward] = STEPS.sum;
      const views = el(
        'div',
        { class: 'views', role: 'group', 'aria-label': 'Direction' },
        [
          ['forward', false],
          ['backward', true],
        ].map(([name, value]) =>
          el('button', { type: 'button', 'data-backward': String(value), onclick: () => tw.set({ backward: value }) }, name),
        ),
      );
      body.append(
        problem,
        el(
          'div',
          { class: 'flow' },
          el(
            'div',
            { class: 'flow-input' },
            el('div', { class: 'card-head' }, el('h3', {}, 'Picture and query')),
            picture.element,
            el('p', { class: 'query-line' }),
            sceneControls(tw.data.info),
            sourceLine,
            headPicker,
            views,
            difference,
          ),
          el(
            'div',
            { class: 'flow-maps' },
            tw.terms.map(termCard),
            mapCard('sum', title, el('h3', {}, title), forward),
            mapCard('softmax', STEPS.softmax[0], el('h3', {}, STEPS.softmax[0]), STEPS.softmax[1]),
            el(
              'div',
              { class: 'card' },
              el('div', { class: 'card-head' }, el('h3', {}, 'Output')),
              el('p', { class: 'card-line' }, 'The values of all cells, mixed by their shares.'),
              output,
            ),
            el('div', { class: 'card' }, el('div', { class: 'card-head' }, el('h3', {}, 'This key')), inspect),
          ),
        ),
        tables,
      );
      tw.onHover(marks);
    },

    update(state, data, changed) {
      problem.hidden = !data.problem;
      tw.fill(problem, data.problem, ' ', data.problem && state.source.kind !== 'lesson' ? backToLesson() : null);
      showSource(state);
      if (data.picture && data.layer && (changed.has('data.layer') || changed.has('data.scene'))) drawPicture();
      const has = (...keys) => keys.some((key) => changed.has(key));
      if (has('all', 'terms', 'backward', 'source', 'query', 'data.layer')) drawControls(state);
      if (data.attend && has('data.attend', 'backward', 'table')) drawMaps(state, data);
      else if (has('key')) marks();
    },

    svg() {
      const { attend, layer, picture: shown } = tw.data;
      if (!attend) return null;
      const query = tw.state.query[0] * layer.width + tw.state.query[1];
      const key = tw.state.key ? tw.state.key[0] * layer.width + tw.state.key[1] : null;
      const shape = { height: layer.height, width: layer.width, query, key };
      const same = shown.height === layer.height && shown.width === layer.width;
      const items = [
        {
          title: 'picture and query',
          values: shown.rgb,
          kind: 'colours',
          height: shown.height,
          width: shown.width,
          query: same ? query : null,
          layer: same ? tw.draw.sceneArrows(shown) : null,
        },
      ];
      for (const [name, card] of Object.entries(cardOf)) {
        const i = ['E1', 'E2', 'E3', 'E4'].indexOf(name);
        const values = numbers(name);
        if (values)
          items.push({
            title: meaning(name) + (i >= 0 && tw.state.terms[i] === '0' ? ' (off)' : ''),
            colour: tw.colour.light[i],
            values,
            kind: card.map.kind,
            ...shape,
          });
      }
      const mixed = tw.outputColour(attend.output);
      if (mixed) items.push({ title: 'output', values: mixed, kind: 'colours', height: 1, width: 1 });
      return tw.draw.figure(`Terms ${tw.state.terms}, query at ${tw.cellName(query, layer.width)}`, items);
    },
    json() {
      const { attend, layer } = tw.data;
      return attend && { height: layer.height, width: layer.width, ...attend };
    },
  });

  /** A button that leaves a probe or a checkpoint. */
  function backToLesson() {
    return el(
      'button',
      { type: 'button', class: 'quiet', onclick: () => tw.set({ source: { kind: 'lesson' }, head: 0 }) },
      'back to the lesson',
    );
  }
  function showSource({ source }) {
    const names = {
      probe: `Looking at a trained probe, sample ${source.sample}.`,
      checkpoint: `Looking at ${source.block} of the loaded checkpoint.`,
    };
    tw.fill(sourceLine, names[source.kind] ? [names[source.kind], ' ', backToLesson()] : null);
    sourceLine.hidden = !names[source.kind];
    const heads = tw.data.layer ? tw.data.layer.heads : 1;
    headPicker.hidden = heads < 2;
    const select = headPicker.querySelector('select');
    if (select.length !== heads)
      tw.fill(
        select,
        Array.from({ length: heads }, (_, i) => el('option', { value: i }, `${i + 1} of ${heads}`)),
      );
    select.value = String(tw.state.head);
  }

  function drawPicture() {
    const { picture: shown, layer } = tw.data;
    picture.draw(shown.rgb, shown.height, shown.width, { grid: [layer.height, layer.width] });
    picture.arrows = shown.height === layer.height && shown.width === layer.width ? tw.draw.sceneArrows(shown) : null;
    marks();
  }

  function marks() {
    const { layer, attend } = tw.data;
    if (!layer) return;
    const query = tw.state.query[0] * layer.width + tw.state.query[1];
    const key = tw.inspected();
    picture.marks({ query, key: key === query ? null : key, layer: picture.arrows });
    for (const card of Object.values(cardOf)) card.map.marks({ query, key: key === query ? null : key });
    if (attend && key !== null) tw.inspect(inspect, layer, attend, query, key);
  }

  function drawControls(state) {
    document.querySelector('#attention .panel-lead').textContent = LEADS[state.backward];
    for (const button of document.querySelectorAll('.views button'))
      button.setAttribute('aria-pressed', String((button.dataset.backward === 'true') === state.backward));
    tw.terms.forEach((term, i) => {
      const there = !tw.data.layer || tw.data.layer.terms[i] === '1';
      const on = there && state.terms[i] === '1';
      const card = cardOf[term.name];
      card.switch.disabled = card.button.disabled = !there;
      card.switch.setAttribute('aria-pressed', String(on));
      card.element.classList.toggle('off', !on);
      if (state.backward)
        tw.fill(card.text, on ? `d loss / d ${term.name}: the same for every term that is on.` : 'Off: nothing flows back to it.');
      else tw.fill(card.text, term.line + (state.source.kind === 'lesson' ? ' ' + lesson(i) : ''));
    });
    for (const [name, [, forward, backward]] of Object.entries(STEPS))
      tw.fill(
        cardOf[name].text,
        state.backward
          ? backward
          : [name === 'sum' ? equation(tw.data.layer ? tw.within(state.terms, tw.data.layer.terms) : state.terms) : null, forward],
      );
  }

  function drawMaps(state, data) {
    const { layer, attend } = data;
    for (const [name, card] of Object.entries(cardOf)) {
      const values = numbers(name);
      card.map = state.backward ? card.backward : card.forward;
      card.absent.hidden = Boolean(values);
      card.button.setAttribute('aria-pressed', String(state.table === name));
      card.forward.element.hidden = !values || state.backward;
      card.backward.element.hidden = !values || !state.backward;
      if (values) card.map.draw(values, layer.height, layer.width);
    }
    tw.showOutput(output, attend);
    const query = state.query[0] * layer.width + state.query[1];
    document.querySelector('.query-line').textContent = `Query at ${tw.cellName(query, layer.width)}`;
    difference.textContent =
      attend.by === 'engine'
        ? `Numbers by the engine${data.difference === null ? '' : `; the page\u2019s own differ by ${data.difference.toExponential(1)} at most`}.`
        : 'Numbers computed by this page.';
    showTable(state, layer);
    marks();
    tw.summary();
  }

  /** "E1 + E3, " in the terms' colours. */
  function equation(terms) {
    const on = tw.terms.map((term, i) => [term, i]).filter(([, i]) => terms[i] === '1');
    if (on.length === 0) return ['No term, so 0, '];
    return [on.map(([term, i], n) => [n > 0 ? ' + ' : null, el('strong', { style: `color:${tw.colour.term(i)}` }, term.name)]), ', '];
  }

  function showTable(state, layer) {
    const values = state.table && numbers(state.table);
    tw.fill(
      tables,
      values
        ? tw.draw.table(
            `${meaning(state.table)} of each key, query at row ${state.query[0]}, column ${state.query[1]}`,
            values,
            layer.height,
            layer.width,
          )
        : null,
    );
  }
})();
