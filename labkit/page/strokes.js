"use strict";
/* From strokes to what the nets are given, the way MNIST's digits were made (LeCun et al., 1998).

   Strokes are lists of points [x, y] in [0, 1], from the drawing's left and top. */

const BOX = 20, FIELD = 28, SIZE = 32; // pixels: of the digit, of MNIST's pictures, of the course's
const MEAN = 0.1307, STD = 0.3081; // of labkit.data.mnist
const PAPER = Math.fround((0 - MEAN) / STD);
const RADIUS = 1.25, SOFT = 1.4; // of the pen and its grey edge, in pixels: as much ink as MNIST

/* Cut the corners of each stroke twice (Chaikin, 1974), as a steady hand would. */
function smooth(strokes) {
  const once = (points) => points.length < 3 ? points : [
    points[0],
    ...points.slice(1).flatMap(([x, y], k) => [0.25, 0.75].map((share) =>
      [points[k][0] + share * (x - points[k][0]), points[k][1] + share * (y - points[k][1])])),
    points.at(-1),
  ];
  return strokes.map((points) => once(once(points)));
}

/* Draw strokes, given in pixels, with a soft round pen: 28 × 28 values from 0 to 255. */
function ink(strokes) {
  const picture = new Float64Array(FIELD * FIELD);
  for (const points of strokes) {
    points.forEach(([ax, ay], k) => {
      const [bx, by] = points[Math.min(k + 1, points.length - 1)];
      const dx = bx - ax, dy = by - ay, length = dx * dx + dy * dy;
      for (let place = 0; place < picture.length; place++) {
        const x = place % FIELD + 0.5, y = Math.floor(place / FIELD) + 0.5; // a pixel's middle
        const along = length && Math.min(1, Math.max(0, ((x - ax) * dx + (y - ay) * dy) / length));
        const distance = Math.hypot(x - ax - along * dx, y - ay - along * dy);
        const share = Math.min(1, Math.max(0, (RADIUS - distance) / SOFT + 0.5));
        picture[place] = Math.max(picture[place], Math.round(255 * share));
      }
    });
  }
  return picture;
}

/* Fit strokes into 20 × 20 pixels, and put their centre of mass into the middle of 28 × 28. */
function fit(strokes) {
  const xs = strokes.flat().map(([x]) => x), ys = strokes.flat().map(([, y]) => y);
  const left = Math.min(...xs), top = Math.min(...ys);
  const extent = Math.max(Math.max(...xs) - left, Math.max(...ys) - top, 0.05); // a dot stays one
  const scale = (BOX - 2 * RADIUS) / extent;
  const place = (dx, dy) => strokes.map((points) =>
    points.map(([x, y]) => [scale * (x - left) + dx, scale * (y - top) + dy]));
  const edge = (FIELD - BOX) / 2 + RADIUS, picture = ink(place(edge, edge));
  let mass = 0, across = 0, down = 0;
  picture.forEach((value, k) => {
    mass += value;
    across += value * (k % FIELD + 0.5);
    down += value * (Math.floor(k / FIELD) + 0.5);
  });
  return place(edge + FIELD / 2 - across / mass, edge + FIELD / 2 - down / mass);
}

/* Resize 28 × 28 to 32 × 32 as labkit.data.mnist.prepare does: bilinear, in whole grey levels. */
function resize(picture) {
  const across = new Float64Array(FIELD * SIZE), resized = new Float64Array(SIZE * SIZE);
  const mix = (at, target) => {
    const from = Math.min(FIELD - 1, Math.max(0, (target + 0.5) * FIELD / SIZE - 0.5));
    const low = Math.floor(from), high = Math.min(FIELD - 1, low + 1), share = from - low;
    return Math.round((1 - share) * at(low) + share * at(high));
  };
  for (let row = 0; row < FIELD; row++) {
    for (let column = 0; column < SIZE; column++) {
      across[row * SIZE + column] = mix((from) => picture[row * FIELD + from], column);
    }
  }
  for (let k = 0; k < resized.length; k++) {
    resized[k] = mix((from) => across[from * SIZE + k % SIZE], Math.floor(k / SIZE));
  }
  return resized;
}

/* What the nets are given for strokes: 32 × 32 normalised numbers.
   asMNIST: fitted and centred; otherwise as they stand on the drawing. */
function prepare(strokes, asMNIST) {
  const drawn = smooth(strokes);
  const large = drawn.map((points) => points.map(([x, y]) => [FIELD * x, FIELD * y]));
  const picture = resize(ink(asMNIST ? fit(drawn) : large));
  return Float32Array.from(picture, (value) => Math.fround(Math.fround(value / 255) - MEAN) / STD);
}

if (typeof module !== "undefined") module.exports = { prepare, resize, PAPER }; // Node
