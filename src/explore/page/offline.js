/* Attention computed from a layer's numbers, as the engine's op does: for exports, and to hold against the engine. */
(function () {
  'use strict';
  const tw = window.tw;

  const row = (matrix, i, width) => matrix.slice(i * width, (i + 1) * width);
  const dot = (a, b, at) => {
    let sum = 0;
    for (let i = 0; i < a.length; i++) sum += a[i] * b[at * a.length + i];
    return sum;
  };

  /** The place of key `k` relative to query `q`, as rows of the position tables: {x, y}, or {y} for a sequence. */
  function offsets(layer, q, k) {
    if (layer.kind === 'sequence') return { y: k - q - layer.first_offset };
    const { width: w, height: h } = layer;
    return { x: (k % w) - (q % w) + w - 1, y: Math.floor(k / w) - Math.floor(q / w) + h - 1 };
  }
  /** The position vector of key `k` seen from query `q`. */
  function positionOf(layer, q, k) {
    const d = layer.head_dim;
    const { x, y } = offsets(layer, q, k);
    if (layer.kind === 'sequence') return row(layer.position, y, d);
    const [across, down] = [row(layer.position_x, x, d), row(layer.position_y, y, d)];
    return across.map((value, i) => value + down[i]);
  }

  /**
   * The two vectors whose product is an energy: {left, right, names}. null where the layer lacks the term.
   * Term i of E1..E4 is scale * left . right.
   */
  tw.pair = (layer, i, q, k) => {
    if (layer.terms[i] !== '1') return null;
    const d = layer.head_dim;
    const left = i < 2 ? row(layer.query, q, d) : i === 2 ? layer.u : layer.v;
    const right = i % 2 === 0 ? row(layer.key, k, d) : positionOf(layer, q, k);
    return { left, right };
  };

  /** Whether key `k` may be looked at by query `q`. */
  const allowed = (layer, q, k) => !(layer.causal && k > q);

  // Energies do not depend on which terms are on: those of the last query serve all combinations.
  let last = { layer: null, q: -1, energies: null };
  function energiesOf(layer, q) {
    if (last.layer !== layer || last.q !== q) last = { layer, q, energies: compute(layer, q) };
    return last.energies;
  }
  function compute(layer, q) {
    return [0, 1, 2, 3].map((i) => {
      if (layer.terms[i] !== '1') return null;
      const vector = i < 2 ? row(layer.query, q, layer.head_dim) : i === 2 ? layer.u : layer.v;
      const table = layer.kind === 'sequence' ? layer.position : null;
      return Array.from({ length: layer.keys }, (_, k) => {
        if (i % 2 === 0) return layer.scale * dot(vector, layer.key, k);
        const at = offsets(layer, q, k);
        if (table) return layer.scale * dot(vector, table, at.y);
        return layer.scale * (dot(vector, layer.position_x, at.x) + dot(vector, layer.position_y, at.y));
      });
    });
  }

  /** Loss 1/2 |output - target|^2 and its derivatives in the weights and energies. */
  function backward(layer, weights, output, target) {
    const { value_dim: dv } = layer;
    const grad_output = output.map((x, i) => x - target[i]);
    const grad_head = Array.from({ length: dv }, (_, j) => grad_output.reduce((sum, g, i) => sum + g * layer.output_matrix[i * dv + j], 0));
    const grad_weights = weights.map((_, k) => dot(grad_head, layer.value, k));
    const mean = grad_weights.reduce((sum, g, k) => sum + g * weights[k], 0);
    const grad_energies = grad_weights.map((g, k) => weights[k] * (g - mean));
    return { loss: 0.5 * grad_output.reduce((sum, g) => sum + g * g, 0), target, grad_output, grad_weights, grad_energies };
  }

  /** A colour as the layer's output would have to be; zeros where there is no target or the layer does not mix colours. */
  tw.targetOf = (layer, target) => {
    if (!target || !layer.colour) return new Array(layer.channels).fill(0);
    const { scale, shift } = layer.colour;
    return Array.from({ length: layer.channels }, (_, i) => (i < 3 ? target[i] * scale + shift : 0));
  };

  /** What `attend` answers, computed here. null if a picture's queries are not on the grid of its keys. */
  tw.attend = (layer, { terms, query, target }) => {
    if (!layer || (layer.kind === 'image' && layer.keys !== layer.queries)) return null;
    const q = layer.kind === 'sequence' ? query[0] : query[0] * layer.width + query[1];
    const energies = energiesOf(layer, q);
    const sum = Array.from({ length: layer.keys }, (_, k) =>
      energies.reduce((total, energy, i) => total + (energy && terms[i] === '1' ? energy[k] : 0), 0),
    );
    const visible = sum.map((_, k) => allowed(layer, q, k));
    const most = sum.reduce((max, x, k) => (visible[k] && x > max ? x : max), -Infinity);
    const exps = sum.map((x, k) => (visible[k] ? Math.exp(x - most) : 0));
    const total = exps.reduce((a, b) => a + b, 0);
    const weights = exps.map((x) => x / total);
    const { value_dim: dv, channels } = layer;
    const head_output = new Array(dv).fill(0);
    weights.forEach((w, k) => {
      for (let j = 0; j < dv; j++) head_output[j] += w * layer.value[k * dv + j];
    });
    const output = Array.from(
      { length: channels },
      (_, i) => dot(head_output, layer.output_matrix, i) + (layer.output_bias ? layer.output_bias[i] : 0),
    );
    return {
      height: layer.height,
      width: layer.width,
      query_vector: layer.query ? row(layer.query, q, layer.head_dim) : null,
      energies,
      sum,
      visible: visible.every(Boolean) ? null : visible,
      weights,
      head_output,
      output,
      backward: backward(layer, weights, output, tw.targetOf(layer, target)),
    };
  };
})();
