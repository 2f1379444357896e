/* Predict, then reveal: a card sets the page to a case, asks, and shows its answer only once one was chosen. */
(function () {
  'use strict';
  const tw = window.tw;
  const { el, parts } = tw;
  const CARDS = tw.cards;

  tw.define('card', 0, tw.codec.number, tw.valid.integer(0, CARDS.length - 1));
  // What was chosen for each card in turn; -1: nothing yet.
  tw.define(
    'answers',
    [],
    tw.codec.list,
    (x) => x !== null && x.length <= CARDS.length && x.every((a) => Number.isInteger(a) && a >= -1 && a < 4),
  );

  let view = null;
  // The state before the first card was set up, to go back to.
  let own = null;
  let staged = null;
  const KEPT = [
    'source',
    'own',
    'painted',
    'scene',
    'size',
    'seed',
    'terms',
    'query',
    'key',
    'head',
    'offsets',
    'tap',
    'axis',
    'mech',
    'backward',
    'learner',
    'task',
  ];

  const card = () => CARDS[tw.state.card];
  const choiceOf = (i) => tw.state.answers[i] ?? -1;
  const painted = (scene) => scene.arrows.map((arrow, i) => [i, ...scene.rgb.slice(3 * i, 3 * i + 3), arrow]);

  /** The scene of a card after its change. */
  function sceneAfter({ scene, after }) {
    if (after.scene) return after.scene;
    if (!after.paint) return scene;
    const next = { ...scene, rgb: scene.rgb.slice(), arrows: scene.arrows.slice() };
    for (const [i, r, g, b, arrow] of after.paint) {
      next.rgb.splice(3 * i, 3, r, g, b);
      next.arrows[i] = arrow;
    }
    return next;
  }

  /** Sets the page to the case of a card, before or after the change that it asks about. */
  function stage(when) {
    const now = card();
    if (!own) own = Object.fromEntries(KEPT.map((key) => [key, tw.state[key]]));
    staged = `${tw.state.card} ${when}`;
    const { scene, paint, ...change } = when === 'after' ? now.after : {};
    const patch = {
      source: { kind: 'lesson' },
      head: 0,
      key: null,
      query: now.query,
      offsets: null,
      backward: false,
      ...now.before,
      ...change,
    };
    const picture = when === 'after' ? sceneAfter(now) : now.scene;
    if (now.far) {
      const far = tw.data.info.tasks.find((t) => /point.?far/i.test(t.name));
      if (far) patch.task = far.name;
    }
    tw.set({ ...patch, own: [picture.height, picture.width], painted: painted(picture) });
    view.back.hidden = false;
  }

  function goBack() {
    if (own) tw.set(own);
    [own, staged] = [null, null];
    view.back.hidden = true;
    tw.say('The page is as it was before the cards.');
  }

  const layers = new Map();
  /** What an explanation computes with: the engine's layer of the card's scene. */
  function lab(of) {
    const layer = (scene) => {
      const key = JSON.stringify(scene);
      if (!layers.has(key))
        layers.set(
          key,
          tw.api.call('layer', { source: { kind: 'lesson' }, scene, head: 0 }).catch((error) => {
            layers.delete(key);
            throw error;
          }),
        );
      return layers.get(key);
    };
    return {
      after: sceneAfter(of),
      bytes: parts.bytes,
      layer,
      call: (name, params) => tw.api.call(name, params),
      attend: async (terms, query = of.query, scene = of.scene) => tw.attend(await layer(scene), { terms, query, target: null }),
      /** With the gradient of the loss towards red, by the engine's tape where there is an engine. */
      backward: async (terms) => {
        const question = { source: { kind: 'lesson' }, scene: of.scene, head: 0, terms, query: of.query, target: [255, 0, 0] };
        return tw.api.online ? tw.api.call('attend', question) : tw.attend(await layer(of.scene), question);
      },
    };
  }

  function answer(i) {
    const answers = CARDS.map((_, c) => choiceOf(c));
    answers[tw.state.card] = i;
    while (answers.length > 0 && answers[answers.length - 1] === -1) answers.pop();
    stage('after');
    tw.set({ answers });
    tw.say(i === card().answer ? 'Right.' : 'Not so.');
  }

  function turn(by) {
    const next = (tw.state.card + by + CARDS.length) % CARDS.length;
    tw.set({ card: next });
    stage(choiceOf(next) >= 0 ? 'after' : 'before');
    view.question.focus({ preventScroll: true });
  }

  const small = (title) => {
    const map = tw.draw.map({ label: title, kind: title.includes('scene') ? 'colours' : 'sequential', className: 'quiz-map' });
    return { map, element: el('figure', {}, el('figcaption', {}, title), map.element) };
  };

  let asked = 0;
  /** The pictures of the case: the scene, and for attention the weights before and, once chosen, after. */
  async function drawCase() {
    const now = card();
    const done = choiceOf(tw.state.card) >= 0;
    const mine = ++asked;
    const at = ([row, column]) => row * now.scene.width + column;
    const query = (done && now.after.query) || now.query;
    const shown = done ? sceneAfter(now) : now.scene;
    view.scene.map.draw(shown.rgb, shown.height, shown.width);
    view.scene.map.marks({ query: at(query), layer: tw.draw.sceneArrows(shown) });
    const attention = !now.panel;
    const changes = attention && ['terms', 'query', 'scene'].some((key) => now.after[key] !== undefined);
    view.weights.element.hidden = !attention;
    view.then.element.hidden = !changes || !done;
    if (!attention) return;
    const bench = lab(now);
    try {
      const before = await bench.attend(now.before.terms);
      const after = changes && done ? await bench.attend(now.after.terms || now.before.terms, query, shown) : null;
      if (mine !== asked) return;
      const range = [0, Math.max(...before.weights, ...(after ? after.weights : []))];
      view.weights.map.draw(before.weights, 8, 8, { range });
      view.weights.map.marks({ query: at(now.query) });
      if (after) {
        view.then.map.draw(after.weights, 8, 8, { range });
        view.then.map.marks({ query: at(query) });
      }
    } catch (error) {
      if (mine !== asked) return;
      view.weights.element.hidden = true;
      view.then.element.hidden = true;
    }
  }

  /** The answer's place: empty before a choice, then the verdict; the explanation follows when it is computed. */
  function placeAnswer(now, chosen) {
    view.answer.hidden = chosen < 0;
    delete view.answer.dataset.holds;
    view.text = el('p', { class: 'quiz-text' }, 'Computing \u2026');
    if (chosen < 0) return tw.fill(view.answer);
    const right = chosen === now.answer;
    const verdict = right ? '\u2713 Right: ' : '\u2717 Not so. The answer: ';
    const link = now.panel
      ? el(
          'button',
          { type: 'button', class: 'quiet', onclick: () => document.getElementById(now.panel).scrollIntoView() },
          'See it in its panel',
        )
      : null;
    tw.fill(view.answer, el('p', { class: right ? 'right' : 'wrong' }, verdict, now.choices[now.answer] + '.'), view.text, link);
  }

  /** Computes the explanation for the place made last; one that comes late finds its place gone. */
  async function explain() {
    if (choiceOf(tw.state.card) < 0) return;
    const [now, text] = [card(), view.text];
    const write = (sentence, holds) => {
      if (view.text !== text) return;
      text.textContent = sentence;
      view.answer.dataset.holds = holds;
    };
    try {
      const { text: sentence, holds } = await now.reveal(lab(now));
      write(sentence + (holds ? '' : ' (These numbers do not bear the explanation out: please report it.)'), String(holds));
    } catch (error) {
      write('The numbers of this case need the engine. ' + error.message, 'unknown');
    }
  }

  function draw() {
    const [now, index] = [card(), tw.state.card];
    const chosen = choiceOf(index);
    view.question.textContent = now.question;
    view.number.textContent = `Card ${index + 1} of ${CARDS.length}`;
    const answered = CARDS.filter((_, i) => choiceOf(i) >= 0).length;
    const right = CARDS.filter((c, i) => choiceOf(i) === c.answer).length;
    view.score.textContent = answered === 0 ? 'Score: none answered yet' : `Score: ${right} of ${answered} right`;
    placeAnswer(now, chosen);
    let picked = chosen;
    const show = el('button', { type: 'submit', disabled: true }, 'Show the answer');
    const inputs = now.choices.map((choice, i) =>
      el(
        'label',
        { class: 'quiz-choice' + (chosen >= 0 && i === now.answer ? ' answer' : '') },
        el('input', {
          type: 'radio',
          name: 'quiz-choice',
          value: i,
          disabled: chosen >= 0,
          checked: chosen === i,
          onchange: () => {
            picked = i;
            show.disabled = false;
            if (staged !== `${index} before`) stage('before');
          },
        }),
        choice,
      ),
    );
    tw.fill(
      view.choices,
      el(
        'form',
        {
          onsubmit: (event) => {
            event.preventDefault();
            if (picked >= 0 && chosen < 0) {
              answer(picked);
              view.answer.focus({ preventScroll: true });
            }
          },
        },
        el('fieldset', {}, el('legend', { class: 'unseen' }, now.question), inputs),
        chosen >= 0 ? null : show,
      ),
    );
    view.request();
  }

  function mount(body, panel) {
    const question = el('h3', { class: 'quiz-question', tabindex: '-1' });
    const [number, score] = [el('p', { class: 'small' }), el('p', { class: 'small quiz-score', role: 'status' })];
    const choices = el('div', { class: 'quiz-choices' });
    const reveal = el('div', { class: 'quiz-answer', tabindex: '-1', 'aria-live': 'polite', hidden: true });
    const [scene, weights, then] = ['the scene', 'weights before', 'weights after'].map(small);
    const button = (name, onclick) => el('button', { type: 'button', onclick }, name);
    const back = button('Back to my own case', goBack);
    back.hidden = true;
    tw.fill(
      body,
      el(
        'div',
        { class: 'quiz' },
        el('div', { class: 'row quiz-head' }, number, score),
        question,
        el(
          'div',
          { class: 'quiz-columns' },
          el('div', {}, choices, reveal),
          el('div', { class: 'quiz-pictures' }, scene.element, weights.element, then.element),
        ),
        el(
          'div',
          { class: 'row' },
          button('Previous card', () => turn(-1)),
          button('Next card', () => turn(1)),
          back,
          button('Start again', () => {
            tw.set({ card: 0, answers: [] });
            tw.say('All answers are forgotten.');
          }),
        ),
      ),
    );
    view = { panel, question, number, score, choices, answer: reveal, scene, weights, then, back };
    view.request = parts.whenSeen(panel, () => Promise.all([drawCase(), explain()]));
  }

  tw.panel({
    id: 'cards',
    short: 'Cards',
    order: 35,
    title: 'Predict, then reveal',
    mount,
    lead: 'Choose before you look. Picking an answer sets the whole page to the case; the explanation quotes numbers computed for it here and now.',
    update: (state, data, changed) => {
      if (['all', 'card', 'answers'].some((key) => changed.has(key))) draw();
    },
    json: () => ({
      answers: CARDS.map((c, i) => ({
        card: c.id,
        question: c.question,
        chosen: choiceOf(i) < 0 ? null : c.choices[choiceOf(i)],
        right: choiceOf(i) < 0 ? null : choiceOf(i) === c.answer,
      })),
    }),
  });
})();
