// The selected breaker: why it is as it is, how fast its answers come, and by which rules it is judged.
const detail = { key: null, parts: null, asked: 0, mark: null, pointed: null };

function drawDetail() {
  const breaker = store.byKey.get(store.selected);
  if (!breaker) {
    if (detail.key !== null) $("detail").replaceChildren(element("p", { className: "empty" }, "Select an endpoint."));
    detail.key = null;
    return;
  }
  if (detail.key !== breaker.key) {
    detail.key = breaker.key;
    detail.mark = null;
    store.explanation = null;
    buildDetail(breaker);
  }
  ask(breaker);
  const { parts } = detail;
  const state = effective(breaker);
  const observed = breaker.state === "observe";
  say(parts.badge, "class", "badge s-" + (observed && state === "closed" ? "observe" : state));
  say(parts.use, "href", "#i-" + (observed ? "observe" : state));
  write(parts.word, observed && state !== "closed" ? `observing: would be ${wordOf(state)}` : wordOf(breaker.state));
  drawWhy(parts, breaker);
  const { window: seen, in_flight: now } = breaker;
  const figures = [
    [`${seen.failures} of ${seen.attempts}`, "failed in the window"],
    [latency(seen.p50_us), "median answer"],
    [latency(seen.p99_us), "99th percentile"],
    [rate(breaker.connects_per_second), "connects"],
    [count(breaker.shed_total), "shed in all"],
    [count(breaker.allowed_total), "let through"],
    [count(now.connections), "connections now"],
    [count(now.waiting), "await an answer"],
    [count(breaker.would_shed_total), "would have been shed"],
  ];
  figures.forEach(([value, name], place) => {
    write(parts.figures.children[place].firstChild, name);
    write(parts.figures.children[place].lastChild, value);
  });
  drawHeat();
}

function drawHeat() {
  const breaker = store.byKey.get(detail.key);
  if (!breaker || !detail.parts || detail.parts.canvas.clientWidth === 0) return;
  const said = drawHeatmap(detail.parts.canvas, breaker);
  write(detail.parts.heard, detail.pointed ?? said);
}

function buildDetail(breaker) {
  const state = icon("closed");
  const word = element("span");
  const canvas = element("canvas", { role: "img" });
  const parts = {
    use: state.firstChild, word, canvas,
    badge: element("span", { role: "status" }, state, word),
    why: element("dl", { className: "why" }), measure: element("div", { className: "measure" }),
    figures: element("dl", { className: "figures" }), list: element("ul", { className: "list" }),
    heard: element("span"), orders: element("div"), rules: element("code", { className: "rules" }),
    policy: element("p", { className: "soft" }),
  };
  for (let place = 0; place < 9; place += 1) parts.figures.append(element("div", {}, element("dt"), element("dd")));
  const close = element("button", { id: "close", className: "tool", type: "button" }, icon("close"),
    element("span", { className: "unseen" }, "Back to the map"));
  close.onclick = leaveDetail;
  canvas.onpointermove = (event) => { detail.pointed = readCell(canvas, event); drawHeat(); };
  canvas.onpointerleave = () => { detail.pointed = null; drawHeat(); };
  const section = (title, ...children) => element("section", { "aria-label": title }, element("h3", {}, title), ...children);
  detail.parts = parts;
  $("detail").replaceChildren(
    element("header", {},
      element("div", {}, element("h2", { className: "endpoint" }, breaker.endpoint),
        element("p", { className: "soft" }, `${breaker.caller} calling ${breaker.service}${breaker.network ? " in " + breaker.network : ""}`)),
      parts.badge, close),
    section("Explanation", parts.why, parts.measure),
    section("Answer times", element("div", { className: "heat" }, canvas,
      element("p", {}, parts.heard, element("span", { "aria-hidden": "true" }, "few", element("span", { className: "ramp" }), "many")))),
    section("Figures", parts.figures),
    parts.refused = section("Refused lately", parts.list),
    section("Policy", parts.policy, parts.rules),
    section("Orders", element("p", { className: "soft" },
      "This page changes nothing. An order is given on the node, over the daemon's socket, and only by root."), parts.orders));
  const reach = `${quoted(breaker.endpoint)} --caller ${quoted(breaker.caller)}${breaker.network ? " --network " + quoted(breaker.network) : ""}`;
  for (const [order, meaning] of [["trip", "shed for five minutes"], ["hold", "let everything through for five minutes"], ["reset", "drop orders and memory"]]) {
    parts.orders.append(orderLine(`sudo shedder ${order} ${reach}`, meaning));
  }
  $("detail").scrollTop = 0;
}

function orderLine(text, meaning) {
  const code = element("code", { title: meaning, tabIndex: 0 }, text);
  const copy = element("button", { type: "button", "aria-label": `Copy: ${meaning}` }, "Copy");
  copy.onclick = async () => {
    try {
      await navigator.clipboard.writeText(text);
      write(copy, "Copied");
    } catch {
      getSelection().selectAllChildren(code);
      write(copy, "Selected");
    }
    setTimeout(() => write(copy, "Copy"), 1500);
  };
  return element("div", { className: "order" }, code, copy);
}

// Asks for the explanation when something it says has changed, once a second at most.
async function ask(breaker) {
  const mark = JSON.stringify([breaker.state, breaker.would_be, breaker.since, breaker.verdict.action, breaker.verdict.admit_permille, breaker.shed_total, breaker.policy, store.glance.node.generation]);
  if (detail.mark === mark || Date.now() - detail.asked < 900) return;
  detail.asked = Date.now();
  try {
    const response = await fetch("/api/v1/explain?endpoint=" + encodeURIComponent(breaker.endpoint), { cache: "no-store" });
    if (!response.ok) return;
    const told = await response.json();
    if (detail.key !== breaker.key) return;
    detail.mark = mark;
    store.explanation = {
      it: told.breakers.find((it) => keyOf(it.breaker) === breaker.key),
      refusals: told.refusals.filter((it) => keyOf(it) === breaker.key),
    };
    drawDetail();
  } catch {
    // The stream tells whether the daemon is gone.
  }
}

function drawWhy(parts, breaker) {
  const { it, refusals = [] } = store.explanation ?? {};
  const lines = [
    ["Why", breaker.reason ? `${breaker.reason.text.replace(/(\d)\.\d{3,}s\b/g, "$1s")} (${breaker.reason.strategy})` : "nothing speaks against it"],
    ["Since", `${clock(Date.parse(breaker.since))}, for ${span(nowOnNode() - Date.parse(breaker.since))}`],
    ["Now", it?.effect ?? "…"],
    ["Until", breaker.next ? `${wordOf(breaker.next.state)} in ${span(Date.parse(breaker.next.at) - nowOnNode())}${(it?.until ?? "").replace(/^[^:]*/, "")}` : "something happens; no time is set"],
    ["Remedy", it?.remedy ?? "…"],
  ];
  if (breaker.level > 0) lines.push(["Trips", `${breaker.level} remembered: each lets it stay open for longer`]);
  if (breaker.flapping) lines.push(["Flapping", "it changes back and forth, and stays open for longer"]);
  if (breaker.suspended) lines.push(["Suspended", "it refused too much wrongly, and only observes until it is reset"]);
  while (parts.why.children.length > lines.length * 2) parts.why.lastChild.remove();
  lines.forEach(([name, text], place) => {
    if (!parts.why.children[place * 2]) parts.why.append(element("dt"), element("dd"));
    write(parts.why.children[place * 2], name);
    writeProse(parts.why.children[place * 2 + 1], text);
  });
  drawMeasure(parts.measure, breaker);
  const shape = JSON.stringify(refusals);
  if (parts.list.shape !== shape) {
    parts.list.shape = shape;
    parts.refused.hidden = refusals.length === 0;
    parts.list.replaceChildren(...refusals.slice(0, 5).map((refusal) => element("li", {},
      element("span", { className: "soft" }, clock(Date.parse(refusal.at)) + " "),
      `${refusal.errno}: ${CAUSES[refusal.cause] ?? refusal.cause} (number ${refusal.refused})`)));
  }
  const rules = it?.rules ?? [];
  write(parts.policy, `${breaker.policy}${it ? ", generation " + it.generation : ""}; ${breaker.state === "observe" ? "it observes" : "it enforces"}`);
  if (parts.rules.shape !== rules.join("\n")) {
    parts.rules.shape = rules.join("\n");
    parts.rules.replaceChildren(...rules.flatMap((rule) => {
      const [name, ...rest] = rule.split(" = ");
      return [element("b", {}, name), " = " + rest.join(" = ") + "\n"];
    }));
  }
}

function drawMeasure(measure, breaker) {
  const numbers = breaker.reason?.numbers;
  measure.hidden = !numbers;
  if (!numbers) return;
  if (!measure.firstChild) {
    measure.append(element("div", { className: "scale" }, element("div"), element("div", { className: "limit" })), element("p", {}, element("span"), element("span")));
  }
  const most = Math.max(numbers.value, numbers.limit) * 1.15 || 1;
  const [value, limit] = measure.firstChild.children;
  say(value, "class", "value s-" + effective(breaker));
  value.style.width = (numbers.value / most) * 100 + "%";
  limit.style.left = (numbers.limit / most) * 100 + "%";
  write(measure.lastChild.firstChild, `seen: ${amount(numbers.value, numbers.unit)}`);
  write(measure.lastChild.lastChild, `limit ${amount(numbers.limit, numbers.unit)}, from ${numbers.samples} samples`);
}
