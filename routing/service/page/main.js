// What happens when: clicks, answers, the address bar.

import { ask, askTrip } from "./ask.js";
import { RouteMap } from "./map.js";
import { explanationTable, make, percent, routeRow } from "./panel.js";

const byId = (name) => document.getElementById(name);
const panel = byId("panel"), answers = byId("answers"), errorBox = byId("error"), metricChoice = byId("metric");
const colour = (kind) => getComputedStyle(document.documentElement).getPropertyValue(`--${kind}`).trim();
const OTHERS = ["other-1", "other-2", "other-3", "other-4"];

const state = { from: null, to: null, metrics: [], metric: "", chosen: "learned", routes: [], explanation: null, notes: [], isWaiting: false };
let map = null, running = null;

function fail(message) {
  errorBox.textContent = message;
  errorBox.hidden = !message;
}

function readPlace(text) {
  const parts = text.split(",").map((part) => Number.parseFloat(part));
  if (parts.length !== 2 || !parts.every(Number.isFinite) || Math.abs(parts[0]) > 90 || Math.abs(parts[1]) > 180) return null;
  return { lat: parts[0], lng: parts[1] };
}

const writePlace = (place) => (place ? `${place.lat.toFixed(5)},${place.lng.toFixed(5)}` : "");

function setPlace(name, place) {
  state[name] = place && { lat: Number(place.lat.toFixed(5)), lng: Number(place.lng.toFixed(5)) };
  byId(name).value = writePlace(state[name]);
  map.setPin(name, state[name]);
}

function remember() {
  const query = [["from", writePlace(state.from)], ["to", writePlace(state.to)]].filter(([, value]) => value);
  if (state.metric !== state.metrics[0]?.name) query.push(["metric", encodeURIComponent(state.metric)]);
  history.replaceState(null, "", query.length ? `?${query.map((pair) => pair.join("=")).join("&")}` : location.pathname);
}

function onClick(place) {
  if (!state.from || state.to) {
    setPlace("from", place);
    setPlace("to", null);
  } else {
    setPlace("to", place);
  }
  refresh(true);
}

async function refresh(shouldShow) {
  remember();
  fail("");
  running?.abort();
  answers.classList.remove("waiting");
  if (!state.from || !state.to) {
    state.routes = [];
    map.drawRoutes([]);
    answers.replaceChildren(make("p", { className: "hint", textContent: state.from ? "Now click a destination." : "Click the map where a trip starts." }));
    return;
  }
  running = new AbortController();
  const { signal } = running;
  answers.classList.add("waiting");
  const hasFastest = state.metrics.some((one) => one.name === "fastest");
  const trip = askTrip(state.from, state.to, state.metric, hasFastest, signal);
  const later = [trip.alternatives.then(addAlternatives), trip.explanation.then((found) => { state.explanation = found; })];
  const settled = Promise.allSettled(later);
  try {
    readRoutes(await trip.learned, await trip.fastest.catch(() => null));
    draw();
    answers.classList.remove("waiting");
    if (shouldShow) showTrip();
  } catch (error) {
    if (signal.aborted) return;
    answers.classList.remove("waiting");
    state.routes = [];
    map.drawRoutes([]);
    answers.replaceChildren();
    fail(error.message);
    return;
  }
  const [alternatives, explanation] = await settled;
  if (signal.aborted) return;
  state.isWaiting = false;
  if (alternatives.reason) state.notes.push(`No alternatives: ${alternatives.reason.message}`);
  if (explanation.reason) state.notes.push(`No explanation: ${explanation.reason.message}`);
  draw();
  if (shouldShow) showTrip();
}

function showTrip() {
  const pins = [state.from, state.to].map((place) => [[place.lng, place.lat]]);
  map.show([...state.routes.map((route) => route.line), ...pins], panel);
}

const isSame = (one, other) => JSON.stringify(one.line) === JSON.stringify(other.line);

function readRoutes(learned, fastest) {
  const first = read("learned", state.metric, learned.routes[0]);
  Object.assign(state, { routes: [first], notes: [], explanation: null, isWaiting: true, version: learned.routes[0].trodden.version });
  if (!fastest) return;
  const other = read("fastest", "fastest", fastest.routes[0]);
  if (isSame(first, other)) state.notes.push("The fastest route is the same.");
  else state.routes.push(other);
}

function addAlternatives(found) {
  let unused = 0;
  for (const one of found.alternatives) {
    const facts = { probability: one.probability, share: one.share, shareError: one.share_error };
    const route = { kind: OTHERS[unused], title: "Alternative", line: one.geometry.coordinates, time: one.travel_time_s, length: one.length_m, via: "", ...facts };
    const known = state.routes.find((other) => isSame(route, other));
    if (known) Object.assign(known, facts);
    else if (unused < OTHERS.length) { state.routes.push(route); unused += 1; }
  }
  if (found.share_of_others > 0.005) state.notes.push(`${percent(found.share_of_others)} of travellers go by none of these.`);
  if (found.note) state.notes.push(`No probabilities: ${found.note}`);
}

function read(kind, title, route) {
  return {
    kind,
    title: title.charAt(0).toUpperCase() + title.slice(1).replaceAll("_", " "),
    line: route.geometry.coordinates,
    time: route.duration,
    length: route.distance,
    via: route.legs[0].summary && `by ${route.legs[0].summary}`,
  };
}

function draw() {
  const choose = (kind) => () => { state.chosen = kind; draw(); };
  if (!state.routes.some((route) => route.kind === state.chosen)) state.chosen = "learned";
  const inOrder = [...state.routes].reverse().sort((one, other) => (one.kind === state.chosen) - (other.kind === state.chosen));
  map.drawRoutes(inOrder.map((route) => ({
    line: route.line,
    colour: colour(route.kind),
    width: route.kind === state.chosen ? 6.5 : 4.5,
    dash: route.kind.startsWith("other") && route.kind !== state.chosen ? "1 8" : null,
    onClick: choose(route.kind),
  })));
  const rows = state.routes.map((route) => routeRow(route, route.kind === state.chosen, choose(route.kind)));
  const notes = state.isWaiting ? [...state.notes, "Working out how likely each is …"] : state.notes;
  const parts = [make("section", {}, ...rows, ...notes.map((note) => make("p", { className: "note", textContent: note })))];
  const table = state.explanation && explanationTable(state.explanation.explanation);
  if (table) parts.push(make("section", {}, make("h2", { textContent: "Why this route" }), table));
  answers.replaceChildren(...parts);
  footer();
}

function footer() {
  const network = state.network;
  const simulated = network.is_simulated ? make("strong", { textContent: "Learned from simulated routes. " }) : null;
  const version = state.version ? `${state.metric}, version ${state.version} · ` : "";
  byId("footer").replaceChildren(...[simulated, `${version}${network.num_edges.toLocaleString("en")} edges · trodden ${network.version}`].filter(Boolean));
}

function offerMetrics(wanted) {
  state.metric = state.metrics.some((one) => one.name === wanted) ? wanted : state.metrics[0].name;
  metricChoice.replaceChildren(...state.metrics.map((one) => make("option", { value: one.name, textContent: one.name.replaceAll("_", " ") })));
  metricChoice.value = state.metric;
  metricChoice.hidden = state.metrics.length < 2;
  metricChoice.onchange = () => { state.metric = metricChoice.value; refresh(false); };
}

function listen() {
  byId("points").onsubmit = (event) => {
    event.preventDefault();
    for (const name of ["from", "to"]) {
      const text = byId(name).value.trim();
      const place = readPlace(text);
      if (text && !place) { fail(`"${text}" is not latitude,longitude`); return; }
      setPlace(name, place);
    }
    refresh(true);
  };
  byId("swap").onclick = () => {
    const { from, to } = state;
    setPlace("from", to);
    setPlace("to", from);
    refresh(false);
  };
}

async function begin() {
  const query = new URLSearchParams(location.search);
  try {
    const [network, { metrics }] = await Promise.all([ask("v1/network"), ask("v1/metrics")]);
    Object.assign(state, { network, metrics });
    if (!network.bounds) throw new Error("This network has no coordinates, so there is no map of it. Its routes are answered by edge and node ids: see v1/routes.");
    map = new RouteMap(byId("map"), network, onClick, (name, place) => { setPlace(name, place); refresh(false); });
    offerMetrics(query.get("metric"));
    listen();
    footer();
    for (const name of ["from", "to"]) setPlace(name, readPlace(query.get(name) ?? ""));
    document.body.dataset.ready = "true";
    await refresh(true);
  } catch (error) {
    fail(error.message);
  }
  document.body.dataset.done = "true";
}

begin();
