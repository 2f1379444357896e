/* The last script: reads the state, builds the panels, follows the state. */
(function () {
  'use strict';
  const tw = window.tw;

  const THEMES = { auto: 'Theme: system', light: 'Theme: light', dark: 'Theme: dark' };
  function themeButton() {
    const button = tw.el('button', {
      type: 'button',
      class: 'quiet',
      id: 'theme',
      onclick: () => {
        const names = Object.keys(THEMES);
        tw.set({ theme: names[(names.indexOf(tw.state.theme) + 1) % names.length] });
      },
    });
    const show = () => {
      button.textContent = THEMES[tw.state.theme];
      if (tw.state.theme === 'auto') delete document.documentElement.dataset.theme;
      else document.documentElement.dataset.theme = tw.state.theme;
    };
    tw.on((state, changed) => changed.has('theme') && show());
    show();
    return button;
  }

  async function start() {
    tw.keepSource();
    let info;
    try {
      info = await tw.api.info();
    } catch (error) {
      tw.fill(document.getElementById('panels'), tw.el('p', { class: 'note', role: 'alert' }, error.message));
      return;
    }
    tw.data.info = info;
    tw.restore(tw.embedded && tw.embedded.state);
    document.getElementById('top-tools').append(...tw.exportButtons(), themeButton());
    if (!tw.api.online)
      document
        .querySelector('.lead')
        .after(
          tw.el('p', { class: 'saved' }, 'A saved page: no engine, no network. It shows what was kept and computes the rest where it can.'),
        );
    tw.fill(document.getElementById('bottom'), `Termwise ${info.version}. Everything is computed on this machine; the page asks no other.`);
    tw.mountPanels(info);
    tw.startModel();
    document.body.dataset.ready = 'true';
  }
  start();
})();
