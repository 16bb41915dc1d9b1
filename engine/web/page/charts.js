// Drawings of a few lines of SVG each: lines of the cards, result, latency waterfall, histogram.
import { byId, shape } from "./elements.js";
import { read } from "./engine.js";
import { count, time, words } from "./format.js";

const HEIGHT = 150;
const RESULT_WIDTH = 600;
const CHARACTER_WIDTH = 7;
const LABEL_WIDTH = 52;
const HISTOGRAM_BASE = 122;
const HISTOGRAM_HEIGHT = 104;

/** The line of a card. */
export function sparkline(values) {
  const svg = shape("svg", { viewBox: "0 0 100 22", preserveAspectRatio: "none" });
  if (values.length < 2) return svg;
  const low = Math.min(...values);
  const range = Math.max(...values) - low || 1;
  const x = (index) => ((index * 100) / (values.length - 1)).toFixed(1);
  const y = (value) => (20 - (18 * (value - low)) / range).toFixed(1);
  svg.append(line(values.map((value, index) => x(index) + "," + y(value)).join(" "), 1.2));
  return svg;
}

function line(points, width) {
  return shape("polyline", {
    points,
    fill: "none",
    stroke: "var(--accent)",
    "stroke-width": width,
    "vector-effect": "non-scaling-stroke",
  });
}

/** Draw a result over its points [sum, fall from the highest]; falls hang below its zero. */
export function plotResult(svg, points) {
  clear(svg, RESULT_WIDTH);
  svg.setAttribute("preserveAspectRatio", "none");
  if (points.length < 2) return;
  const sums = points.map(([sum]) => sum);
  const low = Math.min(0, ...sums, ...points.map(([, fall]) => -fall));
  const range = Math.max(0, ...sums) - low || 1;
  const x = (index) => ((index * RESULT_WIDTH) / (points.length - 1)).toFixed(1);
  const y = (value) => (140 - (130 * (value - low)) / range).toFixed(1);
  const falls = points.map(([, fall], index) => x(index) + "," + y(-fall)).join(" ");
  svg.append(
    shape("line", { x1: 0, x2: RESULT_WIDTH, y1: y(0), y2: y(0), stroke: "var(--line)" }),
    shape("polygon", {
      points: `0,${y(0)} ${falls} ${RESULT_WIDTH},${y(0)}`,
      fill: "var(--bad)",
      "fill-opacity": 0.25,
    }),
    line(sums.map((sum, index) => x(index) + "," + y(sum)).join(" "), 1.6),
  );
}

/** Empty a drawing, give it its width, and return that. */
function clear(svg, width = svg.clientWidth || 600) {
  svg.replaceChildren();
  svg.setAttribute("viewBox", `0 0 ${width} ${HEIGHT}`);
  return width;
}

function remark(text) {
  return shape("text", { x: 8, y: 20 }, text);
}

export async function showWaterfall() {
  const found = await read("latency");
  if (!found) return;
  const svg = byId("waterfall");
  const width = clear(svg);
  const answer = found.order_ack.us;
  byId("venue").textContent = answer.count
    ? "then the venue's answer: p50 " + time(answer.p50) + ", p99 " + time(answer.p99)
    : "no order was answered yet";
  if (!found.tick_to_order.us.count) svg.append(remark("no order was sent yet"));
  else drawStages(svg, width, stagesOf(found));
}

function stagesOf(found) {
  const [whole, write, decode] = ["tick_to_order", "decision_to_order", "decode"].map(
    (name) => found[name].us,
  );
  return [
    { name: "in the ring", p50: decode.p50, p99: decode.p99 },
    // A difference of percentiles is none: no p99 stands beside it.
    { name: "decided", p50: Math.max(0, whole.p50 - write.p50 - decode.p50) },
    { name: "first byte", p50: write.p50, p99: write.p99 },
    { name: "tick to order", p50: whole.p50, p99: whole.p99, isWhole: true },
  ];
}

function drawStages(svg, width, stages) {
  const parts = stages.filter((stage) => !stage.isWhole);
  const longest = Math.max(0.1, ...stages.map((stage) => stage.p50), sum(parts));
  const scale = (0.62 * width) / longest;
  stages.forEach((stage, index) => {
    const x = stage.isWhole ? 0 : sum(stages.slice(0, index)) * scale;
    svg.append(...stageShapes(stage, x, 6 + index * 35, scale, width));
  });
}

function sum(stages) {
  return stages.reduce((total, stage) => total + stage.p50, 0);
}

function stageShapes(stage, x, y, scale, width) {
  const tail = stage.p99 == null ? "" : " (p99 " + time(stage.p99) + ")";
  const text = stage.name + " " + time(stage.p50) + tail;
  const isTooLong = x + CHARACTER_WIDTH * text.length > width;
  const place = isTooLong ? { x: width, y: y + 28, "text-anchor": "end" } : { x, y: y + 28 };
  const bar = shape("rect", {
    x,
    y,
    width: Math.max(2, stage.p50 * scale),
    height: 16,
    rx: 2,
    fill: stage.isWhole ? "var(--dim)" : "var(--accent)",
  });
  return [bar, shape("text", place, text)];
}

export async function showHistogram() {
  const found = await read("latency");
  if (!found) return;
  const choice = byId("which");
  if (!choice.options.length) fillChoice(choice, Object.keys(found));
  const bins = binsOf(found[choice.value].below_ns);
  const svg = byId("histogram");
  const width = clear(svg);
  const used = bins.filter((bin) => bin.times);
  if (!used.length) {
    svg.append(remark("nothing measured yet"));
    return;
  }
  const first = bins.indexOf(used[0]);
  const last = bins.indexOf(used.at(-1));
  drawBins(svg, width, bins.slice(Math.max(0, first - 1), last + 2));
}

function fillChoice(choice, names) {
  for (const name of names) {
    const isChosen = name === "tick_to_order";
    choice.append(new Option(words(name), name, isChosen, isChosen));
  }
}

/** How often something took less than a bin's end and not less than the one before it. */
function binsOf(below) {
  return below.map(([endNs, times], index) => ({
    end: time(endNs / 1000),
    times: times - (index ? below[index - 1][1] : 0),
  }));
}

function drawBins(svg, width, bins) {
  const step = width / bins.length;
  const most = Math.max(1, ...bins.map((bin) => bin.times));
  const every = Math.ceil(LABEL_WIDTH / step);
  bins.forEach((bin, index) => {
    const share = Math.log1p(bin.times) / Math.log1p(most);
    const height = bin.times ? Math.max(2, HISTOGRAM_HEIGHT * share) : 0;
    const middle = index * step + step / 2;
    svg.append(binBar(bin, index * step, step, height));
    if (index % every === 0) {
      const x = Math.min(width - LABEL_WIDTH / 2, Math.max(LABEL_WIDTH / 2, middle));
      svg.append(centred(x, 140, bin.end));
    }
    if (bin.times && step > 24) {
      svg.append(centred(middle, HISTOGRAM_BASE - 4 - height, count(bin.times)));
    }
  });
}

function binBar(bin, x, step, height) {
  const bar = shape("rect", {
    x: x + 2,
    width: Math.max(1, step - 4),
    y: HISTOGRAM_BASE - height,
    height,
    rx: 2,
    fill: "var(--accent)",
  });
  bar.append(shape("title", {}, count(bin.times) + " below " + bin.end));
  return bar;
}

function centred(x, y, text) {
  return shape("text", { x, y, "text-anchor": "middle" }, text);
}

byId("which").onchange = showHistogram;
