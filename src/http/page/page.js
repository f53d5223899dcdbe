"use strict";

// What the server tells is text: it goes into the page as text alone.
(() => {
  const EVERY_MS = 1000;
  const PATIENCE_MS = 5000;
  const WIDTH = 300;
  const HEIGHT = 100;
  const SVG = "http://www.w3.org/2000/svg";
  const TIERS = [["automation", "Automation"], ["adhoc", "Ad-hoc"]];
  const ROWS_SHOWN = 200;

  const at = (id) => document.getElementById(id);
  let token = null;
  let paused = false;
  let answeredAt = null;

  const element = (name, text, attributes = {}) => {
    const made = document.createElement(name);
    if (text !== undefined) made.textContent = text;
    for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
    return made;
  };

  // A screen reader is told what has changed, and not what is the same again.
  const say = (node, text) => {
    if (node.textContent !== text) node.textContent = text;
  };

  const seconds = (value) => (value < 10 ? `${value.toFixed(1)} s` : `${Math.round(value)} s`);
  const duration = (value) => (value ? seconds(value.secs + value.nanos / 1e9) : "–");

  const GAUGES = [
    ["In use", (tier) => tier.gauges.in_use],
    ["Idle", (tier) => tier.gauges.idle],
    ["Opening", (tier) => tier.gauges.opening],
    ["Waiting", (tier) => tier.gauges.waiting],
    ["Ceiling", (tier) => tier.ceiling],
    ["Overflow", (tier) => tier.overflow],
    ["Oldest waits", (tier) => duration(tier.oldest_waiter)],
    ["Breaker", (tier) => tier.breaker.toLowerCase()],
    ["Lends", (tier) => tier.lending.toLowerCase()],
  ];

  const cards = new Map();

  const makeCard = (key, title) => {
    const card = element("section", undefined, { "aria-labelledby": `tier-${key}` });
    card.append(element("h2", title, { id: `tier-${key}` }));
    const list = element("dl");
    const values = GAUGES.map(([name], i) => {
      const group = element("div");
      const value = element("dd", "–", { "data-gauge": name, id: `${key}-${i}` });
      group.append(element("dt", name), value);
      list.append(group);
      return value;
    });
    const curve = document.createElementNS(SVG, "svg");
    curve.setAttribute("viewBox", `0 -2 ${WIDTH} ${HEIGHT + 4}`);
    curve.setAttribute("preserveAspectRatio", "none");
    curve.setAttribute("role", "img");
    const paths = ["ceiling", "used", "waits"].map((name) => {
      const path = document.createElementNS(SVG, "path");
      path.setAttribute("class", name);
      curve.append(path);
      return path;
    });
    const legend = element("p", undefined, { class: "key" });
    legend.append(
      element("b", "in use", { class: "used" }), " and ",
      element("b", "waiting (dashed)", { class: "waits" }), ", the last five minutes; the thin line is the ceiling",
    );
    card.append(list, curve, legend);
    at("tiers").append(card);
    cards.set(key, { values, curve, paths });
  };

  const line = (points, most) =>
    points.map((value, i) => {
      const x = WIDTH - points.length + i + 1;
      const y = HEIGHT - (HEIGHT * value) / most;
      return `${i ? "L" : "M"}${x} ${y.toFixed(1)}`;
    }).join("");

  const drawCurves = (history) => {
    for (const [key] of TIERS) {
      const { curve, paths } = cards.get(key);
      const samples = history.samples.map((sample) => sample[key]);
      const columns = ["ceiling", "in_use", "waiting"].map((name) => samples.map((sample) => sample[name]));
      const most = Math.max(1, ...columns.flat());
      columns.forEach((column, i) => paths[i].setAttribute("d", line(column, most)));
      const peak = (column) => Math.max(0, ...column);
      curve.setAttribute("aria-label",
        `In use at the most ${peak(columns[1])}, waiting at the most ${peak(columns[2])}, within ${samples.length} s`);
    }
  };

  const row = (cells) => {
    const made = element("tr");
    for (const [name, text] of cells) made.append(element("td", text, { "data-name": name }));
    return made;
  };

  const people = (lists, cells) =>
    TIERS.flatMap(([key, title]) => lists[key].map((one, i) => row(cells(one, title, i))));

  const fill = (body, rows, caption, told) => {
    at(body).replaceChildren(...rows.slice(0, ROWS_SHOWN));
    const rest = rows.length > ROWS_SHOWN ? `, the first ${ROWS_SHOWN} are shown` : "";
    say(at(caption), told + rest);
  };

  const draw = (now, history) => {
    const verdict = at("verdict");
    verdict.dataset.verdict = now.verdict;
    say(verdict, now.message);
    for (const [key] of TIERS) {
      cards.get(key).values.forEach((value, i) => say(value, String(GAUGES[i][1](now[key]))));
    }
    drawCurves(history);
    const held = people(now.holders, (one, tier) => [
      ["Tier", tier], ["Thread", one.thread], ["Line", one.location], ["Tag", one.tag ?? "–"],
      ["For", seconds(one.held_seconds)],
    ]);
    fill("held", held, "holding", held.length ? `${held.length} out` : "Nobody has one.");
    const queued = people(now.queues, (one, tier, i) => [
      ["Tier", tier], ["Place", String(i + 1)], ["Thread", one.thread], ["Line", one.location],
      ["For", seconds(one.waited_seconds)],
    ]);
    fill("queued", queued, "queueing", queued.length ? `${queued.length} waiting` : "Nobody waits.");
  };

  // With the token of this turn: meanwhile another may have been given.
  const ask = async (path, told) => {
    const headers = told === null ? {} : { Authorization: `Bearer ${told}` };
    const options = { headers, cache: "no-store", signal: AbortSignal.timeout(PATIENCE_MS) };
    const answer = await fetch(path, options);
    if (answer.status === 401) {
      say(at("refused"), told === null ? "" : "That is not the token.");
      if (at("ask").hidden) {
        at("ask").hidden = false;
        at("token").focus();
      }
      throw new Error("the token is wanted");
    }
    if (!answer.ok) throw new Error(`the server says ${answer.status}`);
    at("ask").hidden = true;
    return answer.json();
  };

  const age = (problem) => {
    const ago = answeredAt === null ? "no answer yet" : `answered ${seconds((Date.now() - answeredAt) / 1000)} ago`;
    say(at("age"), problem ? `${problem.message}; ${ago}` : paused ? `paused; ${ago}` : "live");
  };

  const look = async (told) => {
    const paths = ["/admin/metrics/database", "/admin/metrics/history"];
    const [now, history] = await Promise.all(paths.map((path) => ask(path, told)));
    answeredAt = Date.now();
    draw(now, history);
  };

  const turn = async () => {
    const told = token;
    const wanted = !paused && !document.hidden && (at("ask").hidden || told !== null);
    try {
      if (wanted) await look(told);
      age();
    } catch (problem) {
      if (!at("ask").hidden && token === told) token = null;
      age(problem);
    }
    setTimeout(turn, EVERY_MS);
  };

  at("pause").addEventListener("click", () => {
    paused = !paused;
    at("pause").setAttribute("aria-pressed", String(paused));
    age();
  });
  at("ask").addEventListener("submit", (event) => {
    event.preventDefault();
    token = at("token").value;
    at("token").value = "";
  });
  for (const [key, title] of TIERS) makeCard(key, title);
  turn();
})();
