/*
 * Attention over the words of a sentence: the encoder's, the decoder's, and the decoder's to the source.
 * Fields of the state: text, block, word, textHead, textTerms.
 */
(function () {
  'use strict';
  const tw = window.tw;
  const { el } = tw;

  const shown = { text: null, sentence: null, layer: null, source: null, attend: null, difference: null, key: null, summary: '' };
  let form, field, block, head, switches, rows, energies, matrix, formula, translation, mine;

  const translator = () => tw.data.info.translator;
  const textOf = (state) => state.text || (translator() && translator().example) || '';
  const termsOf = (layer) => tw.within(tw.state.textTerms, layer.terms);

  /** Asks for the sentence's words and translation, then for the layer. */
  async function loadSentence() {
    const text = textOf(tw.state);
    if (!translator() || !text) return;
    const sentence = await tw.api.call('sentence', { text }, 'text.sentence');
    Object.assign(shown, { text, sentence });
    tw.fill(translation, 'Translated: ', el('strong', {}, sentence.translation || sentence.target.join(' ')));
    await loadLayer();
  }

  async function loadLayer() {
    if (!shown.sentence) return;
    const source = { kind: 'text', block: tw.state.block, text: shown.text, translation: shown.sentence.translation };
    const layer = await tw.api.call('layer', { source, scene: null, head: tw.state.textHead }, 'text.layer');
    Object.assign(shown, { layer, source, attend: null, key: null });
    show();
    ask();
  }

  const wordIn = (layer) => Math.min(tw.state.word, layer.query_words.length - 1);
  const compute = (layer, word, terms) => tw.attend(layer, { terms, query: [word, 0], target: null });

  /** The engine's own numbers take the place of the page's. */
  const ask = tw.later(60, () => {
    const { layer, source } = shown;
    if (!tw.api.online || !layer) return;
    const params = { source, scene: null, head: tw.state.textHead, terms: termsOf(layer), query: [wordIn(layer), 0], target: null };
    const asked = shown.attend;
    mine.run(tw.api.call('attend', params, 'text.attend'), (answer) => {
      // Another word or other terms are shown by now; they have their own question.
      if (asked !== shown.attend) return;
      shown.difference = tw.difference(compute(layer, params.query[0], params.terms), answer);
      shown.attend = { ...answer, by: 'engine' };
      drawEnergies();
    });
  });

  const pickWord = (word) => tw.set({ word });
  const boxes = (words, label, chosen, pick) =>
    el(
      'div',
      { class: 'words', role: 'group', 'aria-label': label },
      el('span', { class: 'words-name' }, label),
      words.map((word, i) =>
        el(
          'button',
          {
            type: 'button',
            class: 'word',
            'data-word': i,
            'aria-pressed': pick ? String(i === chosen) : null,
            disabled: !pick,
            onclick: () => pick && pick(i),
          },
          word,
        ),
      ),
    );

  function show() {
    const { layer } = shown;
    const word = wordIn(layer);
    const cross = translator().blocks.find(({ name }) => name === tw.state.block).kind === 'cross';
    const again = rows.contains(document.activeElement);
    tw.fill(
      rows,
      boxes(layer.query_words, 'Queries: choose a word', word, pickWord),
      cross ? boxes(layer.key_words, 'Keys: the source', null, null) : null,
      tw.state.block.startsWith('decoder')
        ? el('p', { class: 'small' }, 'In the decoder a query is the word just written; what it looks at helps to choose the next one.')
        : null,
      [...layer.query_words, ...layer.key_words].some((piece) => piece.length > 1 && piece.startsWith('\u00b7'))
        ? el(
            'p',
            { class: 'small' },
            'A word that the model does not know whole is cut into pieces; a piece that begins with \u00b7 goes on.',
          )
        : null,
    );
    if (again) rows.querySelector('[aria-pressed=true]').focus();
    for (const [i, button] of switches.entries()) {
      button.disabled = layer.terms[i] !== '1';
      button.setAttribute('aria-pressed', String(termsOf(layer)[i] === '1'));
    }
    tw.fill(
      head,
      Array.from({ length: layer.heads }, (_, i) => el('option', { value: i }, `head ${i + 1}`)),
    );
    head.value = String(Math.min(tw.state.textHead, layer.heads - 1));
    shown.attend = { ...compute(layer, word, termsOf(layer)), by: 'page' };
    shown.difference = null;
    drawEnergies();
    tw.wordMatrix(
      matrix,
      layer,
      Array.from({ length: layer.queries }, (_, q) => compute(layer, q, termsOf(layer))),
      word,
      pickWord,
    );
    const top = shown.attend.weights
      .map((w, k) => [w, k])
      .sort((a, b) => b[0] - a[0])
      .slice(0, 3);
    shown.summary =
      `${layer.query_words[word]} looks most at ` +
      top.map(([w, k]) => `${layer.key_words[k]} with ${(100 * w).toFixed(1)} per cent`).join('; ');
  }

  function drawEnergies() {
    const { layer, attend } = shown;
    tw.wordEnergies(energies, layer, attend, termsOf(layer), (key) => {
      shown.key = key;
      drawFormula();
    });
    drawFormula();
    mine.difference.textContent =
      attend.by === 'page'
        ? 'Numbers computed by this page.'
        : `Numbers by the engine; the page\u2019s own differ by ${shown.difference.toExponential(1)} at most.`;
  }

  function drawFormula() {
    const { layer, attend } = shown;
    const key = shown.key === null ? attend.weights.indexOf(Math.max(...attend.weights)) : shown.key;
    const where = (i, what) => `\u201c${(what === 'query' ? layer.query_words : layer.key_words)[i]}\u201d`;
    tw.formula(formula, layer, attend, wordIn(layer), key, { where, terms: termsOf(layer) });
  }

  function controls() {
    const t = translator();
    field = el('input', {
      type: 'text',
      id: 'sentence',
      maxlength: '400',
      autocomplete: 'off',
      spellcheck: 'false',
      value: textOf(tw.state),
    });
    form = el(
      'form',
      {
        class: 'row sentence-form',
        onsubmit: (event) => {
          event.preventDefault();
          tw.set({ text: field.value.trim(), word: 0 });
        },
      },
      el('label', { class: 'grow' }, 'Sentence', field),
      el('button', { type: 'submit' }, 'translate'),
    );
    block = el(
      'select',
      { id: 'block', onchange: () => tw.set({ block: block.value, textHead: 0, word: 0 }) },
      t.blocks.map(({ name, title }) => el('option', { value: name }, title)),
    );
    head = el('select', { id: 'text-head', 'aria-label': 'Head', onchange: () => tw.set({ textHead: Number(head.value) }) });
    switches = tw.terms.map((term, i) =>
      el(
        'button',
        {
          type: 'button',
          class: 'switch',
          style: `--term:${tw.colour.term(i)}`,
          'data-text-term': i,
          onclick: () => {
            const terms = [...tw.state.textTerms];
            terms[i] = terms[i] === '1' ? '0' : '1';
            tw.set({ textTerms: terms.join('') });
          },
        },
        el('span', { class: 'knob', 'aria-hidden': 'true' }),
        el('strong', {}, term.name),
      ),
    );
    return [form, translation, el('div', { class: 'row' }, el('label', {}, 'Layer', block), head, switches)];
  }

  function build(body) {
    if (!translator()) {
      tw.fill(
        body,
        el(
          'p',
          {},
          'There is no translation model here. Train one with `termwise train translation --out DIR` and load its checkpoint below.',
        ),
      );
      return;
    }
    translation = el('p', { class: 'translation' });
    [rows, energies, matrix, formula] = ['word-rows', 'word-energies', 'word-matrix', 'formula'].map((name) => el('div', { class: name }));
    mine.difference = el('p', { class: 'small difference' });
    tw.fill(
      body,
      controls(),
      rows,
      el(
        'div',
        { class: 'text-columns' },
        el('div', {}, el('h3', {}, 'Energies of this word over all keys'), energies),
        el('div', {}, el('h3', {}, 'Shares of all words'), matrix),
      ),
      formula,
      mine.difference,
    );
  }

  tw.panel({
    id: 'text',
    order: 70,
    short: 'Words',
    title: 'The same four terms on words',
    lead: 'A small translator reads a sentence. Choose a word: the table shows what each term says about every other word, their sum, and the shares.',
    mount(body, panel) {
      mine = panel;
      build(body);
    },
    update(state, data, changed) {
      const has = (...keys) => keys.some((key) => changed.has(key));
      if (changed.has('data.info')) {
        Object.assign(shown, { text: null, sentence: null, layer: null });
        build(this.body);
      }
      if (!translator()) return;
      if (!translator().blocks.some(({ name }) => name === state.block)) {
        tw.set({ block: translator().blocks[0].name, textHead: 0, word: 0 });
        return;
      }
      block.value = state.block;
      if (has('text', 'data.info', 'all')) {
        field.value = textOf(state);
        this.run(loadSentence(), () => {});
      } else if (has('block', 'textHead')) this.run(loadLayer(), () => {});
      else if (has('word', 'textTerms') && shown.layer) {
        shown.key = null;
        show();
        tw.say(shown.summary);
        ask();
      }
    },
    svg() {
      const { layer, attend } = shown;
      return layer && tw.wordSvg(layer, attend, wordIn(layer), termsOf(layer));
    },
    json: () =>
      shown.layer && {
        sentence: shown.sentence,
        block: tw.state.block,
        head: tw.state.textHead,
        terms: termsOf(shown.layer),
        word: wordIn(shown.layer),
        query_words: shown.layer.query_words,
        key_words: shown.layer.key_words,
        ...shown.attend,
      },
  });
})();
