/* A trained model of one's own: loads a .safetensors file into the engine, and chooses what of it the maps show. */
(function () {
  'use strict';
  const tw = window.tw;
  const { el } = tw;

  let choices, file, mine;

  const kinds = { segmentation: 'a segmenter', detection: 'a detector', translation: 'a translator' };

  async function load(picked) {
    const limit = tw.data.info.limits.upload_bytes;
    if (picked.size > limit) throw new Error(`${picked.name}: expected at most ${Math.floor(limit / 2 ** 20)} MiB, found ${Math.ceil(picked.size / 2 ** 20)} MiB.`);
    const answer = await tw.api.upload('checkpoint', await picked.arrayBuffer(), { name: picked.name }, 'checkpoint');
    tw.data.info = await tw.api.info();
    return answer;
  }

  function take(picked) {
    if (!picked) return;
    mine.run(load(picked), () => {
      const { checkpoint } = tw.data.info;
      tw.notify(['data.info']);
      tw.say(`${picked.name} is loaded.`);
      if (checkpoint && checkpoint.blocks && checkpoint.blocks.length && checkpoint.task === 'segmentation') look(checkpoint.blocks[0].name);
    });
  }

  const look = (block) => tw.set({ source: { kind: 'checkpoint', block }, head: 0, key: null });

  function describe() {
    const { checkpoint } = tw.data.info;
    if (!checkpoint) {
      tw.fill(choices, el('p', { class: 'hint' }, 'Nothing is loaded. `termwise train segmentation --out DIR` writes such a file (DIR/checkpoint.safetensors).'));
      return;
    }
    const { source } = tw.state;
    const block = el('select', { id: 'checkpoint-block', onchange: () => look(block.value) },
      source.kind === 'checkpoint' ? null : el('option', { value: '' }, 'choose a block'),
      (checkpoint.blocks || []).map(({ name, title, heads, terms }) => el('option', { value: name }, `${title || name} (${heads} heads, ${terms})`)));
    if (source.kind === 'checkpoint') block.value = source.block;
    tw.fill(choices, el('p', {}, el('strong', {}, checkpoint.file || 'The file'), ` is ${kinds[checkpoint.task] || checkpoint.task} with attention ${checkpoint.attention}.`),
      (checkpoint.blocks || []).length ? el('div', { class: 'row' }, el('label', {}, 'Show in the maps above', block),
        el('button', { type: 'button', onclick: () => document.getElementById('attention').scrollIntoView() }, 'go to the maps')) : null);
  }

  tw.panel({
    id: 'checkpoint', order: 80, short: 'Own model', title: 'A trained model of your own',
    lead: 'Load the .safetensors file of a model that was trained with this program: the maps then show its attention instead of the lesson\u2019s.',
    mount(body, panel) {
      mine = panel;
      file = el('input', { type: 'file', id: 'checkpoint-file', accept: '.safetensors', onchange: () => take(file.files[0]) });
      choices = el('div', {});
      body.append(el('div', { class: 'row drop', ondragover: (event) => event.preventDefault(), ondrop: (event) => {
        event.preventDefault();
        take(event.dataTransfer.files[0]);
      } }, el('label', {}, 'Checkpoint', file), el('span', { class: 'hint' }, 'or drop one here; it stays on this machine')), choices);
    },
    update(state, data, changed) {
      if (changed.has('all') || changed.has('data.info') || changed.has('source')) describe();
      file.disabled = !tw.api.online;
    },
  });
})();
