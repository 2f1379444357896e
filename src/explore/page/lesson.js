/*
 * The lesson without the engine: from a scene to its layer and to what the convolutions do on it, as
 * src/explore/lesson.rs sets them. Its parameters come with every layer of the lesson, so a saved page has them; it is
 * used where there is no engine, and the tests hold it against the engine's numbers.
 */
(function () {
  'use strict';
  const tw = window.tw;

  // Channels of a cell's content: red, green, blue, brightness, four arrows, a constant.
  const CONTENT = 9;
  const TAPS = Array.from({ length: 9 }, (_, j) => [Math.floor(j / 3) - 1, (j % 3) - 1]);

  function content(scene, at) {
    const colour = scene.rgb.slice(3 * at, 3 * at + 3).map((byte) => byte / 255);
    const [most, least] = [Math.max(...colour), Math.min(...colour)];
    const arrow = [1, 2, 3, 4].map((direction) => (scene.arrows[at] === direction ? 1 : 0));
    return [...colour, (most + (most - least)) / 2, ...arrow, 1];
  }
  /** matrix (rows, 9) times a cell's content. */
  const project = (matrix, x) =>
    Array.from({ length: matrix.length / CONTENT }, (_, row) => x.reduce((sum, value, c) => sum + matrix[row * CONTENT + c] * value, 0));

  /** A layer of the lesson that this page holds, with its parameters; null where there is none. */
  function known() {
    const { layers = {}, answers = {} } = tw.embedded || {};
    const all = [
      tw.data.layer,
      ...Object.values(layers),
      ...Object.entries(answers)
        .filter(([key]) => key.startsWith('layer '))
        .map(([, answer]) => answer),
    ];
    const fitting = all.filter((layer) => layer && layer.lesson);
    return fitting.sort((a, b) => b.width + b.height - a.width - a.height)[0] || null;
  }

  /** The rows of a position table for offsets -(size - 1) to size - 1, cut out of one of a larger scene. */
  function rows(table, from, size, d) {
    const skip = (from - size) * d;
    return skip === 0 ? table : table.slice(skip, table.length - skip);
  }

  /** The layer of `scene`; null where this page does not know enough. */
  tw.lessonLayer = (scene, base = known()) => {
    if (!base || scene.height > base.height || scene.width > base.width) return null;
    const { query, key, value } = base.lesson;
    const contents = scene.arrows.map((_, at) => content(scene, at));
    const all = (matrix) => contents.flatMap((x) => project(matrix, x));
    const cells = contents.length;
    return {
      ...base,
      height: scene.height,
      width: scene.width,
      queries: cells,
      keys: cells,
      query: all(query),
      key: all(key),
      value: all(value),
      position_x: rows(base.position_x, base.width, scene.width, base.head_dim),
      position_y: rows(base.position_y, base.height, scene.height, base.head_dim),
    };
  };

  const pixel = (scene, row, column) => {
    if (row < 0 || column < 0 || row >= scene.height || column >= scene.width) return null;
    const at = row * scene.width + column;
    return scene.rgb.slice(3 * at, 3 * at + 3).map((byte) => byte / 255);
  };
  const mix = (parts) => [0, 1, 2].map((c) => parts.reduce((sum, [weight, colour]) => sum + weight * (colour ? colour[c] : 0), 0));

  /** What `deformable` answers. The slope at an integer is the right-hand one. */
  tw.lessonDeformable = ({ scene, query, offsets, target }, base = known()) => {
    if (!base) return null;
    const { offsets: predictor, taps: weights } = base.lesson;
    const predicted = project(predictor, content(scene, query[0] * scene.width + query[1]));
    const taps = TAPS.map((tap, i) => {
      const offset = offsets ? offsets[i] : predicted.slice(2 * i, 2 * i + 2);
      const at = tap.map((step, axis) => query[axis] + step + offset[axis]);
      const [top, left] = at.map(Math.floor);
      const [fy, fx] = [at[0] - top, at[1] - left];
      const corners = [
        [0, 0],
        [0, 1],
        [1, 0],
        [1, 1],
      ].map(([down, right]) => {
        const [y, x] = [down ? fy : 1 - fy, right ? fx : 1 - fx];
        const colour = pixel(scene, top + down, left + right);
        return {
          row: top + down,
          col: left + right,
          weight: y * x,
          inside: colour !== null,
          colour,
          slopes: [(down ? 1 : -1) * x, (right ? 1 : -1) * y],
        };
      });
      const slope = (axis) => mix(corners.map((corner) => [weights[i] * corner.slopes[axis], corner.colour]));
      return {
        tap,
        offset,
        at,
        corners,
        kernel_weight: weights[i],
        sampled: mix(corners.map((corner) => [corner.weight, corner.colour])),
        grad_output: [slope(0), slope(1)],
      };
    });
    const output = mix(taps.map((tap) => [tap.kernel_weight, tap.sampled]));
    const error = target ? output.map((x, c) => x - target[c] / 255) : [0, 0, 0];
    for (const tap of taps) {
      tap.grad = tap.grad_output.map((g) => g.reduce((sum, x, c) => sum + x * error[c], 0));
      tap.corners = tap.corners.map(({ row, col, weight, inside }) => ({ row, col, weight, inside }));
    }
    return { taps, output, loss: 0.5 * error.reduce((sum, x) => sum + x * x, 0) };
  };

  function scan({ tap, axis, from, to, count, ...params }, base) {
    const answer = { offset: [], loss: [], output: [], grad: [] };
    for (let i = 0; i < count; i++) {
      const offset = from + (i * (to - from)) / (count - 1);
      const moved = params.offsets.map((pair) => pair.slice());
      moved[tap][axis] = offset;
      const at = tw.lessonDeformable({ ...params, offsets: moved }, base);
      if (!at) return null;
      answer.offset.push(offset);
      answer.loss.push(at.loss);
      answer.output.push(...at.output);
      answer.grad.push(at.taps[tap].grad[axis]);
    }
    return answer;
  }

  /** What `dynamic` answers. */
  tw.lessonDynamic = ({ scene, query }, base = known()) => {
    if (!base) return null;
    const { dynamic, taps } = base.lesson;
    const logits = project(dynamic, content(scene, query[0] * scene.width + query[1]));
    const exps = logits.map((x) => Math.exp(x - Math.max(...logits)));
    const total = exps.reduce((a, b) => a + b, 0);
    const kernel = exps.map((x) => x / total);
    const output = (weights) => mix(TAPS.map(([dy, dx], j) => [weights[j], pixel(scene, query[0] + dy, query[1] + dx)]));
    return { size: 3, groups: 1, kernel, kernels: kernel, static: taps, output: output(kernel), static_output: output(taps) };
  };

  // What a saved page did not keep it computes.
  Object.assign(tw.api.offline, {
    layer: ({ source, scene }) => (source.kind === 'lesson' ? tw.lessonLayer(scene) : null),
    deformable: (params) => tw.lessonDeformable(params),
    deformable_scan: (params) => scan(params, known()),
    dynamic: (params) => tw.lessonDynamic(params),
  });
})();
