/* Colours: the scale of maps (the one of the project's reports), one for differences, one hue for each term. */
(function () {
  'use strict';
  const tw = window.tw;

  // Evenly spaced in lightness, so that equal steps look equal to every kind of colour vision and in grey prints.
  const SEQUENTIAL = [
    [21, 13, 102],
    [2, 53, 102],
    [4, 81, 116],
    [4, 110, 132],
    [5, 139, 145],
    [9, 171, 146],
    [73, 201, 123],
    [170, 222, 111],
    [251, 238, 117],
  ];
  // Blue for less, orange for more, pale at zero: told apart by all common deficiencies.
  const DIVERGING = [
    [0, 63, 117],
    [0, 114, 178],
    [112, 172, 212],
    [244, 243, 238],
    [236, 160, 96],
    [196, 84, 0],
    [124, 48, 0],
  ];
  const NOT_A_NUMBER = [128, 128, 128];

  const between = (anchors, position) => {
    const along = Math.min(Math.max(position, 0), 1) * (anchors.length - 1);
    const below = Math.min(Math.floor(along), anchors.length - 2);
    const share = along - below;
    return anchors[below].map((from, i) => Math.round(from + share * (anchors[below + 1][i] - from)));
  };

  const table = (anchors) => Array.from({ length: 1025 }, (_, i) => between(anchors, i / 1024));
  const tables = { sequential: table(SEQUENTIAL), diverging: table(DIVERGING) };

  tw.colour = {
    /** The range that a map of `kind` spans: diverging ones are symmetric about zero. */
    range(values, kind) {
      const [min, max] = tw.range(values);
      if (kind !== 'diverging') return [min, max];
      const size = Math.max(Math.abs(min), Math.abs(max));
      return [-size, size];
    },
    /** [red, green, blue] of a value on the scale 'sequential' or 'diverging' over [min, max]. */
    of(value, [min, max], kind) {
      if (Number.isNaN(value)) return NOT_A_NUMBER;
      const share = max > min ? (value - min) / (max - min) : kind === 'diverging' ? 0.5 : 0;
      return tables[kind === 'diverging' ? 'diverging' : 'sequential'][Math.round(1024 * Math.min(Math.max(share, 0), 1))];
    },
    css: ([red, green, blue]) => `rgb(${red},${green},${blue})`,
    hex: (rgb) => '#' + rgb.map((x) => x.toString(16).padStart(2, '0')).join(''),
    rgb: (hex) => [1, 3, 5].map((at) => parseInt(hex.slice(at, at + 2), 16)),
    /** A CSS gradient of a scale, for legends. */
    gradient: (kind) =>
      `linear-gradient(to right, ${(kind === 'diverging' ? DIVERGING : SEQUENTIAL).map((rgb) => tw.colour.css(rgb)).join(', ')})`,
    /** Black or white, whichever is readable on `rgb`. */
    ink: ([red, green, blue]) => (0.299 * red + 0.587 * green + 0.114 * blue > 140 ? '#1f2328' : '#ffffff'),
    /** Term colours as CSS (they follow the theme) and, for files, as they are in light. */
    term: (i) => `var(--e${i + 1})`,
    light: ['#0072b2', '#d55e00', '#008964', '#aa548a', '#8e7000', '#2e86ab', '#585c62'],
  };
})();
