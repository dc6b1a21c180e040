// The feed: events as lines that a person reads, newest first.

import { ALERTS, PLACES, REASONS, SENSOR_STATES, clock, element, lasting } from "/words.js";

const FEED_LINES = 80;
const byId = (id) => document.getElementById(id);
let pending = []; // lines not drawn yet

export function tell(told) {
  pending.push({ time: new Date().toISOString(), ...told });
  if (pending.length > FEED_LINES) pending.shift();
}

export function drawFeed() {
  const feed = byId("feed");
  for (const told of pending) feed.prepend(newLine(told));
  pending = [];
  while (feed.childElementCount > FEED_LINES) feed.lastElementChild.remove();
  byId("no-events").hidden = feed.childElementCount > 0;
}

function newLine({ kind, tone, time, words, why }) {
  const item = element("li", tone);
  item.dataset.kind = kind;
  item.hidden = !shown(kind);
  const when = element("time", "", clock(time));
  when.dateTime = time;
  const what = element("div", "what");
  what.append(element("span", "", words[0]));
  if (words.length > 1) what.append(element("b", "", words[1]));
  if (why) what.append(element("div", "why", why));
  item.append(when, what);
  return item;
}

const shown = (kind) => document.querySelector(`input[name="show"][value="${kind}"]`)?.checked ?? true;

for (const box of document.querySelectorAll('input[name="show"]')) {
  box.addEventListener("change", () => {
    for (const item of byId("feed").children) item.hidden = !shown(item.dataset.kind);
  });
}

// What each kind of event says; `named` knows the names of stores and campaigns.
export const TOLD = {
  crossing(said, named) {
    const place = said.store ? `${PLACES[said.role] ?? ""} ${named.store(said.store)}`.trim() : `fence ${said.fence}`;
    const stayed = said.duration_s === null || said.duration_s === undefined ? "" : lasting(said.duration_s);
    const did = { enter: "came into", dwell: `has stayed ${stayed} in`, exit: "left", cross: "passed through" }[said.type];
    const why = [said.type === "exit" && stayed ? `after ${stayed}` : "", REASONS[said.reason] ?? ""].filter(Boolean);
    return { kind: "crossing", time: said.time, words: [`${said.device ?? "Somebody"} ${did} `, place], why: why.join(", ") };
  },
  offer(said, named) {
    const isSent = said.decision === "sent";
    const reason = isSent ? "" : said.reason.replaceAll("_", " ");
    const why = [named.store(said.store), said.device ? `to ${said.device}` : "", reason].filter(Boolean).join(" · ");
    const what = { sent: "Offer sent: ", held_out: "Held out: " }[said.decision] ?? "Offer withheld: ";
    const words = [what, named.campaign(said.campaign)];
    return { kind: "offer", tone: isSent ? "sent" : "withheld", time: said.time, words, why };
  },
  redemption(said, named) {
    const what = { redeemed: "Coupon redeemed: ", rolled_back: "Redemption taken back: " }[said.change] ?? "Coupon made void: ";
    const tone = said.change === "redeemed" ? "sent" : "withheld";
    const why = [named.store(said.store), said.device ? `by ${said.device}` : ""].filter(Boolean).join(" · ");
    return { kind: "offer", tone, time: said.time, words: [what, named.campaign(said.campaign)], why };
  },
  sensor(said, named) {
    const tone = said.state === "live" ? "sent" : "trouble";
    const words = [`Sensor ${said.id} ${SENSOR_STATES[said.state] ?? said.state}: `, named.store(said.store)];
    return { kind: "sensor", tone, time: said.since, words, why: said.detail };
  },
  alert(said, named) {
    const isRaised = said.state === "raised";
    const where = named.store(said.store) + (said.zone ? `, ${said.zone}` : "");
    const what = ALERTS[said.alert] ?? said.alert;
    const words = [isRaised ? `${what}: ` : `Over: ${what.toLowerCase()}: `, where];
    return { kind: "alert", tone: isRaised ? "trouble" : "sent", time: said.time, words, why: said.detail };
  },
  rejected(said) {
    return { kind: "sensor", tone: "trouble", time: said.time, words: ["Not usable: ", said.topic], why: said.reason };
  },
};
