/* Saving the whole page as one file that needs no engine and no network, and all numbers as JSON. */
(function () {
  'use strict';
  const tw = window.tw;
  const { el } = tw;

  // Of this document as it came, before any panel is built; start.js, the last script, takes it.
  let source = null;
  tw.keepSource = () => {
    source = document.documentElement.outerHTML;
  };

  // A saved page may run its own scripts and load nothing at all.
  const POLICY =
    "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; img-src data: blob:; base-uri 'none'; form-action 'none'";

  /** What a saved page holds. */
  async function holdings() {
    const seen = Object.fromEntries([...Object.entries((tw.embedded && tw.embedded.answers) || {}), ...tw.api.seen()]);
    const layers = { ...((tw.embedded && tw.embedded.layers) || {}) };
    const answers = {};
    for (const [key, answer] of Object.entries(seen)) (key.startsWith('layer ') ? layers : answers)[key] = answer;
    // The layer shown, however many others were asked for since.
    if (tw.data.layer && !tw.data.stale) layers[tw.api.keyOf('layer', tw.layerParams())] = tw.data.layer;
    const kept = Object.fromEntries(tw.panels.filter((panel) => panel.keep).map((panel) => [panel.id, panel.keep()]));
    return { info: tw.data.info, state: tw.state, layers, answers, kept, sources: await sources() };
  }

  /** The files that the panels name, where the engine gives them. */
  async function sources() {
    if (!tw.api.online) return (tw.embedded && tw.embedded.sources) || {};
    if (!tw.data.info.sources) return {};
    const paths = new Set(
      Object.values(tw.data.info.files || {})
        .flatMap((files) => [files.source, files.check])
        .filter(Boolean),
    );
    const texts = await Promise.all(
      [...paths].map(async (path) => {
        try {
          const response = await fetch('/source/' + path);
          return response.ok ? [path, await response.text()] : null;
        } catch {
          return null;
        }
      }),
    );
    return Object.fromEntries(texts.filter(Boolean));
  }

  /** The page as it is now, as the text of an HTML file. */
  tw.exportPage = async () => {
    const page = new DOMParser().parseFromString(source, 'text/html');
    page.querySelectorAll('#embedded').forEach((old) => old.remove());
    const data = page.createElement('script');
    data.type = 'application/json';
    data.id = 'embedded';
    // Nothing in a text can end the element.
    data.textContent = JSON.stringify(await holdings()).replace(/</g, '\\u003c');
    page.querySelector('script').before(data);
    // A file that the command wrote has a policy of its own, which names these very scripts.
    if (!page.querySelector('meta[http-equiv]')) {
      const policy = page.createElement('meta');
      policy.httpEquiv = 'Content-Security-Policy';
      policy.content = POLICY;
      page.querySelector('meta[charset]').after(policy);
    }
    return '<!doctype html>\n' + page.documentElement.outerHTML + '\n';
  };

  /** The numbers of every panel. */
  tw.exportNumbers = () => {
    const panels = {};
    for (const panel of tw.panels) {
      const numbers = panel.json && panel.json();
      if (numbers) panels[panel.id] = numbers;
    }
    return { program: 'termwise explore', version: tw.data.info.version, state: tw.state, panels };
  };

  /** The buttons of the page's head. */
  tw.exportButtons = () => [
    el(
      'button',
      {
        type: 'button',
        class: 'quiet',
        id: 'save-page',
        title: 'One HTML file that works without this program and without a network',
        onclick: async (event) => {
          const button = event.currentTarget;
          button.disabled = true;
          try {
            tw.save('termwise-explore.html', await tw.exportPage(), 'text/html');
            tw.say('The page is saved as one file.');
          } finally {
            button.disabled = false;
          }
        },
      },
      'Save page',
    ),
    el(
      'button',
      {
        type: 'button',
        class: 'quiet',
        id: 'save-numbers',
        title: 'The numbers of all panels',
        onclick: () => tw.save('termwise-explore.json', JSON.stringify(tw.exportNumbers()), 'application/json'),
      },
      'Save numbers',
    ),
  ];
})();
