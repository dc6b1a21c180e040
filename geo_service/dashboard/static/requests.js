// Requests to the API, under the session of whoever is logged in.

export class LoggedOut extends Error {}

export async function api(path, options = {}) {
  const answer = await fetch(path, { credentials: "same-origin", cache: "no-store", ...options });
  if (answer.status === 401) throw new LoggedOut();
  if (!answer.ok) {
    const problem = await answer.json().catch(() => ({}));
    throw new Error(problem.detail ?? problem.title ?? `the server answered ${answer.status}`);
  }
  return answer.status === 204 ? null : answer.json();
}

export async function pages(path, atMost) {
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
