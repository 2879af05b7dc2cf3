// The timeline: which state each breaker had when. Those that stayed closed have no row, but are counted.
const RANGES = [1, 5, 15, 60];
const ROWS_SHOWN = 40;
const FEED_SHOWN = 60;
const timeline = { rows: new Map(), fed: null };

function drawTimeline() {
  if (!store.glance) return;
  const to = nowOnNode();
  const from = to - store.minutes * 60000;
  const shown = visible();
  const eventful = [];
  for (const breaker of shown) {
    const found = segments(breaker, from, to);
    const isEventful = found.some((it) => !["closed", "observe"].includes(it.state));
    if (isEventful || breaker.key === store.selected) eventful.push({ breaker, found, isEventful });
  }
  const rank = ({ breaker, found }) => [BY_SEVERITY.indexOf(effective(breaker)), -(found.at(-1)?.begin ?? 0)];
  eventful.sort((a, b) => rank(a)[0] - rank(b)[0] || rank(a)[1] - rank(b)[1]);
  const rows = eventful.slice(0, ROWS_SHOWN);
  const kept = new Set(rows.map(({ breaker }) => breaker.key));
  for (const [key, row] of timeline.rows) if (!kept.has(key)) { row.remove(); timeline.rows.delete(key); }
  rows.forEach(({ breaker, found }, place) => {
    const row = rowOf(breaker);
    if ($("rows").children[place] !== row) $("rows").insertBefore(row, $("rows").children[place] ?? null);
    drawRow(row, breaker, found, from, to);
  });
  const calm = shown.length - eventful.filter((it) => it.isEventful).length;
  const more = eventful.length - rows.length;
  write($("calm"), [
    calm > 0 ? `${calm} of ${shown.length} had nothing to stop in this time.` : "",
    more > 0 ? `${more} more are not drawn; filter for them.` : "",
  ].filter(Boolean).join(" "));
  const [left, middle, right] = $("axis").children;
  write(left, `${store.minutes} min ago`);
  write(middle, clock(from + (to - from) / 2));
  write(right, "now");
  drawFeed();
}

function rowOf(breaker) {
  if (timeline.rows.has(breaker.key)) return timeline.rows.get(breaker.key);
  const state = icon("closed");
  const name = element("button", { type: "button", title: `${breaker.caller} calling ${breaker.service}` }, state,
    element("span", { className: "endpoint" }, breaker.endpoint), element("span", { className: "soft" }, `${breaker.caller} → ${breaker.service}`));
  name.onclick = () => choose(breaker.key, true);
  const row = element("div", { className: "row" }, name, element("div", { className: "strip", role: "img" }));
  row.use = state.firstChild;
  row.icon = state;
  timeline.rows.set(breaker.key, row);
  return row;
}

function drawRow(row, breaker, found, from, to) {
  const strip = row.lastChild;
  const state = effective(breaker);
  say(row.use, "href", "#i-" + (breaker.state === "observe" ? "observe" : state));
  say(row.icon, "class", "icon s-" + state);
  say(row, "aria-current", String(breaker.key === store.selected));
  while (strip.children.length > found.length) strip.lastChild.remove();
  while (strip.children.length < found.length) strip.append(element("i"));
  found.forEach((part, place) => {
    const piece = strip.children[place];
    const width = (part.end - part.begin) / (to - from);
    say(piece, "class", `s-${part.state}${part.observed ? " is-observed" : ""}`);
    piece.style.left = ((part.begin - from) / (to - from)) * 100 + "%";
    piece.style.width = width * 100 + "%";
    const word = wordOf(part.state);
    write(piece, width * strip.clientWidth > 14 + word.length * 6.6 ? word : "");
    piece.title = `${wordOf(part.state)}${part.observed ? " (only observed)" : ""}, ${clock(part.begin)} to ${clock(part.end)}`;
  });
  const told = found.slice(-6).map((part) => `${wordOf(part.state)} from ${clock(part.begin)}`).join(", ");
  say(strip, "aria-label", `${breaker.endpoint}: ${told}`);
}

function drawFeed() {
  const last = store.events.at(-1);
  const shape = `${last?.sequence} ${last?.at} ${store.events.length}`;
  if (timeline.fed === shape) return;
  timeline.fed = shape;
  const newest = store.events.slice(-FEED_SHOWN).reverse();
  $("feed").replaceChildren(...newest.map((event) => {
    const state = event.event === "transition" ? event.to : null;
    const mark = state ? icon(state) : null;
    if (mark) mark.setAttribute("class", "icon s-" + state);
    return element("li", {}, element("time", { dateTime: event.at }, clock(event.ms)),
      element("span", {}, mark, mark ? " " : null, event.text));
  }));
}

for (const minutes of RANGES) {
  const button = element("button", { type: "button" }, minutes === 60 ? "1 h" : minutes + " min");
  button.onclick = () => { store.minutes = minutes; pressRange(); draw(); };
  button.minutes = minutes;
  $("range").append(button);
}
function pressRange() {
  for (const button of $("range").children) say(button, "aria-pressed", String(button.minutes === store.minutes));
}
pressRange();
