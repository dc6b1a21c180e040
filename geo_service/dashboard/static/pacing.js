// Whether a store's shoppers are invited and why not, on its card; a manager decides about it there.

import { onScreen } from "/outlook.js";
import { api } from "/requests.js";
import { element, hour } from "/words.js";

const STALE_MS = 15_000;
const UNPACED_MS = 300_000; // nothing measures the store; that changes rarely
const DECIDED_MS = 1_500; // until what was decided is in force
const HOUR_MS = 3_600_000;
const ACTIONS = { pause: "Pause invitations", ceiling: "Invite up to so many people", force: "Invite everybody" };
const LASTING = { 1: "for an hour", 3: "for three hours", "": "until changed" };
const DECIDERS = new Set(["manager", "admin"]);
let mayDecide = false;

export function setRole(role) {
  mayDecide = DECIDERS.has(role);
}

export function newPacing(store) {
  const box = element("div", "pacing aside");
  const word = element("p", "word");
  word.append(element("b"), element("span"));
  const override = element("p", "override");
  override.append(element("span"), element("button", "quiet", "As usual again"));
  override.querySelector("button").type = "button";
  override.querySelector("button").addEventListener("click", () => decide(store, box, { action: "resume" }));
  const change = element("details", "decide");
  change.append(element("summary", "", "Decide about invitations"), newForm(store, box));
  box.append(word, override, change, element("p", "error"));
  box.querySelector(".error").setAttribute("role", "alert");
  box.hidden = true;
  return box;
}

function newForm(store, box) {
  const form = element("form");
  const [action, lasting] = [choice("action", ACTIONS, "What"), choice("hours", LASTING, "How long")];
  const people = element("input");
  Object.assign(people, { type: "number", name: "ceiling", min: 0, max: 1_000_000, step: 1, hidden: true });
  people.setAttribute("aria-label", "People");
  action.addEventListener("change", () => {
    people.hidden = action.value !== "ceiling";
    people.required = !people.hidden;
    if (!people.hidden && !people.value) people.value = store.capacity?.comfort ?? "";
  });
  form.append(action, people, lasting, element("button", "quiet", "Do so"));
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    const until = lasting.value ? new Date(Date.now() + Number(lasting.value) * HOUR_MS).toISOString() : null;
    const ceiling = action.value === "ceiling" ? Number(people.value) : null;
    decide(store, box, { action: action.value, until, ceiling });
  });
  return form;
}

function choice(name, options, label) {
  const select = element("select");
  select.name = name;
  select.setAttribute("aria-label", label);
  // An object's numbers come first whatever the order they were written in; "until changed" is the last.
  for (const [value, words] of Object.entries(options)) select.append(new Option(words, value));
  return select;
}

async function decide(store, box, body) {
  const error = box.querySelector(".error");
  error.textContent = "";
  const path = `/v1/stores/${encodeURIComponent(store.id)}/pacing`;
  try {
    await api(path, { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body) });
    box.querySelector("details").open = false;
    store.askPacingAt = Date.now() + DECIDED_MS;
  } catch (problem) {
    error.textContent = `Not decided: ${problem.message}`;
  }
}

let asking = false;

export async function refreshPacing() {
  if (asking) return;
  asking = true;
  try {
    for (;;) {
      const store = onScreen().find((one) => one.now && Date.now() > (one.askPacingAt ?? 0));
      if (!store) return;
      store.askPacingAt = Date.now() + STALE_MS;
      try {
        store.pacing = (await api(`/v1/stores/${encodeURIComponent(store.id)}/pacing`)).pacing;
        if (!store.pacing) store.askPacingAt = Date.now() + UNPACED_MS;
        drawPacing(store);
      } catch {
        // The stream's own trouble is shown; this is asked again soon.
      }
    }
  } finally {
    asking = false;
  }
}

function drawPacing({ row, pacing }) {
  const box = row.querySelector(".pacing");
  box.hidden = !pacing;
  if (!pacing) return;
  box.dataset.admits = pacing.admits ? "yes" : "no";
  box.querySelector(".word b").textContent = pacing.admits ? "Invites" : "Invites nobody";
  const onTheirWay = pacing.in_flight ? `, ${pacing.in_flight} invited may still come` : "";
  box.querySelector(".word span").textContent = `: ${pacing.reason}${onTheirWay}`;
  const { override } = pacing;
  box.querySelector(".override").hidden = !override;
  if (override) box.querySelector(".override span").textContent = decided(override);
  box.querySelector(".override button").hidden = box.querySelector(".decide").hidden = !mayDecide;
}

function decided({ action, by, until, ceiling }) {
  const what = { pause: "Paused", ceiling: `Up to ${ceiling} people`, force: "Everybody is invited" }[action] ?? action;
  return `${what}, decided by ${by}${until ? `, until ${hour(until)}` : ""} `;
}
