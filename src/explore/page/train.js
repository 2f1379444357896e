/* Live training of a probe: one mechanism alone on a task that only one factor solves. Same seed, same curve. */
(function () {
  'use strict';
  const tw = window.tw;
  const { el, parts } = tw;

  // Steps asked for at once while it plays; and over how many the drawn mean goes.
  const [CHUNK, MEAN] = [10, 20];
  const CHANCE = 1 / 8;
  const word = (x) => /^[A-Za-z0-9_ -]{0,40}$/.test(x);
  tw.define('task', '', tw.codec.text, word);
  tw.define('learner', '1000', tw.codec.text, word);
  tw.define('trainSeed', 1, tw.codec.number, tw.valid.integer(0, 2 ** 32 - 1));
  tw.define('sample', 0, tw.codec.number, tw.valid.integer(0, 999));

  // Runs of this page, the newest last: {number, task, learner, seed, session, steps, losses, accuracies, finished}.
  const runs = [];
  let view = null;
  let playing = false;
  let busy = null;

  const current = () => runs[runs.length - 1] || null;
  const task = () => {
    const { tasks } = tw.data.info;
    return tasks.some((t) => t.name === tw.state.task) ? tw.state.task : tasks[0].name;
  };
  const fits = (run) => run !== null && run.task === task() && run.learner === tw.state.learner && run.seed === tw.state.trainSeed;

  /** FNV-1a over the bits of all losses and accuracies so far, as 16 hexadecimal digits. */
  function fingerprint({ losses, accuracies }, steps = losses.length) {
    const bytes = new Uint8Array(Float64Array.from([...losses.slice(0, steps), ...accuracies.slice(0, steps)]).buffer);
    const walk = (start) => {
      let hash = start;
      for (const byte of bytes) hash = Math.imul(hash ^ byte, 0x01000193) >>> 0;
      return hash.toString(16).padStart(8, '0');
    };
    return walk(0x811c9dc5) + walk(0x9747b28c);
  }
  tw.fingerprint = fingerprint;

  /** An earlier run of the same settings, with how many of its first steps are the same, bit for bit. */
  function twin(run) {
    const earlier = runs.filter(
      (other) =>
        other !== run && other.task === run.task && other.learner === run.learner && other.seed === run.seed && other.losses.length > 0,
    );
    if (earlier.length === 0 || run.losses.length === 0) return null;
    const other = earlier[earlier.length - 1];
    const common = Math.min(other.losses.length, run.losses.length);
    let same = 0;
    while (same < common && Object.is(other.losses[same], run.losses[same]) && Object.is(other.accuracies[same], run.accuracies[same]))
      same++;
    return { other, common, same };
  }

  async function fresh() {
    const settings = { task: task(), mechanism: tw.state.learner, seed: tw.state.trainSeed };
    const answer = await tw.api.call('train', { action: 'new', ...settings });
    runs.push({
      number: (current() ? current().number : 0) + 1,
      task: settings.task,
      learner: settings.mechanism,
      seed: settings.seed,
      session: answer.session,
      steps: answer.steps,
      losses: [],
      accuracies: [],
      finished: false,
    });
    if (runs.length > 8) runs.shift();
  }

  /** Trains `count` steps; a run of other settings is begun first where the settings were changed. */
  async function advance(count) {
    if (busy) return busy;
    busy = view.panel.run(
      (async () => {
        if (!fits(current())) await fresh();
        const run = current();
        if (run.finished) return run;
        const answer = await tw.api.call('train', {
          action: 'step',
          session: run.session,
          count: Math.min(count, run.steps - run.losses.length),
        });
        run.losses.push(...answer.losses);
        run.accuracies.push(...answer.accuracies);
        run.finished = answer.finished;
        return run;
      })(),
      (run) => {
        if (run.finished) stop();
        draw();
        view.sample.show(run);
        // The layer that the page looks at has learned something.
        if (tw.state.source.kind === 'probe' && tw.state.source.session === run.session) tw.notify(['source']);
      },
    );
    await busy;
    busy = null;
    if (!view.panel.body.parentElement.querySelector('.note').hidden) stop();
    return undefined;
  }

  function stop() {
    playing = false;
    showButtons();
  }
  async function play() {
    if (playing) return stop();
    playing = true;
    showButtons();
    while (playing) {
      await advance(CHUNK);
      // Lets the page draw and hear the pause button.
      await new Promise((done) => setTimeout(done, 0));
    }
    return undefined;
  }
  async function reset() {
    stop();
    if (busy) await busy;
    await view.panel.run(fresh(), () => {
      draw();
      view.sample.show(current());
      tw.say('A new run begins at step 0.');
    });
  }

  function showButtons() {
    view.play.textContent = playing ? 'Pause' : 'Play';
    view.play.setAttribute('aria-pressed', String(playing));
    const done = !tw.api.online || (fits(current()) && current().finished);
    view.play.disabled = done;
    view.step.disabled = done || playing;
    view.reset.disabled = !tw.api.online;
  }

  const mean = (values) =>
    values.map((_, i) => {
      const from = Math.max(0, i + 1 - MEAN);
      let sum = 0;
      for (let j = from; j <= i; j++) sum += values[j];
      return [i + 1, sum / (i + 1 - from)];
    });

  function curves(run, file) {
    const colours = file ? tw.colour.light : ['var(--e1)', 'var(--e2)', '', '', '', '', 'var(--s7)'];
    const grey = file ? '#cfcdc3' : 'var(--line)';
    const pair = twin(run);
    const points = (values) => values.map((y, i) => [i + 1, y]);
    const width = file
      ? 440
      : Math.max(280, Math.min(520, view.charts.clientWidth < 700 ? view.charts.clientWidth : view.charts.clientWidth / 2 - 10));
    const end = Math.max(run.losses.length, pair ? pair.other.losses.length : 0, 20);
    const chart = (name, key, colour, rangeY) =>
      tw.lines(
        [
          { name: 'each step', colour: grey, points: points(run[key]) },
          { name: `mean of ${MEAN}`, colour, points: mean(run[key]) },
          ...(pair ? [{ name: `run ${pair.other.number}`, colour: colours[6], points: mean(pair.other[key]), dash: '2 4' }] : []),
          ...(key === 'accuracies'
            ? [
                {
                  name: 'chance',
                  colour: colours[6],
                  points: [
                    [0, CHANCE],
                    [end, CHANCE],
                  ],
                  dash: '5 4',
                },
              ]
            : []),
        ],
        { width, height: 200, x: 'step', y: name, rangeX: [0, end], rangeY, file, label: `${name} over ${run.losses.length} steps` },
      );
    const most = run.losses.reduce((top, x) => Math.max(top, x), 0.1);
    return [chart('loss', 'losses', colours[0], [0, most]), chart('accuracy', 'accuracies', colours[1], [0, 1])];
  }

  function status(run) {
    const n = run.losses.length;
    if (n === 0)
      return [el('p', {}, `Run ${run.number}: ${run.learner} on \u201c${run.task}\u201d, seed ${run.seed}. Step 0 of ${run.steps}.`)];
    const recent = mean(run.accuracies)[n - 1][1];
    const lines = [
      el(
        'p',
        {},
        `Run ${run.number}: ${run.learner} on \u201c${run.task}\u201d, seed ${run.seed}. `,
        el('strong', { 'data-step': n }, `Step ${n} of ${run.steps}`),
        `; loss ${tw.format(run.losses[n - 1])}, accuracy ${tw.format.share(run.accuracies[n - 1])} (mean of the last ${Math.min(MEAN, n)}: ${tw.format.share(recent)}).${run.finished ? (n < run.steps ? ' Solved: it ends here.' : ' Finished.') : ''}`,
      ),
      el(
        'p',
        {},
        'Fingerprint of the curve so far: ',
        el('code', { 'data-fingerprint': fingerprint(run) }, fingerprint(run)),
        '. It is a hash of the bits of all numbers drawn: the same settings give the same one.',
      ),
    ];
    const pair = twin(run);
    if (pair) {
      const all = pair.same === pair.common;
      lines.push(
        el(
          'p',
          { 'data-twin': all ? 'same' : 'other' },
          all
            ? `The first ${pair.common} steps are those of run ${pair.other.number}, bit for bit.`
            : `Differs from run ${pair.other.number} at step ${pair.same + 1}, although the settings are the same.`,
        ),
      );
    }
    return lines;
  }

  function draw() {
    const run = current();
    showButtons();
    if (!run) return;
    tw.fill(view.charts, curves(run, false));
    tw.fill(
      view.status,
      status(run),
      fits(run) || !tw.api.online ? null : el('p', { class: 'hint' }, 'The settings were changed: the next step begins a new run.'),
    );
  }

  function mount(body, panel) {
    const saved = tw.embedded && tw.embedded.kept && tw.embedded.kept.training;
    if (saved) runs.push(...saved.runs);
    const { tasks, mechanisms } = tw.data.info;
    const learners = mechanisms.filter((m) => !m.code.includes('+') && m.code !== 'w/o');
    const select = (id, label, options, onchange) => {
      const box = el(
        'select',
        { id, onchange: () => onchange(box.value) },
        options.map(([value, name]) => el('option', { value }, name)),
      );
      return { box, label: el('label', { for: id }, label, box) };
    };
    const tasksBox = select(
      'train-task',
      'Task',
      tasks.map((t) => [t.name, t.title]),
      (value) => tw.set({ task: value }),
    );
    const learnersBox = select(
      'train-mechanism',
      'Mechanism',
      learners.map((m) => [m.code, m.name === m.code ? m.code : `${m.code}: ${m.name}`]),
      (value) => tw.set({ learner: value }),
    );
    const seed = el('input', {
      type: 'number',
      id: 'train-seed',
      min: 0,
      max: 4294967295,
      step: 1,
      onchange: () => {
        const value = Number(seed.value);
        if (tw.valid.integer(0, 2 ** 32 - 1)(value)) tw.set({ trainSeed: value });
        else seed.value = tw.state.trainSeed;
      },
    });
    const button = (name, onclick) => el('button', { type: 'button', onclick }, name);
    const [playButton, stepButton, resetButton] = [button('Play', play), button('One step', () => advance(1)), button('Reset', reset)];
    const [charts, text] = [
      el('div', { class: 'train-charts' }),
      el(
        'div',
        { class: 'train-status' },
        el(
          'p',
          { class: 'hint' },
          tw.api.online ? 'Press Play: the engine trains this probe, here and now.' : 'Training needs the engine. Run `termwise explore`.',
        ),
      ),
    ];
    const about = el('p', { class: 'small' });
    const sample = tw.trainSample(panel);
    tw.fill(
      body,
      el('div', { class: 'row' }, tasksBox.label, learnersBox.label, el('label', { for: 'train-seed' }, 'Seed', seed)),
      el('div', { class: 'row train-buttons' }, playButton, stepButton, resetButton),
      about,
      text,
      charts,
      sample.element,
    );
    view = {
      panel,
      about,
      charts,
      status: text,
      play: playButton,
      step: stepButton,
      reset: resetButton,
      tasksBox: tasksBox.box,
      learnersBox: learnersBox.box,
      seed,
      sample,
    };
  }

  function update(state, data, changed) {
    const any = (...keys) => changed.has('all') || keys.some((key) => changed.has(key));
    if (any('task', 'learner', 'trainSeed')) {
      const mechanism = data.info.mechanisms.find((m) => m.code === state.learner);
      view.about.textContent = (mechanism && mechanism.explanation) || '';
      view.tasksBox.value = task();
      view.learnersBox.value = state.learner;
      view.seed.value = state.trainSeed;
      if (playing && !fits(current())) stop();
      draw();
    }
    if (any('sample', 'source', 'learner')) view.sample.show(current());
  }

  tw.panel({
    id: 'training',
    short: 'Train',
    order: 60,
    title: 'Train one mechanism, live',
    mount,
    update,
    lead: 'Six small tasks on an 8\u00d78 grid, each solvable only through one factor. One layer, nothing beside it: whether the curve rises shows whether the mechanism can use that factor at all.',
    svg: () => {
      const run = current();
      if (!run || run.losses.length === 0) return null;
      return parts.sheet(
        `${run.learner} on \u201c${run.task}\u201d, seed ${run.seed}, ${run.losses.length} steps, fingerprint ${fingerprint(run)}`,
        920,
        250,
        curves(run, true).map((node, i) => ({ node, x: 8 + 456 * i, y: 36 })),
      );
    },
    keep: () => ({ runs: runs.slice(-3) }),
    json: () => (runs.length === 0 ? null : { runs: runs.map((run) => ({ ...run, fingerprint: fingerprint(run) })) }),
  });
})();
