// The picture on a store's card: how full it was in the last four hours and will be in the next four.

import { api } from "/requests.js";
import { hour, range, serverNow } from "/words.js";

const HOURS = 4;
const ENOUGH_STEPS = 3; // of five minutes, for a line to say something
const HOUR_MS = 3_600_000;
const STALE_MS = 300_000;
const AGAIN_MS = 30_000;
const WIDTH = 240, HEIGHT = 56;
const SVG = "http://www.w3.org/2000/svg";

// Cards that are on the screen ask every five minutes; the others not at all.
const visible = new Set();
const observer = new IntersectionObserver((entries) => {
  for (const { target, isIntersecting } of entries) {
    if (isIntersecting) visible.add(target);
    else visible.delete(target);
  }
  refresh();
});
const cards = new Map(); // row → store

export function watch(store) {
  cards.set(store.row, store);
  observer.observe(store.row);
}

export function unwatch(store) {
  observer.unobserve(store.row);
  visible.delete(store.row);
  cards.delete(store.row);
}

export const onScreen = () => [...visible].map((row) => cards.get(row)).filter(Boolean);

let asking = false;

export async function refresh() {
  if (asking) return;
  asking = true;
  try {
    for (;;) {
      const store = onScreen().find((found) => found.now && Date.now() > (found.askAt ?? 0));
      if (!store) return;
      store.askAt = Date.now() + AGAIN_MS; // sooner than usual, should this fail
      const since = new Date(serverNow() - HOURS * HOUR_MS).toISOString();
      const path = `/v1/stores/${encodeURIComponent(store.id)}/occupancy`;
      try {
        const [past, ahead] = await Promise.all([api(`${path}/history?from=${since}`), api(`${path}/forecast`)]);
        store.outlook = { past: past.items, ahead: ahead.hours };
        store.askAt = Date.now() + STALE_MS;
        drawOutlook(store);
      } catch {
        // The stream's own trouble is shown; this is asked again soon.
      }
    }
  } finally {
    asking = false;
  }
}

export function drawOutlook(store) {
  const { row, outlook, now, capacity } = store;
  const figure = row.querySelector(".outlook");
  const isDrawn = Boolean(now && outlook && (outlook.past.length >= ENOUGH_STEPS || outlook.ahead.length));
  figure.hidden = !isDrawn;
  if (!isDrawn) return;
  const past = outlook.past.filter((step) => step.status !== "blind").map((step) => point(Date.parse(step.time) + 300_000, step));
  const present = now.status === "blind" ? [] : [point(Date.parse(now.time), now)];
  const ahead = outlook.ahead.map((one) => point(Date.parse(one.time), one));
  const all = [...past, ...present, ...ahead];
  const most = Math.max(capacity?.comfort ?? 0, ...all.map((one) => one.high), 1) * 1.05;
  const span = { from: Math.min(past[0]?.time ?? serverNow(), serverNow() - 1), to: Math.max(ahead.at(-1)?.time ?? 0, serverNow()) };
  const at = scale(span, most);
  const drawing = svg("svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, preserveAspectRatio: "none", "aria-hidden": "true" });
  if (capacity) drawing.append(svg("line", { class: "comfort", x1: 0, x2: WIDTH, y1: at.y(capacity.comfort), y2: at.y(capacity.comfort) }));
  const future = [...present, ...ahead];
  for (const [points, kind] of [[[...past, ...present], "past"], [future, "ahead"]]) {
    if (points.length < 2) continue;
    const edge = [...points.map((one) => [one.time, one.high]), ...points.toReversed().map((one) => [one.time, one.low])];
    drawing.append(svg("polygon", { class: `band ${kind}`, points: edge.map(at.place).join(" ") }));
    drawing.append(svg("polyline", { class: `mean ${kind}`, points: points.map((one) => at.place([one.time, one.mean])).join(" ") }));
  }
  const here = at.x(serverNow());
  drawing.append(svg("line", { class: "present", x1: here, x2: here, y1: 0, y2: HEIGHT }));
  figure.querySelector(".picture").replaceChildren(drawing);
  label(figure, span, here / WIDTH);
  say(figure, past, ahead);
}

function label(figure, span, share) {
  const [first, present, last] = figure.querySelector(".axis").children;
  first.textContent = share > 0.15 ? hour(span.from) : "";
  last.textContent = share < 0.85 ? hour(span.to) : "";
  present.style.left = `${Math.min(Math.max(100 * share, 4), 96)}%`;
}

function say(figure, past, ahead) {
  const words = ahead.map((one) => `${range(one)} at ${hour(one.time)}`);
  figure.querySelector(".expected").textContent = ahead.length
    ? `Expected: ${ahead.map((one) => `${Math.round(one.mean)} at ${hour(one.time)}`).join(", ")}`
    : "";
  const means = past.map((one) => Math.round(one.mean));
  const was = means.length ? `In the last hours between ${Math.min(...means)} and ${Math.max(...means)} people. ` : "";
  const label = `${was}${words.length ? `Expected: ${words.join(", ")}.` : ""}`;
  figure.querySelector(".picture").setAttribute("aria-label", label || "No figures yet.");
}

const point = (time, { mean, low, high }) => ({ time, mean, low, high });

function scale(span, most) {
  const x = (time) => Math.min(Math.max((time - span.from) / (span.to - span.from), 0), 1) * WIDTH;
  const y = (people) => HEIGHT - (Math.min(people, most) / most) * HEIGHT;
  return { x, y, place: ([time, people]) => `${x(time).toFixed(1)},${y(people).toFixed(1)}` };
}

function svg(name, attributes) {
  const made = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  return made;
}
