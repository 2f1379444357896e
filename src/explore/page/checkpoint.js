/* A trained model of one's own: loads a .safetensors file into the engine, and chooses what of it the maps show. */
(function () {
  'use strict';
  const tw = window.tw;
  const { el } = tw;

  let choices,
    file,
    mine,
    named = null;

  const kinds = { segmentation: 'a segmenter', detection: 'a detector', translation: 'a translator' };

  async function load(picked) {
    const limit = tw.data.info.limits.upload_bytes;
    if (picked.size > limit)
      throw new Error(
        `${picked.name}: expected at most ${Math.floor(limit / 2 ** 20)} MiB, found ${Math.ceil(picked.size / 2 ** 20)} MiB.`,
      );
    const answer = await tw.api.upload('checkpoint', await picked.arrayBuffer(), { name: picked.name }, 'checkpoint');
    tw.data.info = await tw.api.info();
    return answer;
  }

  function take(picked) {
    if (!picked) return;
    mine.run(load(picked), (answer) => {
      named = picked.name;
      tw.notify(['data.info']);
      tw.say(`${picked.name} is loaded.`);
      if (answer.task === 'translation') mine.note('The translator is loaded: see the panel of words.');
      else if (answer.blocks.length) look(answer.blocks[0].name);
      else mine.note('This model is loaded, but none of its blocks has Transformer attention, so there are no maps of terms.');
    });
  }

  /** A picture for a segmenter or detector, as fine as it was trained on; null goes back to the scene. */
  function photograph(picked) {
    if (!picked) return tw.setPhoto(null);
    const { checkpoint, limits } = tw.data.info;
    const size = Math.min(limits.picture_size || limits.size, Math.max(...((checkpoint && checkpoint.size) || [64])));
    return mine.run(
      picked.arrayBuffer().then((bytes) => tw.api.upload('picture', bytes, { size }, 'checkpoint.photo')),
      (photo) => {
        tw.setPhoto(photo);
        describe();
      },
    );
  }

  const look = (block) => tw.set({ source: { kind: 'checkpoint', block }, head: 0, key: null });

  function describe() {
    const { checkpoint } = tw.data.info;
    if (!checkpoint) {
      tw.fill(
        choices,
        el(
          'p',
          { class: 'hint' },
          'Nothing is loaded. `termwise train segmentation --out DIR` writes such a file (DIR/checkpoint.safetensors).',
        ),
      );
      return;
    }
    const { source } = tw.state;
    const block = el(
      'select',
      { id: 'checkpoint-block', onchange: () => look(block.value) },
      source.kind === 'checkpoint' ? null : el('option', { value: '' }, 'choose a block'),
      (checkpoint.blocks || []).map(({ name, title, heads, terms }) =>
        el('option', { value: name }, `${title || name} (${heads} heads, ${terms})`),
      ),
    );
    if (source.kind === 'checkpoint') block.value = source.block;
    const photo = el('input', {
      type: 'file',
      id: 'checkpoint-photo',
      accept: 'image/png,image/jpeg',
      disabled: !tw.api.online,
      onchange: () => photograph(photo.files[0]),
    });
    tw.fill(
      choices,
      el(
        'p',
        {},
        el('strong', {}, named || checkpoint.file || 'The file'),
        ` is ${kinds[checkpoint.task] || checkpoint.task} with attention ${checkpoint.attention}.`,
      ),
      (checkpoint.blocks || []).length
        ? el(
            'div',
            { class: 'row' },
            el('label', {}, 'Show in the maps above', block),
            el('button', { type: 'button', onclick: () => document.getElementById('attention').scrollIntoView() }, 'go to the maps'),
          )
        : null,
      checkpoint.task === 'translation'
        ? null
        : el(
            'div',
            { class: 'row' },
            el('label', {}, 'A picture for it (PNG, JPEG)', photo),
            tw.data.photo
              ? el(
                  'button',
                  {
                    type: 'button',
                    onclick: () => {
                      photograph(null);
                      describe();
                    },
                  },
                  'use the scene again',
                )
              : el('span', { class: 'hint' }, 'Without one it looks at the scene above.'),
          ),
    );
  }

  tw.panel({
    id: 'checkpoint',
    order: 80,
    short: 'Own model',
    title: 'A trained model of your own',
    lead: 'Load the .safetensors file of a model that was trained with this program: the maps then show its attention instead of the lesson\u2019s.',
    keep: () => ({ photo: tw.data.photo }),
    mount(body, panel) {
      mine = panel;
      const kept = tw.embedded && tw.embedded.kept && tw.embedded.kept.checkpoint;
      if (kept) tw.data.photo = kept.photo;
      file = el('input', { type: 'file', id: 'checkpoint-file', accept: '.safetensors', onchange: () => take(file.files[0]) });
      choices = el('div', {});
      body.append(
        el(
          'div',
          {
            class: 'row drop',
            ondragover: (event) => event.preventDefault(),
            ondrop: (event) => {
              event.preventDefault();
              take(event.dataTransfer.files[0]);
            },
          },
          el('label', {}, 'Checkpoint', file),
          el('span', { class: 'hint' }, 'or drop one here; it stays on this machine'),
        ),
        choices,
      );
    },
    update(state, data, changed) {
      if (changed.has('all') || changed.has('data.info') || changed.has('source')) describe();
      file.disabled = !tw.api.online;
    },
  });
})();
