// What is known: the last glance, the events, the latencies since the page was opened, and what is selected.
const SECONDS_KEPT = 300;
const EVENTS_KEPT = 2000;
const HISTORIES_KEPT = 2000;

const store = {
  glance: null, breakers: [], byKey: new Map(), events: [], history: new Map(), heat: new Map(),
  skew: 0, selected: null, filter: "", only: null, minutes: 5, explanation: null,
};

// 10.0.0.9 comes before 10.0.0.10.
const ORDER = new Intl.Collator("en", { numeric: true });

const keyOf = (it) => JSON.stringify([it.service, it.caller, it.endpoint, it.network ?? ""]);
const nowOnNode = () => Date.now() + store.skew;
// What it does, or in observe mode would do.
const effective = (breaker) => (breaker.state === "observe" && breaker.would_be ? breaker.would_be : breaker.state);
const isCalm = (breaker) => ["closed", "observe", "forced_closed"].includes(effective(breaker));

function takeGlance(glance) {
  const at = Date.parse(glance.at);
  store.skew = at - Date.now();
  store.glance = glance;
  store.breakers = glance.breakers.sort((a, b) => ORDER.compare(a.service, b.service)
    || ORDER.compare(a.caller, b.caller) || ORDER.compare(a.endpoint, b.endpoint));
  store.byKey = new Map();
  for (const breaker of glance.breakers) {
    breaker.key = keyOf(breaker);
    store.byKey.set(breaker.key, breaker);
    takeLatencies(breaker, at);
  }
  // Endpoints come and go; what is kept of those that went is bounded.
  for (const key of store.heat.keys()) if (!store.byKey.has(key)) store.heat.delete(key);
  if (store.history.size > HISTORIES_KEPT) {
    for (const key of store.history.keys()) if (!store.byKey.has(key)) store.history.delete(key);
  }
  const select = store.byKey.has(store.selected) ? store.selected : mostUrgent();
  if (select !== store.selected) store.selected = select;
}

// Keeps what was added in each second, as far back as the heatmap shows.
function takeLatencies(breaker, at) {
  const heat = store.heat.get(breaker.key) ?? { totals: null, columns: [] };
  store.heat.set(breaker.key, heat);
  const totals = new Map(breaker.latencies);
  if (heat.totals) {
    const added = [];
    for (const [step, total] of totals) {
      const more = total - (heat.totals.get(step) ?? 0);
      if (more > 0) added.push([step, more]);
    }
    if (added.length > 0) heat.columns.push({ at, added });
    while (heat.columns.length > 0 && heat.columns[0].at < at - SECONDS_KEPT * 1000) heat.columns.shift();
  }
  heat.totals = totals;
}

function mostUrgent() {
  const rank = (breaker) => BY_SEVERITY.indexOf(effective(breaker));
  const sorted = [...store.breakers].sort((a, b) => rank(a) - rank(b));
  return sorted[0]?.key ?? null;
}

function takePast(events) {
  store.events = [];
  store.history = new Map();
  for (const event of events) takeEvent(event);
}

function takeEvent(event) {
  event.ms = Date.parse(event.at);
  store.events.push(event);
  if (store.events.length > EVENTS_KEPT) store.events.shift();
  if (!["transition", "discovered", "forgotten"].includes(event.event)) return;
  const key = keyOf(event);
  const changes = store.history.get(key) ?? [];
  store.history.set(key, changes);
  changes.push(event);
  if (changes.length > 300) changes.shift();
}

function visible() {
  const words = store.filter.toLowerCase().split(/\s+/).filter(Boolean);
  return store.breakers.filter((breaker) => {
    if (store.only && effective(breaker) !== store.only) return false;
    const text = [breaker.caller, breaker.service, breaker.endpoint, breaker.policy, breaker.network ?? "",
      wordOf(breaker.state), wordOf(effective(breaker))].join(" ").toLowerCase();
    return words.every((word) => text.includes(word));
  });
}

// The states a breaker had between two moments, from what was told and what it is now.
function segments(breaker, from, to) {
  const found = [];
  const add = (state, begin, end, observed) => {
    if (end > from && begin < to) found.push({ state, begin: Math.max(begin, from), end: Math.min(end, to), observed });
  };
  const changes = (store.history.get(breaker.key) ?? []);
  let begin = Date.parse(store.glance.node.started);
  let state = null;
  let observed = breaker.state === "observe";
  for (const change of changes) {
    if (change.event === "transition") {
      add(change.from, begin, change.ms, change.observe);
      state = change.to;
      observed = change.observe;
    } else if (change.event === "forgotten" && state) {
      add(state, begin, change.ms, observed);
      state = null;
    }
    begin = change.ms;
  }
  // What was told long ago may be lost; since when it is as it is, is known.
  if (state === null && !isCalm(breaker)) begin = Math.max(begin, Date.parse(breaker.since));
  add(effective(breaker), begin, to, breaker.state === "observe");
  return found;
}
