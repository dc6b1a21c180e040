// Words and numbers: how the page says what the server says.

export const LEVELS = { quiet: "○ quiet", normal: "◔ normal", busy: "◑ busy", full: "● full" };
export const STATUSES = {
  live: "counting live",
  degraded: "a sensor is silent, so the range is wider",
  blind: "no sensor is heard",
  uncalibrated: "the doors do not add up; take with care",
};
export const PLACES = { near: "the area around", curbside: "the kerb of", zone: "a zone of" };
export const SENSOR_STATES = {
  live: "is heard again",
  silent: "has gone silent",
  stuck: "seems stuck",
  skewed: "has a wrong clock",
  rejected: "sends what cannot be read",
};
export const ALERTS = {
  warn: "Nearly full",
  full: "Full",
  legal: "Perhaps above the legal capacity",
  doors: "The doors do not add up",
};
export const REASONS = {
  silence: "the phone has gone silent",
  fence_changed: "the fence was changed",
  fence_removed: "the fence was removed",
  forgotten: "the person was forgotten",
};

let clockAhead = 0; // milliseconds by which the server's clock is ahead of this one

export function setServerTime(text) {
  clockAhead = Date.parse(text) - Date.now();
}

export const serverNow = () => Date.now() + clockAhead;

export function ago(milliseconds) {
  const seconds = Math.max(0, Math.round((serverNow() - milliseconds) / 1000));
  if (seconds < 60) return `${seconds} s ago`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min ago`;
  return seconds < 172_800 ? `${Math.floor(seconds / 3600)} h ago` : `${Math.floor(seconds / 86_400)} days ago`;
}

export function lasting(seconds) {
  if (seconds < 90) return `${Math.round(seconds)} s`;
  return seconds < 5400 ? `${Math.round(seconds / 60)} min` : `${(seconds / 3600).toFixed(1)} h`;
}

export const clock = (text) => new Date(text).toLocaleTimeString([], { timeStyle: "medium", hourCycle: "h23" });
export const hour = (time) => new Date(time).toLocaleTimeString([], { timeStyle: "short", hourCycle: "h23" });
export const range = (now) => `${Math.round(now.mean)} (${Math.round(now.low)}–${Math.round(now.high)})`;

export function element(name, className, text) {
  const made = document.createElement(name);
  if (className) made.className = className;
  if (text !== undefined) made.textContent = text;
  return made;
}
