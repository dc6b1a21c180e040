// The page: who is logged in, the stores as they stand, and what happens. Data reaches the document as text only.

const STORES_SHOWN = 500;
const FEED_LINES = 80;
// The server speaks at least every 15 seconds; twice that and a bit without a word, and the line is dead.
const SILENCE_MS = 40_000;
const REDRAW_MS = 250;

const byId = (id) => document.getElementById(id);
const stores = new Map(); // id → {name, capacity, now, zones, row}
const campaigns = new Map(); // id → name
let source = null;
let lastEventId = "";
let heardAt = 0;
let clockAhead = 0; // milliseconds by which the server's clock is ahead of this one
let retryMs = 1_000, retryTimer = 0;
let catalogueTimer = 0;
let pending = []; // feed lines not drawn yet
let changed = new Set(); // stores not drawn yet
let drawTimer = 0;
const LEVELS = { quiet: "○ quiet", normal: "◔ normal", busy: "◑ busy", full: "● full" };
const STATUSES = {
  live: "counting live",
  degraded: "a sensor is silent, so the range is wider",
  blind: "no sensor is heard",
  uncalibrated: "doors not yet calibrated; take with care",
};
const PLACES = { near: "the area around", curbside: "the kerb of", zone: "a zone of" };
const SENSOR_STATES = {
  live: "is heard again",
  silent: "has gone silent",
  stuck: "seems stuck",
  skewed: "has a wrong clock",
  rejected: "sends what cannot be read",
};

function ago(milliseconds) {
  const seconds = Math.max(0, Math.round((Date.now() + clockAhead - milliseconds) / 1000));
  if (seconds < 60) return `${seconds} s ago`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min ago`;
  return seconds < 172_800 ? `${Math.floor(seconds / 3600)} h ago` : `${Math.floor(seconds / 86_400)} days ago`;
}

function lasting(seconds) {
  if (seconds < 90) return `${Math.round(seconds)} s`;
  return seconds < 5400 ? `${Math.round(seconds / 60)} min` : `${(seconds / 3600).toFixed(1)} h`;
}

const clock = (text) => new Date(text).toLocaleTimeString([], { timeStyle: "medium", hourCycle: "h23" });
const storeName = (id) => stores.get(id)?.name ?? id ?? "no store";
const range = (now) => `${Math.round(now.mean)} (${Math.round(now.low)}–${Math.round(now.high)})`;

// --- Requests

async function api(path, options = {}) {
  const answer = await fetch(path, { credentials: "same-origin", cache: "no-store", ...options });
  if (answer.status === 401) throw new LoggedOut();
  if (!answer.ok) {
    const problem = await answer.json().catch(() => ({}));
    throw new Error(problem.detail ?? problem.title ?? `the server answered ${answer.status}`);
  }
  return answer.status === 204 ? null : answer.json();
}

class LoggedOut extends Error {}

async function pages(path, atMost) {
  const items = [];
  let cursor = null;
  do {
    const query = new URLSearchParams({ limit: String(Math.min(atMost, 1000)), ...(cursor ? { cursor } : {}) });
    const page = await api(`${path}?${query}`);
    items.push(...page.items);
    cursor = page.next;
  } while (cursor && items.length < atMost);
  return { items: items.slice(0, atMost), more: Boolean(cursor) || items.length > atMost };
}

// --- Session

async function start() {
  clearTimeout(retryTimer);
  try {
    const person = await api("/v1/session");
    byId("who-name").textContent = person.role ? `${person.name}, ${person.role}` : person.name;
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
  const [found, offered] = await Promise.all([pages("/v1/stores", STORES_SHOWN), pages("/v1/campaigns", 1000)]);
  for (const campaign of offered.items) campaigns.set(campaign.id, campaign.name);
  const known = new Set(found.items.map((store) => store.id));
  for (const [id, store] of stores) {
    if (known.has(id)) continue;
    store.row.remove();
    stores.delete(id);
  }
  for (const { id, name, capacity } of found.items) {
    const store = stores.get(id) ?? { id, now: null, zones: new Map(), row: newRow(), announced: null };
    stores.set(id, Object.assign(store, { name, capacity: capacity ?? null }));
    changed.add(id);
  }
  byId("no-stores").hidden = stores.size > 0;
  byId("more-stores").hidden = !found.more;
  byId("more-stores").textContent = `The first ${STORES_SHOWN} stores are shown.`;
  draw();
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
  const query = new URLSearchParams(lastEventId ? { after: lastEventId } : { recent: "40" });
  if (!byId("more-stores").hidden) query.set("stores", [...stores.keys()].join(","));
  source = new EventSource(`/v1/stream?${query}`);
  heardAt = Date.now();
  for (const kind of ["occupancy", "crossing", "offer", "sensor", "rejected", "heartbeat", "lagged", "reset"]) {
    source.addEventListener(kind, (event) => hear(kind, event));
  }
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
  if (kind === "heartbeat") clockAhead = Date.parse(said.time) - heardAt;
  if (kind === "occupancy") return occupancy(said);
  if (kind === "lagged") return line({ kind: "stream", words: [`${said.dropped} events were skipped`], why: "this connection is slow" });
  if (kind === "reset") return line({ kind: "stream", words: ["Some events were missed while disconnected"] });
  const told = { crossing, offer, sensor, rejected }[kind]?.(said);
  if (told) line(told);
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

// --- What the events say

function occupancy(now) {
  const store = stores.get(now.store);
  if (!store) return readCatalogueSoon();
  const before = now.zone === null ? store.now : store.zones.get(now.zone);
  if (before && before.time > now.time) return; // a repeat after a new start of the stream
  if (now.zone === null) store.now = now;
  else store.zones.set(now.zone, now);
  changed.add(now.store);
  drawSoon();
}

function crossing(said) {
  const place = said.store ? `${PLACES[said.role] ?? ""} ${storeName(said.store)}`.trim() : `fence ${said.fence}`;
  const stayed = said.duration_s === null || said.duration_s === undefined ? "" : lasting(said.duration_s);
  const did = { enter: "came into", dwell: `has stayed ${stayed} in`, exit: "left", cross: "passed through" }[said.type];
  const why = [said.type === "exit" && stayed ? `after ${stayed}` : "", REASONS[said.reason] ?? ""].filter(Boolean);
  return { kind: "crossing", time: said.time, words: [`${said.device ?? "Somebody"} ${did} `, place], why: why.join(", ") };
}

const REASONS = {
  silence: "the phone has gone silent",
  fence_changed: "the fence was changed",
  fence_removed: "the fence was removed",
  forgotten: "the person was forgotten",
};

function offer(said) {
  const name = campaigns.get(said.campaign) ?? said.campaign;
  const isSent = said.decision === "sent";
  const reason = isSent ? "" : said.reason.replaceAll("_", " ");
  const why = [storeName(said.store), said.device ? `to ${said.device}` : "", reason].filter(Boolean).join(" · ");
  const words = [isSent ? "Offer sent: " : "Offer withheld: ", name];
  return { kind: "offer", tone: isSent ? "sent" : "withheld", time: said.time, words, why };
}

function sensor(said) {
  const tone = said.state === "live" ? "sent" : "trouble";
  const words = [`Sensor ${said.id} ${SENSOR_STATES[said.state] ?? said.state}: `, storeName(said.store)];
  return { kind: "sensor", tone, time: said.since, words, why: said.detail };
}

function rejected(said) {
  return { kind: "sensor", tone: "trouble", time: said.time, words: ["Not usable: ", said.topic], why: said.reason };
}

// --- Drawing

function line(told) {
  pending.push({ time: new Date().toISOString(), ...told });
  if (pending.length > FEED_LINES) pending.shift();
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
  const feed = byId("feed");
  for (const told of pending) feed.prepend(newLine(told));
  pending = [];
  while (feed.childElementCount > FEED_LINES) feed.lastElementChild.remove();
  byId("no-events").hidden = feed.childElementCount > 0;
}

function element(name, className, text) {
  const made = document.createElement(name);
  if (className) made.className = className;
  if (text !== undefined) made.textContent = text;
  return made;
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

function newRow() {
  const row = element("li", "card");
  const head = element("div", "store-head");
  head.append(element("span", "store-name"), element("span", "level"));
  const bar = element("div", "bar");
  bar.setAttribute("role", "img");
  bar.append(element("div", "bar-fill"), element("div", "bar-range"), element("div", "bar-limit"));
  const figures = element("div", "figures");
  const people = element("span", "people");
  people.append(element("strong"), element("span", "of"));
  const state = element("span", "aside");
  state.append(element("span", "status"), element("span", "age"));
  figures.append(people, state);
  row.append(head, bar, figures, element("div", "aside totals"), element("ul", "zones"));
  byId("stores").append(row);
  return row;
}

function drawStore(store) {
  const { name, capacity, now, zones, row } = store;
  const part = (selector) => row.querySelector(selector);
  part(".store-name").textContent = name;
  part(".bar").hidden = part(".figures").hidden = !now;
  part(".totals").textContent = now ? `${now.in_total} in, ${now.out_total} out today` : "Nothing counted yet.";
  drawZones(part(".zones"), zones);
  if (!now) return;
  row.dataset.level = now.level;
  row.dataset.status = now.status;
  part(".level").textContent = now.status === "blind" ? "? unknown" : capacity ? (LEVELS[now.level] ?? now.level) : "";
  part(".people strong").textContent = range(now);
  part(".people .of").textContent = capacity ? ` of ${capacity.comfort}` : " people";
  part(".status").textContent = STATUSES[now.status] ?? now.status;
  drawBar(row, now, capacity);
  if (store.announced !== null && store.announced !== now.level && now.level === "full") {
    byId("announcer").textContent = `${name} is full.`;
  }
  store.announced = now.level;
  drawAge(row, now);
}

function drawBar(row, now, capacity) {
  const whole = Math.max(capacity?.legal ?? 0, capacity?.comfort ?? 0, now.high, 1);
  const percent = (people) => `${Math.min(100, Math.max(0, (people / whole) * 100))}%`;
  const part = (selector) => row.querySelector(selector);
  part(".bar-fill").style.width = percent(now.mean);
  part(".bar-range").style.left = percent(now.low);
  part(".bar-range").style.width = percent(now.high - now.low);
  part(".bar-limit").hidden = !capacity;
  part(".bar-limit").style.left = percent(capacity?.comfort ?? 0);
  const room = capacity ? `, comfortable up to ${capacity.comfort}, at most ${capacity.legal}` : "";
  part(".bar").setAttribute("aria-label", `About ${range(now)} people${room}`);
}

function drawZones(list, zones) {
  list.hidden = zones.size === 0;
  const lines = [...zones].sort(([a], [b]) => a.localeCompare(b));
  list.replaceChildren(...lines.map(([zone, now]) => element("li", "", `${zone}: ${range(now)}`)));
}

function drawAge(row, now) {
  const age = ` · ${ago(Date.parse(now.time))}`;
  const place = row.querySelector(".age");
  if (place.textContent !== age) place.textContent = age;
}

function sortStores() {
  const fullest = byId("order").value === "rate";
  const rows = [...stores.values()].sort(
    (a, b) => (fullest ? (b.now?.rate ?? -1) - (a.now?.rate ?? -1) : 0) || a.name.localeCompare(b.name),
  );
  const list = byId("stores");
  rows.forEach(({ row }, place) => {
    if (list.children[place] !== row) list.insertBefore(row, list.children[place] ?? null);
  });
}

const shown = (kind) => document.querySelector(`input[name="show"][value="${kind}"]`)?.checked ?? true;

byId("order").addEventListener("change", sortStores);
for (const box of document.querySelectorAll('input[name="show"]')) {
  box.addEventListener("change", () => {
    for (const item of byId("feed").children) item.hidden = !shown(item.dataset.kind);
  });
}

setInterval(() => {
  for (const { row, now } of stores.values()) if (now) drawAge(row, now);
  if (source && Date.now() - heardAt > SILENCE_MS) {
    stale("Nothing is heard; trying again.");
    listen();
  }
}, 1_000);

start();
