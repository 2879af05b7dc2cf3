// The stream from the daemon, and what becomes of the page when it stops.
const SILENCE_MS = 4000;
const AGAIN_MS = 2000;
const live = { source: null, heard: 0, since: null, due: false };

function listen() {
  live.source?.close();
  const source = live.source = new EventSource("/api/v1/stream");
  const on = (name, take) => source.addEventListener(name, (message) => {
    if (source !== live.source) return;
    live.heard = Date.now();
    take(JSON.parse(message.data));
    draw();
  });
  on("past", takePast);
  on("event", takeEvent);
  on("glance", takeGlance);
  source.onerror = () => {
    if (source !== live.source) return;
    source.close();
    live.source = null;
    live.since ??= Date.now();
    setTimeout(listen, AGAIN_MS);
    diagnose();
  };
}

// Whether there is nobody, or nobody to spare.
async function diagnose() {
  let why = "The daemon is gone";
  try {
    const answer = await fetch("/healthz", { cache: "no-store" });
    why = answer.ok ? "The daemon answers, but as many pages as it serves look on already" : "The daemon's loop does not answer";
  } catch {
    // Nobody is there.
  }
  if (live.since !== null) tellLink("gone", why);
}

function tellLink(link, why) {
  $("link").dataset.link = link;
  write($("link-word"), { live: "live", waiting: "connecting", gone: "gone" }[link]);
  const alarm = $("alarm");
  alarm.hidden = link !== "gone";
  $("main").classList.toggle("stale", link === "gone");
  if (link === "gone") {
    const last = live.heard ? ` What is shown is of ${clock(live.heard + store.skew)}.` : "";
    write(alarm, `✕ ${why}, since ${clock(live.since)}.${last} Trying again.`);
  }
  document.title = link === "gone" ? "✕ gone · shedder" : document.title;
}

setInterval(() => {
  if (live.source && live.heard > 0 && Date.now() - live.heard > SILENCE_MS) {
    live.since ??= live.heard;
    tellLink("gone", "The daemon says nothing");
  } else if (live.heard > 0 && live.source && Date.now() - live.heard < SILENCE_MS) {
    live.since = null;
    tellLink("live");
  }
}, 500);

function drawFacts() {
  const { node, breakers, others } = store.glance;
  const bad = breakers.filter((it) => !isCalm(it)).length;
  write($("facts"), `version ${node.version} · up ${span(nowOnNode() - Date.parse(node.started))} · ${node.cgroups.length} ${node.cgroups.length === 1 ? "cgroup" : "cgroups"} · ${node.endpoints} of ${node.max_endpoints} endpoints · policy generation ${node.generation}`);
  document.title = bad > 0 ? `(${bad}) shedder` : "shedder";
  const notes = [
    node.reload_error && `The policy file as it is now is not in force: ${node.reload_error}`,
    others > 0 && `${others} breakers more are not shown here; those that are not closed come first. shedder status lists all.`,
    ...node.degradations.map((it) => `This kernel: ${it}`),
  ].filter(Boolean);
  $("notes").hidden = notes.length === 0;
  write($("notes"), notes.join(" · "));
}

// Once for all that comes within a frame, and not at all while nobody can see it.
function draw() {
  if (live.due || !store.glance) return;
  live.due = true;
  requestAnimationFrame(() => {
    live.due = false;
    drawFacts();
    drawMap();
    drawTimeline();
    drawDetail();
  });
}

try { setTheme(localStorage.getItem("theme") ?? ""); } catch { /* As the system. */ }
listen();
