"use strict";
/* The forward pass of the course's nets as plain arithmetic: the numbers that PyTorch computes.

   labkit/models/classifiers.py has the same nets, and tests/page holds both to the same logits.
   No library, no page: this file runs in a browser and in Node. A matrix (rows, columns) lies row
   after row in one array. Weights keep PyTorch's names. */

const PAD = 0, UNKNOWN = 1; // the ids of <pad> and <unk>

/* Weights as export.py writes them: a vector is float32; a matrix is int8 times a scale a row. */
function decode({ shape, int8, float32 }) {
  const bytes = (text) => Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
  const vector = new Float32Array(bytes(float32).buffer);
  if (int8 === undefined) return vector;
  const matrix = Float32Array.from(new Int8Array(bytes(int8).buffer));
  const columns = matrix.length / shape[0];
  for (let k = 0; k < matrix.length; k++) matrix[k] *= vector[Math.floor(k / columns)];
  return matrix;
}

/* W x + b, for W (rows, columns), x (columns) and b (rows). */
function affine(W, x, b) {
  const y = new Float64Array(b.length);
  for (let row = 0, k = 0; row < y.length; row++) {
    let sum = b[row];
    for (let column = 0; column < x.length; column++) sum += W[k++] * x[column];
    y[row] = sum;
  }
  return y;
}

const sigmoid = (a) => 1 / (1 + Math.exp(-a));

function softmax(logits) {
  const largest = Math.max(...logits); // taken off first, so that exp stays finite
  const powers = Array.from(logits, (logit) => Math.exp(logit - largest));
  const sum = powers.reduce((a, b) => a + b);
  return powers.map((power) => power / sum);
}

/* One step of a tanh RNN: h' = tanh(W x + b + U h + c). */
function stepRNN({ W, U, b, c }, x, state) {
  const input = affine(W, x, b), memory = affine(U, state.h, c);
  return { h: input.map((a, k) => Math.tanh(a + memory[k])) };
}

/* One step of an LSTM. The gates lie one after another, in PyTorch's order: i, f, g, o.
   c' = f c + i g and h' = o tanh(c'). */
function stepLSTM({ W, U, b, c }, x, state) {
  const input = affine(W, x, b), memory = affine(U, state.h, c), size = state.h.length;
  const h = new Float64Array(size), cell = new Float64Array(size);
  for (let k = 0; k < size; k++) {
    const [i, f, g, o] = [k, size + k, 2 * size + k, 3 * size + k].map((n) => input[n] + memory[n]);
    cell[k] = sigmoid(f) * state.c[k] + sigmoid(i) * Math.tanh(g);
    h[k] = sigmoid(o) * Math.tanh(cell[k]);
  }
  return { h, c: cell };
}

/* A recurrent model, its weights decoded: a cell, its layers, a head, and word vectors for text.
   `backward` are the layers that read from the end; there are none in one direction. */
function recurrent({ cell, weights }) {
  const layers = (name) => {
    const found = [];
    for (let k = 0; name("weight_ih", k) in weights; k++) {
      const [W, U, b, c] = ["weight_ih", "weight_hh", "bias_ih", "bias_hh"]
        .map((part) => decode(weights[name(part, k)]));
      found.push({ W, U, b, c, size: weights[name("weight_hh", k)].shape[1] });
    }
    return found;
  };
  const head = { W: decode(weights["head.weight"]), b: decode(weights["head.bias"]) };
  const model = { step: cell === "LSTM" ? stepLSTM : stepRNN, head };
  if (!("embedding.weight" in weights)) {
    return { ...model, layers: layers((part, k) => `rnn.${part}_l${k}`) };
  }
  model.layers = layers((part, k) => `forward_layers.${k}.${part}_l0`);
  model.backward = layers((part, k) => `backward_layers.${k}.${part}_l0`);
  model.embedding = decode(weights["embedding.weight"]);
  model.dimension = weights["embedding.weight"].shape[1];
  const width = model.layers.at(-1).size * (model.backward.length ? 2 : 1);
  return { ...model, pool: head.W.length === 3 * width };
}

const zeros = ({ size }) => ({ h: new Float64Array(size), c: new Float64Array(size) });
const start = (model) => model.layers.map(zeros);

/* The states of all layers after one more step; each layer reads the state of the one below. */
function advance(model, x, states) {
  return model.layers.map((layer, depth) => {
    const state = model.step(layer, x, states[depth]);
    x = state.h;
    return state;
  });
}

/* RNN and LSTM on a digit x (32 rows of 32): the ten logits after each row. */
function* readRows(model, x) {
  let states = start(model);
  for (let row = 0; row < 32; row++) {
    states = advance(model, x.subarray(32 * row, 32 * row + 32), states);
    yield affine(model.head.W, states.at(-1).h, model.head.b);
  }
}

/* A convolution with square kernels and a ReLU: x (channels, size, size) → (kernels, out, out). */
function convolve(x, channels, size, W, b, kernel, padding) {
  const out = size + 2 * padding - kernel + 1, y = new Float64Array(b.length * out * out);
  for (let n = 0, place = 0; n < b.length; n++) {
    for (let row = 0; row < out; row++) {
      for (let column = 0; column < out; column++, place++) {
        let sum = b[n];
        for (let channel = 0; channel < channels; channel++) {
          for (let i = 0; i < kernel; i++) {
            const from = row + i - padding;
            if (from < 0 || from >= size) continue; // the padding is zeros
            const weight = ((n * channels + channel) * kernel + i) * kernel;
            const pixel = (channel * size + from) * size + column - padding;
            const first = Math.max(0, padding - column);
            const last = Math.min(kernel, size + padding - column);
            for (let j = first; j < last; j++) sum += W[weight + j] * x[pixel + j];
          }
        }
        y[place] = Math.max(0, sum);
      }
    }
  }
  return y;
}

/* The largest of each 2 × 2 pixels: x (channels, size, size) → (channels, half, half). */
function pool(x, channels, size) {
  const half = size / 2, y = new Float64Array(channels * half * half);
  for (let k = 0; k < y.length; k++) {
    const row = 2 * Math.floor(k / half), at = row * size + 2 * (k % half);
    y[k] = Math.max(x[at], x[at + 1], x[at + size], x[at + size + 1]);
  }
  return y;
}

function lenet({ weights }) {
  const layer = (k) => [decode(weights[`layers.${k}.weight`]), decode(weights[`layers.${k}.bias`])];
  return [0, 3, 7, 9, 11].map(layer); // the other places hold ReLU, pooling and flattening
}

/* LeNet's ten logits for a whole picture x (32 × 32). */
function see([first, second, ...linear], x) {
  x = pool(convolve(x, 1, 32, ...first, 5, 2), 6, 32); // (6, 16, 16)
  x = pool(convolve(x, 6, 16, ...second, 5, 0), 16, 12); // (16, 6, 6)
  linear.forEach(([W, b], k) => {
    x = affine(W, x, b);
    if (k < linear.length - 1) x = x.map((a) => Math.max(0, a));
  });
  return x;
}

/* LeNet on a digit that is cut off after each row; `paper` is what a blank pixel is. */
function* seeRows(model, x, paper) {
  for (let row = 1; row <= 32; row++) yield see(model, x.map((a, k) => (k < 32 * row ? a : paper)));
}

/* What labkit.data.words.tokenize does: lower case, letters, digits and _ kept, split at spaces. */
function tokenize(text) {
  return text.toLowerCase().replace(/[^\p{L}\p{N}_\s]/gu, "").split(/\s+/u).filter(Boolean);
}

/* The logit of a text after each of its ids, and on through paddings. The first is that of no word.

   real: as read-out `last` or `pool` would have it, for which the text ends with its last word.
   counted: as if paddings were words, which is what the read-out `padded` does. */
function* readWords(model, ids, paddings) {
  const vectors = [], seen = []; // what was read so far, and the top layer's h after each
  let states = start(model), real = model.head.b[0];
  yield { real, counted: real };
  for (let k = 0; k < ids.length + paddings; k++) {
    const id = k < ids.length ? ids[k] : PAD;
    vectors.push(model.embedding.subarray(model.dimension * id, model.dimension * (id + 1)));
    states = advance(model, vectors[k], states);
    seen.push(states.at(-1).h);
    const read = model.backward.length ? readBothWays(model, vectors)
      : { last: seen[k], all: seen };
    const [counted] = affine(model.head.W, readOut(model, read), model.head.b);
    if (k < ids.length) real = counted;
    yield { real, counted };
  }
}

/* A text read from both ends, anew after each word: the backward layers begin with its last word. */
function readBothWays(model, xs) {
  const along = (layer, read) => {
    let state = zeros(layer);
    return read.map((x) => (state = model.step(layer, x, state)).h);
  };
  model.layers.forEach((layer, depth) => {
    const ahead = along(layer, xs), back = along(model.backward[depth], [...xs].reverse()).reverse();
    xs = ahead.map((h, k) => Float64Array.of(...h, ...back[k]));
  });
  const { size } = model.layers[0]; // the backward direction ends on the first word
  return { last: Float64Array.of(...xs.at(-1).slice(0, size), ...xs[0].slice(size)), all: xs };
}

/* What the head is given: the last state, and for `pool` mean and maximum of all beside it. */
function readOut(model, { last, all }) {
  if (!model.pool) return last;
  const mean = last.map((_, n) => all.reduce((sum, h) => sum + h[n], 0) / all.length);
  return Float64Array.of(...last, ...mean, ...last.map((_, n) => Math.max(...all.map((h) => h[n]))));
}

/* The linear model: a weight for each term, which is a word or a pair of neighbours. */
function linear({ weights }) {
  const [coef, idf, [bias]] = ["coef", "idf", "intercept"].map((name) => decode(weights[name]));
  return { placeOf: new Map(weights.terms.split("\n").map((term, k) => [term, k])), coef, idf, bias };
}

/* Its logit after each word: bias + Σ w t / ‖t‖, with t = (1 + ln count) · idf. Padding is no word. */
function* weighWords({ placeOf, coef, idf, bias }, words, paddings) {
  const ending = words.map((word, k) => (k ? [word, `${words[k - 1]} ${word}`] : [word]));
  const counts = new Map();
  for (let k = 0; k <= words.length + paddings; k++) {
    for (const term of ending[k - 1] ?? []) {
      const place = placeOf.get(term);
      if (place !== undefined) counts.set(place, (counts.get(place) ?? 0) + 1);
    }
    let sum = 0, square = 0;
    for (const [place, count] of counts) {
      const t = (1 + Math.log(count)) * idf[place];
      sum += coef[place] * t;
      square += t * t;
    }
    const real = bias + (square ? sum / Math.sqrt(square) : 0);
    yield { real, counted: real };
  }
}

if (typeof module !== "undefined") { // Node
  module.exports = { recurrent, lenet, linear, readRows, seeRows, readWords, weighWords, tokenize };
}
