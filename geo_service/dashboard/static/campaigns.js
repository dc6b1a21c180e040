// The campaigns: which run, how they have fared since this page was opened, and who would get one now.

import { api, pages } from "/requests.js";
import { clock, element, serverNow } from "/words.js";

const SHOWN = 100;
const REMEMBERED = 2_000; // events; after a break the stream may repeat its last ones
const STATES = { active: "running", paused: "paused", ended: "ended", draft: "draft" };
const QUESTIONS = {
  consent: "did not agree",
  fresh: "told of too late",
  live: "not its time",
  hours: "not the hour",
  audience: "not meant",
  caps: "caps",
  stock: "sold out",
  pacing: "store too full",
  best: "a better offer",
};
const byId = (id) => document.getElementById(id);
const known = new Map(); // id → {campaign, row, sent, heldOut, redeemed, withheld: Map(question → count), preview}
const counted = new Set();
let since = null;
let isWhole = true; // no event was missed

export async function readCampaigns() {
  const { items, more } = await pages("/v1/campaigns", 1000);
  const there = new Set(items.map(({ id }) => id));
  for (const campaign of items) entry(campaign.id).campaign = campaign;
  for (const [id, one] of known) if (!there.has(id)) one.campaign = null;
  byId("campaigns").hidden = items.length === 0;
  byId("more-campaigns").hidden = !more && items.length <= SHOWN;
  byId("more-campaigns").textContent = `The first ${SHOWN} are shown.`;
  drawCampaigns();
}

export const campaignName = (id) => known.get(id)?.campaign?.name;

function entry(id) {
  if (!known.has(id)) known.set(id, { campaign: null, row: null, sent: 0, heldOut: 0, redeemed: 0, withheld: new Map() });
  return known.get(id);
}

// Counts one event; false where it was counted before.
export function countEvent(kind, said) {
  if (kind === "lagged" || kind === "reset") isWhole = false;
  if (kind !== "offer" && kind !== "redemption") return true;
  const name = `${kind} ${said.id} ${said.change ?? ""} ${said.logged ?? ""}`;
  if (counted.has(name)) return false;
  counted.add(name);
  if (counted.size > REMEMBERED) counted.delete(counted.values().next().value);
  const one = entry(said.campaign);
  const time = said.logged ?? said.time;
  if (!since || time < since) since = time;
  if (kind === "redemption") one.redeemed += { redeemed: 1, rolled_back: -1 }[said.change] ?? 0;
  else if (said.decision === "sent") one.sent += 1;
  else if (said.decision === "held_out") one.heldOut += 1;
  else {
    const question = said.reason.split(":")[0];
    one.withheld.set(question, (one.withheld.get(question) ?? 0) + 1);
  }
  return true;
}

// What is as usual is left out of a document.
function stateOf({ state = "active", starts, ends }) {
  if (state !== "active") return STATES[state] ?? state;
  if (starts && Date.parse(starts) > serverNow()) return `from ${new Date(starts).toLocaleDateString()}`;
  return ends && Date.parse(ends) <= serverNow() ? "over" : "running";
}

export function drawCampaigns() {
  const there = [...known.values()].filter(({ campaign }) => campaign);
  const running = there.filter(({ campaign }) => stateOf(campaign) === "running");
  const sent = there.reduce((sum, one) => sum + one.sent, 0);
  const summary = `Campaigns: ${running.length} running${sent ? `, ${sent} ${sent === 1 ? "offer" : "offers"} sent` : ""}`;
  if (byId("campaigns-summary").textContent !== summary) byId("campaigns-summary").textContent = summary;
  if (!byId("campaigns").open) return;
  const weight = (one) => (running.includes(one) ? 1e9 : 0) + one.sent;
  there.sort((a, b) => weight(b) - weight(a) || a.campaign.name.localeCompare(b.campaign.name));
  const list = byId("campaign-list");
  const rows = there.slice(0, SHOWN).map(drawn);
  rows.forEach((row, place) => {
    if (list.children[place] !== row) list.insertBefore(row, list.children[place] ?? null);
  });
  while (list.childElementCount > rows.length) list.lastElementChild.remove();
  const words = since ? `Counted since ${clock(since)}${isWhole ? "" : ", some events were missed"}.` : "Nothing counted yet.";
  byId("campaigns-since").textContent = words;
}

function drawn(one) {
  one.row ??= newRow(one);
  const [name, state] = one.row.querySelector(".campaign-head").children;
  name.textContent = one.campaign.name;
  state.textContent = stateOf(one.campaign);
  state.dataset.running = stateOf(one.campaign) === "running" ? "yes" : "no";
  const withheld = [...one.withheld.values()].reduce((sum, count) => sum + count, 0);
  const figures = [`${one.sent} sent`, `${one.heldOut} held out`, `${one.redeemed} redeemed`, `${withheld} withheld`];
  one.row.querySelector(".campaign-figures").textContent = figures.join(" · ") + because(one.withheld);
  return one.row;
}

function because(withheld) {
  const reasons = [...withheld].sort(([, a], [, b]) => b - a);
  return reasons.length ? ` (${reasons.map(([question, count]) => `${QUESTIONS[question] ?? question} ${count}`).join(", ")})` : "";
}

function newRow(one) {
  const row = element("li", "campaign");
  const head = element("div", "campaign-head");
  head.append(element("b"), element("span", "aside"));
  const ask = element("button", "quiet", "Who would get it now?");
  ask.type = "button";
  const answer = element("p", "aside answer");
  answer.setAttribute("role", "status");
  ask.addEventListener("click", async () => {
    ask.disabled = true;
    answer.textContent = await preview(one.campaign.id).catch((error) => `No answer: ${error.message}`);
    ask.disabled = false;
  });
  row.append(head, element("div", "aside campaign-figures"), ask, answer);
  return row;
}

async function preview(id) {
  const path = `/v1/campaigns/${encodeURIComponent(id)}/preview`;
  const said = await api(path, { method: "POST", headers: { "Content-Type": "application/json" }, body: "{}" });
  if (!said.considered) return "Nobody is where it speaks.";
  const held = said.held_out.length ? `, ${said.held_out.length} held out` : "";
  const others = said.others.length ? `; ${said.others.length} not${because(new Map(Object.entries(said.reasons)))}` : "";
  return `Of ${said.considered}${said.more ? " or more" : ""} there now: ${said.would_get.length} would get it${held}${others}.`;
}

byId("campaigns").addEventListener("toggle", () => {
  drawCampaigns();
  if (byId("campaigns").open) readCampaigns().catch(() => null); // what was read before is shown
});
