// The cards: each store with its number, what stands out, and how its sensors do.

import { drawOutlook } from "/outlook.js";
import { newPacing } from "/pacing.js";
import { ALERTS, LEVELS, STATUSES, ago, clock, element, range } from "/words.js";

export function newRow(store) {
  const row = element("li", "card");
  const head = element("div", "store-head");
  head.append(element("h3", "store-name"), element("span", "level"));
  const bar = element("div", "bar");
  bar.setAttribute("role", "img");
  bar.append(element("div", "bar-fill"), element("div", "bar-range"), element("div", "bar-limit"));
  const figures = element("div", "figures");
  const people = element("span", "people");
  people.append(element("strong"), element("span", "of"));
  const state = element("span", "aside");
  state.append(element("span", "status"), element("span", "age"));
  figures.append(people, state);
  row.append(head, element("ul", "alerts"), bar, figures, element("div", "aside totals"), element("ul", "zones"));
  row.append(newOutlook(), newPacing(store), newSensors());
  row.querySelector(".outlook").hidden = true;
  return row;
}

function newOutlook() {
  const outlook = element("div", "outlook");
  const picture = element("div", "picture");
  picture.setAttribute("role", "img");
  const axis = element("div", "axis aside");
  axis.append(element("span"), element("span", "here", "now"), element("span"));
  axis.setAttribute("aria-hidden", "true");
  outlook.append(picture, axis, element("div", "expected aside"));
  return outlook;
}

function newSensors() {
  const sensors = element("details", "sensors aside");
  sensors.append(element("summary"), element("ul"));
  sensors.hidden = true;
  return sensors;
}

export function drawStore(store) {
  const { name, capacity, now, zones, row } = store;
  const part = (selector) => row.querySelector(selector);
  part(".store-name").textContent = name;
  part(".bar").hidden = part(".figures").hidden = !now;
  part(".totals").textContent = now ? `${now.in_total} in, ${now.out_total} out today` : "Nothing counted yet.";
  drawZones(part(".zones"), zones);
  drawAlerts(part(".alerts"), store.alerts);
  drawSensors(part(".sensors"), store.sensors);
  if (!now) return;
  row.dataset.level = now.level;
  row.dataset.status = now.status;
  part(".level").textContent = now.status === "blind" ? "? unknown" : capacity ? (LEVELS[now.level] ?? now.level) : "";
  part(".people strong").textContent = range(now);
  part(".people .of").textContent = capacity ? ` of ${capacity.comfort}` : " people";
  part(".status").textContent = STATUSES[now.status] ?? now.status;
  drawBar(row, now, capacity);
  drawOutlook(store);
  drawAge(row, now);
}

function drawAlerts(list, alerts) {
  list.hidden = alerts.size === 0;
  const lines = [...alerts.values()].sort((a, b) => b.since.localeCompare(a.since));
  list.replaceChildren(
    ...lines.map((alert) => {
      const item = element("li", "alert");
      item.dataset.alert = alert.alert;
      const where = alert.zone ? ` in ${alert.zone}` : "";
      item.append(element("b", "", `${ALERTS[alert.alert] ?? alert.alert}${where} since ${clock(alert.since).slice(0, 5)}`));
      if (alert.alert === "legal" || alert.alert === "doors") item.append(element("span", "", ` ${alert.detail}`));
      return item;
    }),
  );
}

function drawSensors(box, sensors) {
  const troubled = [...sensors].filter(([, status]) => status && (status.state !== "live" || status.details.length));
  box.hidden = sensors.size === 0;
  const count = sensors.size === 1 ? "1 sensor" : `${sensors.size} sensors`;
  const words = troubled.length ? `${troubled.length} of ${count} in trouble` : `${count}, all well`;
  const summary = box.querySelector("summary");
  if (summary.textContent !== words) summary.textContent = words;
  // Opened when trouble comes; whoever closes it again is not asked twice.
  if (troubled.length && box.dataset.troubled !== "yes") box.open = true;
  if (!troubled.length && box.dataset.troubled === "yes") box.open = false;
  box.dataset.troubled = troubled.length ? "yes" : "no";
  const lines = [...sensors].sort(([a], [b]) => a.localeCompare(b)).map(([id, status]) => {
    const item = element("li", troubled.some(([other]) => other === id) ? "trouble" : "");
    item.append(element("b", "", id), element("span", "", `: ${sensorWords(status)}`));
    return item;
  });
  box.querySelector("ul").replaceChildren(...lines);
}

function sensorWords(status) {
  if (!status) return "not known yet";
  const charge = status.battery === null ? "" : `, battery ${Math.round(100 * status.battery)} %`;
  const heard = status.last_message ? `last heard ${clock(status.last_message).slice(0, 5)}` : "never heard";
  return [...status.details, `${heard}, ${status.in_today} in, ${status.out_today} out${charge}`].join("; ");
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

export function drawAge(row, now) {
  const age = ` · ${ago(Date.parse(now.time))}`;
  const place = row.querySelector(".age");
  if (place.textContent !== age) place.textContent = age;
}
