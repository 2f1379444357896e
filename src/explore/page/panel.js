/*
 * Panels: a section with a title, a sentence, tools and a body. What a panel shows it can also give away:
 * as SVG, PNG and JSON, by functions it supplies.
 */
(function () {
  'use strict';
  const tw = window.tw;

  /** All panels in the order of the page. */
  tw.panels = [];

  /**
   * Registers a panel:
   *   id       of the section and in info.files; `files` names another entry of info.files where it has none
   *   title    and `lead`, one sentence below it
   *   order    place on the page, ascending
   *   mount(body, panel)               called once; builds
   *   update(state, data, changed)     called once after all are mounted ('all' is in `changed`) and after each change of
   *            the state or of tw.data ('data.scene', 'data.layer', 'data.attend', 'data.problem', 'data.info')
   *   svg()    an <svg> node or null; light colours, for export
   *   json()   a plain object of the numbers shown, or null
   *   keep()   what a saved page should hold for it beside the engine's answers: `tw.embedded.kept[id]` there
   */
  tw.panel = (spec) => {
    const panel = { order: 100, lead: '', ...spec, section: null, body: null };
    tw.panels.push(panel);
    tw.panels.sort((a, b) => a.order - b.order);
    return panel;
  };

  const download = (name, blob) => {
    const link = tw.el('a', { href: URL.createObjectURL(blob), download: name });
    document.body.append(link);
    link.click();
    link.remove();
    setTimeout(() => URL.revokeObjectURL(link.href), 10000);
  };
  /** Saves `text` or a Blob as a file. */
  tw.save = (name, content, type) => download(name, content instanceof Blob ? content : new Blob([content], { type }));

  /** An <svg> node as the text of a file. */
  tw.svgText = (node) => {
    const copy = node.cloneNode(true);
    copy.setAttribute('xmlns', 'http://www.w3.org/2000/svg');
    return new XMLSerializer().serializeToString(copy);
  };

  /** An <svg> node (with width and height) as a PNG, three points for each unit. */
  tw.png = async (node) => {
    const [width, height] = ['width', 'height'].map((name) => Number(node.getAttribute(name)));
    const image = new Image();
    image.src = 'data:image/svg+xml;charset=utf-8,' + encodeURIComponent(tw.svgText(node));
    await image.decode();
    const canvas = tw.el('canvas', { width: 3 * width, height: 3 * height });
    canvas.getContext('2d').drawImage(image, 0, 0, canvas.width, canvas.height);
    return new Promise((done) => canvas.toBlob(done, 'image/png'));
  };

  const FORMATS = {
    SVG: async (panel, name) => tw.save(name + '.svg', tw.svgText(panel.svg()), 'image/svg+xml'),
    PNG: async (panel, name) => tw.save(name + '.png', await tw.png(panel.svg())),
    JSON: async (panel, name) =>
      tw.save(name + '.json', JSON.stringify({ panel: panel.id, state: tw.state, ...panel.json() }), 'application/json'),
  };

  function tools(panel) {
    const buttons = Object.keys(FORMATS)
      .filter((format) => (format === 'JSON' ? panel.json : panel.svg))
      .map((format) =>
        tw.el(
          'button',
          {
            type: 'button',
            class: 'quiet',
            'data-export': format,
            'aria-label': `Save ${panel.title} as ${format}`,
            onclick: () => {
              const ready = format === 'JSON' ? panel.json() : panel.svg();
              if (!ready) return panel.note('There is nothing to save yet.');
              return FORMATS[format](panel, 'termwise-' + panel.id).catch((error) => panel.note(error.message));
            },
          },
          format,
        ),
      );
    return tw.el('div', { class: 'panel-tools', role: 'group', 'aria-label': 'Save' }, buttons);
  }

  /** "computed by FILE, checked by FILE": each opens the file as the program was built from it. */
  function provenance(panel, info) {
    const files = info.files && (info.files[panel.id] || info.files[panel.files]);
    if (!files) return null;
    const link = (path) =>
      tw.el(
        'a',
        {
          href: '/source/' + path,
          'data-path': path,
          onclick: (event) => {
            event.preventDefault();
            tw.showSource(path);
          },
        },
        path,
      );
    const parts = [];
    if (files.source) parts.push('computed by ', link(files.source));
    if (files.check) parts.push(parts.length ? ', checked by ' : 'checked by ', link(files.check));
    return tw.el('p', { class: 'provenance' }, parts);
  }

  /** Shows a source file in a dialog; an export that lacks it names its path. */
  tw.showSource = async (path) => {
    let text;
    try {
      const kept = tw.embedded && tw.embedded.sources && tw.embedded.sources[path];
      if (kept) text = kept;
      else if (!tw.api.online || !tw.data.info.sources) throw new Error();
      else {
        const response = await fetch('/source/' + path);
        if (!response.ok) throw new Error();
        text = await response.text();
      }
    } catch {
      text = `${path}\n\nThis file of the source tree of Termwise computes or checks what the panel shows; this page holds no copy of it.`;
    }
    const dialog = tw.el(
      'dialog',
      { class: 'source', 'aria-label': path },
      tw.el('form', { method: 'dialog' }, tw.el('code', {}, path), tw.el('button', {}, 'Close')),
      tw.el('pre', { tabindex: '0' }, text),
    );
    dialog.addEventListener('close', () => dialog.remove());
    dialog.addEventListener('click', (event) => event.target === dialog && dialog.close());
    document.body.append(dialog);
    dialog.showModal();
  };

  function build(panel, info) {
    panel.body = tw.el('div', { class: 'panel-body' });
    const message = tw.el('p', { class: 'note', role: 'status', hidden: true });
    /** Shows a sentence in the panel; null takes it away. */
    panel.note = (text) => {
      message.hidden = !text;
      message.textContent = text || '';
    };
    /** Waits for `promise`, then calls `done(answer)`; shows what goes wrong, unless it was superseded. */
    panel.run = async (promise, done) => {
      panel.section.setAttribute('aria-busy', 'true');
      try {
        const answer = await promise;
        panel.note(null);
        done(answer);
      } catch (error) {
        if (error.name === 'AbortError') return;
        if (!(error instanceof Error) || error.name !== 'Error') console.error(error);
        panel.note(error.message);
      }
      panel.section.removeAttribute('aria-busy');
    };
    panel.section = tw.el(
      'section',
      { id: panel.id, class: 'panel', 'aria-labelledby': panel.id + '-title', tabindex: '-1' },
      tw.el('div', { class: 'panel-head' }, tw.el('h2', { id: panel.id + '-title' }, panel.title), tools(panel)),
      panel.lead ? tw.el('p', { class: 'panel-lead' }, panel.lead) : null,
      message,
      panel.body,
      provenance(panel, info),
    );
    return panel.section;
  }

  /** Builds all panels into the page. */
  tw.mountPanels = (info) => {
    const main = document.getElementById('panels');
    for (const panel of tw.panels) {
      main.append(build(panel, info));
      try {
        panel.mount(panel.body, panel);
      } catch (error) {
        console.error(error);
        panel.note(error.message);
      }
    }
    tw.fill(
      document.getElementById('contents'),
      tw.panels.map((panel) =>
        tw.el(
          'a',
          {
            href: '#' + panel.id,
            onclick: (event) => {
              // The hash is the state; a jump must not replace it.
              event.preventDefault();
              panel.section.scrollIntoView();
              panel.section.focus({ preventScroll: true });
            },
          },
          panel.short || panel.title,
        ),
      ),
    );
    const update = (changed) => {
      for (const panel of tw.panels) {
        if (!panel.update) continue;
        try {
          panel.update(tw.state, tw.data, changed);
        } catch (error) {
          console.error(error);
          panel.note(error.message);
        }
      }
    };
    tw.on((state, changed) => update(changed));
    update(new Set(['all', ...Object.keys(tw.state)]));
  };
})();
