// The page: who is logged in, the stores as they stand, and what happens. Data reaches the document as text only.

import { campaignName, countEvent, drawCampaigns, readCampaigns } from "/campaigns.js";
import { drawAge, drawStore, newRow } from "/cards.js";
import { TOLD, drawFeed, tell } from "/feed.js";
import { refresh, unwatch, watch } from "/outlook.js";
import { refreshPacing, setRole } from "/pacing.js";
import { LoggedOut, api, pages } from "/requests.js";
import { ALERTS, setServerTime } from "/words.js";

const STORES_SHOWN = 500;
const SENSORS_SHOWN = 5_000;
// The server speaks at least every 15 seconds; twice that and a bit without a word, and the line is dead.
const SILENCE_MS = 40_000;
const REDRAW_MS = 250;
const STATUSES_MS = 60_000;
const EVENTS = ["occupancy", "alert", "crossing", "offer", "redemption", "sensor", "rejected", "heartbeat", "lagged", "reset"];

const byId = (id) => document.getElementById(id);
const stores = new Map(); // id → {id, name, capacity, now, zones, alerts, sensors, row}
const named = { store: (id) => stores.get(id)?.name ?? id ?? "no store", campaign: (id) => campaignName(id) ?? id };
let source = null;
let lastEventId = "";
let heardAt = 0;
let retryMs = 1_000, retryTimer = 0;
let catalogueTimer = 0, sensorsTimer = 0;
let changed = new Set(); // stores not drawn yet
let drawTimer = 0;

// --- Session

async function start() {
  clearTimeout(retryTimer);
  try {
    const person = await api("/v1/session");
    byId("who-name").textContent = person.role ? `${person.name}, ${person.role}` : person.name;
    setRole(person.role);
    show(true);
    await readCatalogue();
    listen();
  } catch (error) {
    if (error instanceof LoggedOut) return show(false);
    stale(`No connection: ${error.message}`);
    retryLater();
  }
}

function show(loggedIn) {
  byId("login").hidden = loggedIn;
  for (const id of ["live", "who", "connection"]) byId(id).hidden = !loggedIn;
  if (!loggedIn) {
    source?.close();
    source = null;
    byId("login-form").elements.name.focus();
  }
}

byId("login-form").addEventListener("submit", async (event) => {
  event.preventDefault();
  const form = event.currentTarget;
  const button = form.querySelector("button");
  byId("login-error").textContent = "";
  button.disabled = true;
  const body = JSON.stringify({ name: form.elements.name.value, password: form.elements.password.value });
  try {
    await api("/v1/session", { method: "POST", headers: { "Content-Type": "application/json" }, body });
    form.reset();
    await start();
  } catch (error) {
    const wrong = error instanceof LoggedOut;
    byId("login-error").textContent = wrong ? "The name or the password is wrong." : error.message;
  } finally {
    button.disabled = false;
  }
});

byId("log-out").addEventListener("click", async () => {
  await api("/v1/session", { method: "DELETE" }).catch(() => null);
  location.reload();
});

// --- Catalogue

async function readCatalogue() {
  const [found] = await Promise.all([pages("/v1/stores", STORES_SHOWN), readCampaigns()]);
  const known = new Set(found.items.map((store) => store.id));
  for (const [id, store] of stores) {
    if (known.has(id)) continue;
    unwatch(store);
    store.row.remove();
    stores.delete(id);
  }
  for (const { id, name, capacity } of found.items) {
    const store = stores.get(id) ?? newStore(id);
    stores.set(id, Object.assign(store, { name, capacity: capacity ?? null }));
    changed.add(id);
  }
  byId("no-stores").hidden = stores.size > 0;
  byId("more-stores").hidden = !found.more;
  byId("more-stores").textContent = `The first ${STORES_SHOWN} stores are shown.`;
  await readSensors();
  draw();
}

function newStore(id) {
  const store = { id, now: null, zones: new Map(), alerts: new Map(), sensors: new Map() };
  store.row = newRow(store);
  byId("stores").append(store.row);
  watch(store);
  return store;
}

async function readSensors() {
  clearTimeout(sensorsTimer);
  sensorsTimer = setTimeout(readSensors, STATUSES_MS);
  if (!stores.size) return;
  const found = await pages("/v1/sensors", SENSORS_SHOWN).catch(() => null); // asked again within the minute
  if (!found) return;
  for (const store of stores.values()) store.sensors = new Map();
  for (const { id, store, status } of found.items) stores.get(store)?.sensors.set(id, status);
  for (const id of stores.keys()) changed.add(id);
  drawSoon();
}

function readSensorsSoon() {
  clearTimeout(sensorsTimer);
  sensorsTimer = setTimeout(readSensors, 1_500);
}

function readCatalogueSoon() {
  if (catalogueTimer) return;
  catalogueTimer = setTimeout(() => {
    catalogueTimer = 0;
    readCatalogue().catch(() => null); // the stream's own trouble is shown; this is asked again with the next event
  }, 5_000);
}

// --- Stream

function listen() {
  source?.close();
  const query = new URLSearchParams(lastEventId ? { after: lastEventId } : { recent: "200" });
  if (!byId("more-stores").hidden) query.set("stores", [...stores.keys()].join(","));
  source = new EventSource(`/v1/stream?${query}`);
  heardAt = Date.now();
  for (const kind of EVENTS) source.addEventListener(kind, (event) => hear(kind, event));
  source.addEventListener("error", () => {
    stale("Connection lost; trying again.");
    // The browser tries again by itself after a break, but not after an answer such as 401 or 503.
    if (source?.readyState === EventSource.CLOSED) retryLater();
  });
}

function retryLater() {
  clearTimeout(retryTimer);
  retryTimer = setTimeout(start, retryMs);
  retryMs = Math.min(retryMs * 2, 30_000);
}

function hear(kind, event) {
  heardAt = Date.now();
  retryMs = 1_000;
  if (event.lastEventId) lastEventId = event.lastEventId;
  connection("live", "Live");
  const said = JSON.parse(event.data);
  if (kind === "heartbeat") setServerTime(said.time);
  if (kind === "occupancy") return occupancy(said);
  if (kind === "lagged" || kind === "reset") countEvent(kind, said);
  if (kind === "lagged") return line({ kind: "stream", words: [`${said.dropped} events were skipped`], why: "this connection is slow" });
  if (kind === "reset") return reset();
  if (kind === "alert" && !alert(said)) return; // told before
  if (kind === "sensor") readSensorsSoon();
  if (!countEvent(kind, said)) return;
  if (kind === "offer" && !campaignName(said.campaign)) readCatalogueSoon();
  const told = TOLD[kind]?.(said, named);
  if (told) line(told);
}

function reset() {
  // Whatever still stands is told again.
  for (const store of stores.values()) store.alerts.clear();
  line({ kind: "stream", words: ["Some events were missed while disconnected"] });
}

function connection(state, words) {
  const element = byId("connection");
  if (element.dataset.state === state && element.textContent === words) return;
  element.dataset.state = state;
  element.textContent = words;
}

function stale(words) {
  const since = heardAt ? ` Data as of ${new Date(heardAt).toLocaleTimeString()}.` : "";
  connection("stale", words + since);
}

// --- What changes on the cards

function occupancy(now) {
  const store = stores.get(now.store);
  if (!store) return readCatalogueSoon();
  const before = now.zone === null ? store.now : store.zones.get(now.zone);
  if (before && before.time > now.time) return; // a repeat after a new start of the stream
  if (now.zone === null) store.now = now;
  else store.zones.set(now.zone, now);
  changed.add(now.store);
  drawSoon();
  if (before) return;
  refresh();
  refreshPacing();
}

function alert(said) {
  const store = stores.get(said.store);
  const key = `${said.zone ?? ""}/${said.alert}`;
  const isNew = store?.alerts.get(key)?.id !== said.id;
  if (!store || !isNew) return isNew;
  if (said.state === "raised") {
    store.alerts.set(key, said);
    byId("announcer").textContent = `${store.name}: ${ALERTS[said.alert] ?? said.alert}.`;
  } else {
    store.alerts.delete(key);
  }
  changed.add(said.store);
  drawSoon();
  return true;
}

// --- Drawing

function line(told) {
  tell(told);
  drawSoon();
}

function drawSoon() {
  drawTimer ||= setTimeout(draw, REDRAW_MS);
}

function draw() {
  clearTimeout(drawTimer);
  drawTimer = 0;
  for (const id of changed) {
    const store = stores.get(id);
    if (store) drawStore(store);
  }
  if (changed.size) sortStores();
  changed = new Set();
  drawCampaigns();
  drawFeed();
}

function sortStores() {
  const order = byId("order").value;
  const weight = {
    name: () => 0,
    rate: ({ now }) => now?.rate ?? -1,
    alerts: ({ alerts, row }) => alerts.size + (row.querySelector(".sensors").dataset.troubled === "yes" ? 0.5 : 0),
  }[order];
  const rows = [...stores.values()].sort((a, b) => weight(b) - weight(a) || a.name.localeCompare(b.name));
  const list = byId("stores");
  rows.forEach(({ row }, place) => {
    if (list.children[place] !== row) list.insertBefore(row, list.children[place] ?? null);
  });
}

byId("order").addEventListener("change", sortStores);

setInterval(() => {
  for (const { row, now } of stores.values()) if (now) drawAge(row, now);
  refresh();
  refreshPacing();
  if (source && Date.now() - heardAt > SILENCE_MS) {
    stale("Nothing is heard; trying again.");
    listen();
  }
}, 1_000);

start();
