/*
 * The cards: a case, a question, choices, and an explanation that is computed from the case by the engine.
 * `reveal(lab)` answers {text, holds}: `holds` says whether the numbers are what the explanation claims.
 */
(function () {
  'use strict';
  const tw = window.tw;

  const LOOK = {
    '.': [120, 120, 120],
    r: [255, 0, 0],
    b: [0, 0, 255],
    g: [0, 160, 60],
    y: [255, 255, 0],
    w: [245, 245, 245],
    k: [40, 40, 40],
  };
  const ARROWS = { '^': 1, '>': 2, v: 3, '<': 4 };
  /** A scene from rows of letters: a colour, or an arrow on grey. */
  const scene = (...rows) => {
    const cells = rows.flatMap((row) => [...row]);
    return {
      height: rows.length,
      width: rows[0].length,
      rgb: cells.flatMap((c) => LOOK[c] || LOOK['.']),
      arrows: cells.map((c) => ARROWS[c] || 0),
    };
  };
  const number = tw.format;
  const share = tw.format.share;
  const sum = (values) => values.reduce((a, b) => a + b, 0);
  const largest = (values) => values.reduce((best, x, i) => (x > values[best] ? i : best), 0);
  const apart = (a, b) => a.reduce((most, x, i) => Math.max(most, Math.abs(x - b[i])), 0);

  const SPOTS = scene('r.......', '.....b..', '..k.....', '......r.', '........', '.r..y...', '........', '...b...r');
  const ARROW = scene('........', '.b....r.', '........', '........', '..>.....', '........', '.r....g.', '........');
  const LAMP = scene('..k.....', '.....k..', '........', '.k......', '.....y..', '........', '..b.....', '.......k');
  const PATCHES = scene('rrrrbbbb', 'rrrrbbbb', 'rrrrbbbb', 'rrrrbbbb', 'yyyygggg', 'yyyygggg', 'yyyygggg', 'yyyygggg');
  const MIXED = scene('rbygrbyg', 'ygrbygrb', 'brgybrgy', 'gybrgybr', 'rbygrbyg', 'ygrbygrb', 'brgybrgy', 'gybrgybr');
  const ZERO = new Array(18).fill(0);
  const withOffset = (tap, dy, dx) => ZERO.map((x, i) => (i === 2 * tap ? dy : i === 2 * tap + 1 ? dx : x));
  const pairs = (offsets) => Array.from({ length: 9 }, (_, i) => offsets.slice(2 * i, 2 * i + 2));

  tw.cards = [
    {
      id: 'e1',
      scene: SPOTS,
      query: [3, 6],
      before: { terms: '0000' },
      after: { terms: '1000' },
      question: 'The query is red. E1 alone is switched on. Where will it look?',
      choices: ['At the cells beside it', 'At the red cells, wherever they are', 'At the brightest cell', 'At all cells alike'],
      answer: 1,
      async reveal(lab) {
        const { weights } = await lab.attend('1000');
        const red = weights.filter((_, k) => this.scene.rgb[3 * k] === 255 && this.scene.rgb[3 * k + 1] === 0);
        return {
          text: `E1 compares contents: the ${red.length} red cells of 64 now get ${share(sum(red))} of the weight, each as much as the query itself, however far away.`,
          holds: sum(red) > 0.5,
        };
      },
    },
    {
      id: 'e2-off',
      scene: ARROW,
      query: [4, 2],
      before: { terms: '1111' },
      after: { terms: '1011' },
      question: 'The query carries an arrow to the right, all terms are on. E2 off: what happens here?',
      choices: [
        'Nothing: E4 knows the places too',
        'It looks to the left instead',
        'The beam along the arrow goes; near and bright cells take over',
        'All cells get the same weight',
      ],
      answer: 2,
      async reveal(lab) {
        const ray = (weights) => sum([3, 4, 5, 6, 7].map((x) => weights[32 + x]));
        const [on, off] = [await lab.attend('1111'), await lab.attend('1011')].map((a) => ray(a.weights));
        return {
          text: `The five cells ahead of the arrow had ${share(on)} of the weight and keep ${share(off)}. Only E2 brings the query\u2019s content and the key\u2019s place together; E4 knows places, but cannot see the arrow.`,
          holds: on > 2 * off,
        };
      },
    },
    {
      id: 'e3-query',
      scene: LAMP,
      query: [1, 1],
      before: { terms: '0010' },
      after: { terms: '0010', query: [6, 2] },
      question: 'E3 alone is on. Another query is chosen, of another colour and at another place. What happens to the map?',
      choices: [
        'It is the very same map',
        'It moves with the query',
        'It turns to cells of the new query\u2019s colour',
        'It becomes uniform',
      ],
      answer: 0,
      async reveal(lab) {
        const [a, b] = [await lab.attend('0010', [1, 1]), await lab.attend('0010', [6, 2])];
        return {
          text: `E3 does not contain the query at all. The largest difference between the two maps is ${number(apart(a.weights, b.weights))}; the yellow cell has ${share(a.weights[largest(a.weights)])} in both. That is why one softmax can serve all queries.`,
          holds: apart(a.weights, b.weights) < 1e-12,
        };
      },
    },
    {
      id: 'e4-repaint',
      scene: PATCHES,
      query: [3, 4],
      before: { terms: '0001' },
      after: { terms: '0001', scene: MIXED },
      question: 'E4 alone is on. Now every cell is repainted. What happens to the weights?',
      choices: ['They follow the colours', 'Nothing: they depend on places only', 'They spread out', 'They become uniform'],
      answer: 1,
      async reveal(lab) {
        const [a, b] = [await lab.attend('0001'), await lab.attend('0001', this.query, MIXED)];
        return {
          text: `E4 reads only where the key lies from the query. Largest difference between the weights before and after: ${number(apart(a.weights, b.weights))}. The output does change, by up to ${number(apart(a.output, b.output))}: the same weights mix other colours.`,
          holds: apart(a.weights, b.weights) < 1e-12 && apart(a.output, b.output) > 1e-3,
        };
      },
    },
    {
      id: 'all-off',
      scene: SPOTS,
      query: [3, 6],
      before: { terms: '1111' },
      after: { terms: '0000' },
      question: 'All four terms are switched off. What is the output at the query?',
      choices: ['Zero', 'The query\u2019s own colour', 'The mean colour of the whole scene', 'It is not defined'],
      answer: 2,
      async reveal(lab) {
        const { weights, output } = await lab.attend('0000');
        const means = [0, 1, 2].map((c) => sum(this.scene.rgb.filter((_, i) => i % 3 === c)) / 64);
        const colour = lab.bytes(output);
        return {
          text: `All energies are 0, and the softmax of equal numbers is uniform: each of the ${weights.length} cells has ${number(weights[0])}. The output is the colour ${tw.colour.hex(colour)}, the mean of the scene, at every query.`,
          holds:
            apart(colour, means) < 1 &&
            apart(
              weights,
              weights.map(() => 1 / 64),
            ) < 1e-12,
        };
      },
    },
    {
      id: 'sharper',
      scene: LAMP,
      query: [2, 3],
      before: { terms: '0011' },
      after: {},
      question: 'Suppose that all energies were twice as large (a scale of 2 in place of 1). What would the softmax do?',
      choices: [
        'Nothing: it only sees differences of sign',
        'Double each weight',
        'Sharpen: more for the first, less for the rest',
        'Flatten: all come closer',
      ],
      answer: 2,
      async reveal(lab) {
        const { sum: energies, weights } = await lab.attend('0011');
        const exps = energies.map((e) => Math.exp(2 * (e - Math.max(...energies))));
        const [before, after] = [Math.max(...weights), 1 / sum(exps)];
        return {
          text: `The largest weight would go from ${share(before)} to ${share(after)}. The softmax sees differences of energies, and these double. Adding the same number to all energies, in contrast, changes nothing. This is why energies are often scaled by 1/\u221ad.`,
          holds: after > before,
        };
      },
    },
    {
      id: 'gradient-sum',
      scene: SPOTS,
      query: [3, 6],
      before: { terms: '1111' },
      after: { backward: true },
      question: 'Backward: d loss / d energy of every key for this one query. What is their sum?',
      choices: ['Always 0', 'Always 1', 'The loss', 'It depends on the target'],
      answer: 0,
      async reveal(lab) {
        const { backward } = await lab.backward('1111');
        const total = sum(backward.grad_energies);
        const most = Math.max(...backward.grad_energies.map(Math.abs));
        return {
          text: `It is ${number(total)} here, to rounding, though single ones reach ${number(most)}. Adding a constant to all energies leaves the softmax as it is, so the derivative in that direction is 0: what one key gains the others lose.`,
          holds: Math.abs(total) < 1e-12 && most > 1e-4,
        };
      },
    },
    {
      id: 'gradient-unseen',
      scene: ARROW,
      query: [4, 2],
      before: { terms: '0100', backward: true },
      after: {},
      question: 'A key far behind the arrow has nearly no weight. How large is the loss\u2019s derivative in its energy?',
      choices: [
        'The largest of all: it is the most wrong',
        'As large as the others',
        'Nearly zero: what is not seen hardly learns',
        'Exactly its energy',
      ],
      answer: 2,
      async reveal(lab) {
        const { weights, backward } = await lab.backward('0100');
        const g = backward.grad_energies.map(Math.abs);
        const [last, first] = [largest(weights.map((w) => -w)), largest(g)];
        return {
          text: `d loss / d energy = weight \u00b7 (its value\u2019s part in the loss \u2212 the mean of all). The least looked-at key has the weight ${number(weights[last])} and the derivative ${number(g[last])}; the largest derivative is ${number(g[first])}.`,
          holds: g[first] > 1e-4 && g[last] < 1e-3 * g[first],
        };
      },
    },
    {
      id: 'kink',
      scene: MIXED,
      query: [3, 3],
      before: { offsets: withOffset(5, 0, -0.05), tap: 5, axis: 1 },
      after: { offsets: withOffset(5, 0, 0.05) },
      panel: 'deformable',
      question:
        'Deformable convolution: a sampling point is dragged across the centre of a cell (an integer position). What do loss and gradient do there?',
      choices: ['Both change smoothly', 'The loss jumps, the gradient stays', 'Both jump', 'The loss is continuous, the gradient jumps'],
      answer: 3,
      async reveal(lab) {
        const at = (dx) =>
          lab.call('deformable', { scene: this.scene, query: this.query, offsets: pairs(withOffset(5, 0, dx)), target: [230, 60, 50] });
        const [a, b] = [await at(-0.0001), await at(0.0001)];
        const [ga, gb] = [a, b].map((x) => x.taps[5].grad[1]);
        return {
          text: `A ten-thousandth of a cell to the left and to the right of it the loss is ${a.loss.toFixed(5)} and ${b.loss.toFixed(5)}, but its slope is ${number(ga)} and ${number(gb)}: beyond the line another pair of cells is mixed. A gradient check must keep away from integers.`,
          holds: Math.abs(a.loss - b.loss) < 1e-4 && Math.abs(ga - gb) > 1e-3,
        };
      },
    },
    {
      id: 'half',
      scene: MIXED,
      query: [3, 3],
      before: { offsets: [...ZERO], tap: 4 },
      after: { offsets: withOffset(4, 0.5, 0.5), tap: 4 },
      panel: 'deformable',
      question: 'A sampling point is moved by half a cell down and half a cell to the right. What are the weights of its four corners?',
      choices: ['1, 0, 0, 0: the nearest cell', '1/2 and 1/2 of two cells', '1/4 each', '1/16 each'],
      answer: 2,
      async reveal(lab) {
        const got = await lab.call('deformable', {
          scene: this.scene,
          query: this.query,
          offsets: pairs(withOffset(4, 0.5, 0.5)),
          target: null,
        });
        const weights = got.taps[4].corners.map((corner) => corner.weight);
        return {
          text: `They are ${weights.map((w) => w.toFixed(2)).join(', ')}: (1 \u2212 distance down) times (1 \u2212 distance across) for each corner. They always sum to 1.`,
          holds: weights.every((w) => Math.abs(w - 0.25) < 1e-12),
        };
      },
    },
    {
      id: 'dynamic-neighbour',
      scene: SPOTS,
      query: [5, 3],
      before: {},
      after: { paint: [[44, 0, 0, 255, 0]] },
      panel: 'dynamic',
      question:
        'Dynamic convolution: the cell to the right of the query is repainted from yellow to blue. What happens to the kernel at the query?',
      choices: ['Its right entry falls', 'Nothing: the kernel reads the query alone', 'All nine entries change', 'It becomes uniform'],
      answer: 1,
      async reveal(lab) {
        const [a, b] = [
          await lab.call('dynamic', { scene: this.scene, query: this.query }),
          await lab.call('dynamic', { scene: lab.after, query: this.query }),
        ];
        return {
          text: `Largest change of an entry: ${number(apart(a.kernel, b.kernel))}; of the output: ${number(apart(a.output, b.output))}. The weights come from the query\u2019s content and the place of the tap. What the key holds, it cannot see: this is what E1 and E3 can and dynamic convolution cannot.`,
          holds: apart(a.kernel, b.kernel) === 0 && apart(a.output, b.output) > 1e-3,
        };
      },
    },
    {
      id: 'dynamic-border',
      scene: PATCHES,
      query: [3, 3],
      before: {},
      after: { query: [0, 0] },
      panel: 'dynamic',
      question: 'The query goes to the corner of the picture, where five of the nine taps lie outside. What happens to the kernel?',
      choices: [
        'The four taps inside are scaled up to sum to 1',
        'It still sums to 1; the part outside reads zeros',
        'It is cut: its sum falls',
        'It is mirrored into the picture',
      ],
      answer: 1,
      async reveal(lab) {
        const { kernel } = await lab.call('dynamic', { scene: this.scene, query: [0, 0] });
        const outside = sum(kernel.filter((_, j) => j < 3 || j % 3 === 0));
        return {
          text: `The nine entries sum to ${sum(kernel).toFixed(6)}, of which ${share(outside)} falls outside and reads zeros: the output at the border is darker. Attention has no such border: its softmax goes over the keys that exist.`,
          holds: Math.abs(sum(kernel) - 1) < 1e-9 && outside > 0.1,
        };
      },
    },
    {
      id: 'cost',
      scene: PATCHES,
      query: [3, 4],
      before: { terms: '1000', mech: '1000' },
      after: { mech: 'deformable' },
      panel: 'matrix',
      question: 'The picture gets twice as many rows and columns. How do the multiply-adds grow?',
      choices: [
        'Deformable convolution and E1 both 4 times',
        'Deformable convolution 4 times, E1 more: towards 16 times',
        'Both 16 times',
        'Deformable convolution 16 times, E1 4 times',
      ],
      answer: 1,
      async reveal(lab) {
        const part = (n) => ({ height: n, width: n, rgb: new Array(3 * n * n).fill(120), arrows: new Array(n * n).fill(0) });
        const flops = async (mechanism, n) => (await lab.call('matrix', { scene: part(n), mechanism })).flops;
        const [convolution, e1] = [
          (await flops('deformable', 12)) / (await flops('deformable', 6)),
          (await flops('1000', 12)) / (await flops('1000', 6)),
        ];
        return {
          text: `From 6\u00d76 to 12\u00d712 cells: deformable convolution ${number(convolution)} times, E1 ${number(e1)} times. A convolution looks at nine keys for each query, however large the picture; E1 at all of them, and both queries and keys became four times as many. Its linear layers grow 4 times, its pairs 16 times.`,
          holds: Math.abs(convolution - 4) < 1e-9 && e1 > 5,
        };
      },
    },
    {
      id: 'parameters',
      scene: PATCHES,
      query: [3, 4],
      before: { terms: '1000', mech: '1000' },
      after: { terms: '1010', mech: '1010' },
      panel: 'matrix',
      question: 'E1 is on. E3 is switched on as well. How many parameters does the layer gain?',
      choices: ['None', 'One vector u for each head', 'A whole matrix for the keys', 'Twice as many as before'],
      answer: 1,
      async reveal(lab) {
        const get = (mechanism) => lab.call('matrix', { scene: this.scene, mechanism });
        const [before, after] = [await get('1000'), await get('1010')];
        const more = after.parameters - before.parameters;
        return {
          text: `${tw.parts.count(before.parameters)} become ${tw.parts.count(after.parameters)}: ${more} more, a vector u for each of the ${after.heads} heads, ${after.channels} numbers in all. E1 + E3 = (U z + u) \u00b7 (V x): the matrix V for the keys is shared. E2 and E4 share theirs for the places likewise.`,
          holds: more === after.channels,
        };
      },
    },
    {
      id: 'point-far',
      scene: ARROW,
      query: [4, 2],
      before: { learner: '0001' },
      after: { learner: '0100', terms: '0100' },
      panel: 'training',
      far: true,
      question: 'A task: each query carries a direction and must say the value three cells that way. Which single term can learn it?',
      choices: ['E1', 'E2', 'E3', 'E4'],
      answer: 1,
      async reveal(lab) {
        const ray = async (terms) => sum([3, 4, 5, 6, 7].map((x) => lab.weights[terms][32 + x]));
        lab.weights = { '0100': (await lab.attend('0100')).weights, '0001': (await lab.attend('0001')).weights };
        const [e2, e4] = [await ray('0100'), await ray('0001')];
        return {
          text: `The direction is content of the query, the cell meant is a place: only E2 joins the two. On this picture E2 alone puts ${share(e2)} of the weight ahead of the arrow, E4 alone ${share(e4)}. Train both below and see.`,
          holds: e2 > 2 * e4,
        };
      },
    },
  ];
})();
