/* A grid of cells to paint on: by mouse, touch and keyboard. It knows nothing of scenes' names, only of cells. */
(function () {
  'use strict';
  const tw = window.tw;
  const { el, svg } = tw;

  const STEPS = { ArrowUp: [-1, 0], ArrowRight: [0, 1], ArrowDown: [1, 0], ArrowLeft: [0, -1] };

  /** The cells on the straight way from one to another, both included, so that a fast stroke leaves no gaps. */
  function between([r0, c0], [r1, c1]) {
    const steps = Math.max(Math.abs(r1 - r0), Math.abs(c1 - c0));
    return Array.from({ length: steps + 1 }, (_, i) => {
      const share = steps === 0 ? 0 : i / steps;
      return [Math.round(r0 + share * (r1 - r0)), Math.round(c0 + share * (c1 - c0))];
    });
  }

  /**
   * `onstroke()` is called before a stroke begins, `onpaint([[row, column], ..])` for the cells that it passes,
   * `onundo()` for Ctrl+Z. Answers {element, draw(scene, query)}.
   */
  tw.painter = ({ onstroke, onpaint, onundo, describe }) => {
    const canvas = el('canvas', { width: 1, height: 1 });
    const over = svg('svg', { class: 'marks', 'aria-hidden': 'true', preserveAspectRatio: 'none' });
    const element = el(
      'div',
      {
        class: 'map-frame painter',
        tabindex: '0',
        role: 'application',
        'aria-label': 'Cells to paint. Arrow keys move, space paints, shift with arrow keys paints along.',
      },
      canvas,
      over,
    );
    let scene = null;
    let query = null;
    let cursor = [0, 0];
    let focused = false;
    let last = null;
    // Cells passed since the last picture: a fast stroke changes the page once a picture, not once an event.
    let passed = [];
    let frame = 0;

    function flush() {
      cancelAnimationFrame(frame);
      frame = 0;
      if (passed.length > 0) onpaint(passed.splice(0));
    }

    function marks() {
      if (!scene) return;
      const { width } = scene;
      const index = query[0] * width + query[1];
      const [r, c] = cursor;
      tw.fill(
        over,
        tw.draw.sceneArrows(scene),
        tw.draw.ring(index, width, 'query'),
        focused
          ? svg('rect', {
              x: c + 0.02,
              y: r + 0.02,
              width: 0.96,
              height: 0.96,
              fill: 'none',
              stroke: '#1f2328',
              'stroke-width': 0.12,
              'stroke-dasharray': '0.2 0.14',
            })
          : null,
        focused
          ? svg('rect', {
              x: c + 0.02,
              y: r + 0.02,
              width: 0.96,
              height: 0.96,
              fill: 'none',
              stroke: '#ffffff',
              'stroke-width': 0.12,
              'stroke-dasharray': '0.2 0.14',
              'stroke-dashoffset': 0.17,
            })
          : null,
      );
    }

    function cellAt(event) {
      const box = element.getBoundingClientRect();
      const within = (x, size) => Math.max(0, Math.min(size - 1, Math.floor(x)));
      return [
        within(((event.clientY - box.top) / box.height) * scene.height, scene.height),
        within(((event.clientX - box.left) / box.width) * scene.width, scene.width),
      ];
    }

    element.addEventListener('pointerdown', (event) => {
      if (!scene || event.button > 0) return;
      element.setPointerCapture(event.pointerId);
      last = cellAt(event);
      cursor = last;
      onstroke();
      onpaint([last]);
    });
    element.addEventListener('pointermove', (event) => {
      if (!last) return;
      const now = cellAt(event);
      if (now[0] === last[0] && now[1] === last[1]) return;
      passed.push(...between(last, now).slice(1));
      if (frame === 0) frame = requestAnimationFrame(flush);
      last = now;
      cursor = now;
    });
    for (const end of ['pointerup', 'pointercancel', 'lostpointercapture']) {
      element.addEventListener(end, () => {
        flush();
        last = null;
      });
    }
    element.addEventListener('keydown', (event) => {
      if (!scene) return;
      const step = STEPS[event.key];
      if ((event.ctrlKey || event.metaKey) && event.key.toLowerCase() === 'z') onundo();
      else if (event.ctrlKey || event.metaKey || event.altKey) return;
      else if (step) {
        const within = (x, size) => Math.max(0, Math.min(size - 1, x));
        cursor = [within(cursor[0] + step[0], scene.height), within(cursor[1] + step[1], scene.width)];
        if (event.shiftKey) {
          onstroke();
          onpaint([cursor]);
        }
        marks();
        tw.say(describe(cursor));
      } else if (event.key === ' ' || event.key === 'Enter') {
        onstroke();
        onpaint([cursor]);
        tw.say(describe(cursor));
      } else return;
      event.preventDefault();
      event.stopPropagation();
    });
    element.addEventListener('focus', () => {
      focused = true;
      marks();
    });
    element.addEventListener('blur', () => {
      focused = false;
      marks();
    });

    return {
      element,
      draw(next, at) {
        scene = next;
        query = at;
        cursor = [Math.min(cursor[0], scene.height - 1), Math.min(cursor[1], scene.width - 1)];
        if (canvas.width !== scene.width || canvas.height !== scene.height) {
          Object.assign(canvas, { width: scene.width, height: scene.height });
          over.setAttribute('viewBox', `0 0 ${scene.width} ${scene.height}`);
          element.style.aspectRatio = `${scene.width} / ${scene.height}`;
        }
        const image = new ImageData(scene.width, scene.height);
        for (let i = 0; i < scene.arrows.length; i++) image.data.set([...scene.rgb.slice(3 * i, 3 * i + 3), 255], 4 * i);
        canvas.getContext('2d').putImageData(image, 0, 0);
        marks();
      },
    };
  };
})();
