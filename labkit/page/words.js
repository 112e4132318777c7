"use strict";
/* What the page says in English and Chinese, and its examples. */

const SAID = {
  afterRow: ["after row", "读完行"],
  afterWord: ["after word", "读完词"],
  beginning: ["before the first word", "第一个词之前"],
  model: ["model", "模型"],
  answer: ["answer", "回答"],
  second: ["second", "其次"],
  since: ["same answer since row", "此回答始于行"],
  sinceNone: ["not the final answer", "不是最后的回答"],
  logit: ["logit", "logit"],
  end: ["logit at the last word", "最后一个词处的 logit"],
  behind: ["after N paddings read as words", "把 N 个填充当作词读完后"],
  dotted: ["dotted: read as words", "点线：当作词来读"],
  wordsRead: ["words", "个词"],
  paddings: ["paddings", "个填充"],
  positive: ["positive", "正面"],
  negative: ["negative", "负面"],
  nothing: ["Nothing is there yet, so no net answers.", "这里还什么都没有，所以没有网络回答。"],
  field: ["Drawing field: arrow keys move the pen, the space bar sets it down or lifts it.",
    "绘图区：方向键移动画笔，空格键落笔或提笔。"],
  picture: ["The picture that the nets are given", "网络得到的图像"],
  examples: ["examples", "例子"],
  corner: ["small 3", "小 3"],
  play: ["play the steps", "逐步播放"],
  step: ["step", "步"],
  unknown: ["not known to the page", "本页不认识"],
  trained: ["as trained", "训练所得"],
  rounded: ["rounded", "取整后"],
  words: ["and 5,000 words only", "且只留 5000 词"],
  terms: ["with 30,000 words and pairs", "只留 30000 个词与词对"],
};

const DIGITS = { // strokes of our own, in hundredths of the drawing
  0: [[[50, 12], [28, 22], [22, 50], [30, 82], [50, 88], [70, 80], [77, 50], [70, 20], [50, 12]]],
  1: [[[40, 27], [53, 13]], [[53, 13], [50, 88]]],
  2: [[[26, 30], [38, 12], [62, 12], [72, 32], [60, 52], [24, 86]], [[24, 86], [77, 84]]],
  3: [[[28, 20], [50, 10], [69, 22], [64, 42], [44, 47]],
    [[44, 47], [68, 52], [74, 70], [60, 88], [38, 88], [24, 76]]],
  4: [[[38, 12], [22, 56]], [[22, 56], [76, 53]], [[62, 16], [58, 88]]],
  5: [[[70, 13], [36, 14]], [[36, 14], [31, 46]],
    [[31, 46], [55, 40], [73, 56], [70, 78], [48, 89], [26, 80]]],
  6: [[[62, 12], [38, 32], [27, 62], [36, 86], [58, 88], [70, 70], [58, 54], [38, 58], [30, 70]]],
  7: [[[24, 18], [75, 15]], [[75, 15], [56, 46], [44, 88]]],
  8: [[[66, 22], [48, 10], [33, 22], [38, 40], [60, 56], [68, 74], [52, 90], [34, 76], [40, 58],
    [62, 40], [66, 22]]],
  9: [[[69, 32], [54, 13], [34, 22], [33, 42], [50, 50], [68, 36]], [[69, 28], [66, 58], [56, 89]]],
};
DIGITS.corner = DIGITS[3].map((points) => points.map(([x, y]) => [4 + 0.38 * x, 3 + 0.38 * y]));

const SENTENCES = ["A good film.", "Not a good film.", "It was not bad at all.",
  "Great actors, a great score, and still the worst film of the year.",
  "The film starts well, but then it falls apart and becomes a waste of time.",
  "The beginning is boring, but the ending is wonderful."];
