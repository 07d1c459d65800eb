// The panel: routes as rows, and why the learned one costs what it costs.

/** An element with properties and children. */
export function make(tag, properties = {}, ...children) {
  const made = Object.assign(document.createElement(tag), properties);
  made.append(...children.filter((child) => child !== null && child !== undefined));
  return made;
}

export function minutes(seconds) {
  if (seconds === null || seconds === undefined) return "";
  if (seconds < 3570) return `${Math.max(1, Math.round(seconds / 60))} min`;
  const all = Math.round(seconds / 60);
  return `${Math.floor(all / 60)} h ${String(all % 60).padStart(2, "0")}`;
}

export function kilometres(metres) {
  if (metres === null || metres === undefined) return "";
  return metres < 950 ? `${Math.round(metres / 10) * 10} m` : `${(metres / 1000).toFixed(1)} km`;
}

export function percent(probability) {
  if (probability === null || probability === undefined) return "";
  if (probability >= 0.0995) return `${Math.round(probability * 100)} %`;
  if (probability >= 0.001) return `${(probability * 100).toFixed(1)} %`;
  return probability > 0 ? "under 0.1 %" : "0 %";
}

/** One route: {kind, title, time, length, via}, and once they are known {probability, share, shareError}. */
export function routeRow(route, isChosen, onChoose) {
  const row = make("button", { type: "button", className: `route ${route.kind}${isChosen ? " chosen" : ""}`, onclick: onChoose });
  row.append(
    make("i"),
    make("span", { className: "what", textContent: route.title }),
    make("span", { className: "time", textContent: minutes(route.time) }),
    make("small", { textContent: [kilometres(route.length), route.via].filter(Boolean).join(" · ") }),
  );
  if (typeof route.share === "number") {
    row.append(make("small", { className: "share", textContent: percent(route.share) }));
    const bar = make("span");
    bar.style.width = `${100 * route.share}%`;
    row.append(make("div", { className: "bar" }, bar));
    row.title = `${percent(route.share)} of travellers go by a route like this (± ${percent(route.shareError)})`;
  }
  if (isChosen && typeof route.probability === "number") {
    row.append(make("small", { className: "very", textContent: `this very route: ${percent(route.probability)}` }));
  }
  return row;
}

const WORDS = {
  travel_time_min: "minutes",
  is_left: "left turns",
  is_right: "right turns",
  is_uturn: "U-turns",
  constant: "each street",
  length_km: "kilometres",
};

/** Cost by feature of two routes of one trip, and the difference as a bar: to the left what the first one saves. */
export function explanationTable(explanation) {
  const one = explanation.routes.find((route) => route.name !== "fastest");
  const other = explanation.routes.find((route) => route.name === "fastest");
  if (!one || !other) return null;
  const rows = explanation.rows.map((name, at) => ({ name, one: one.terms[at], other: other.terms[at] }))
    .filter((row) => Math.abs(row.one) > 5e-4 || Math.abs(row.other) > 5e-4);
  const widest = Math.max(...rows.map((row) => Math.abs(row.one - row.other)), 1e-9);
  const head = make("tr", {}, make("th", { textContent: "cost of" }),
    ...[["learned", one.name], ["fastest", "fastest"]].map(([kind, name]) => make("th", { className: kind }, make("b"), name)),
    make("th", { textContent: "saves | pays" }));
  const body = rows.map((row) => line(WORDS[row.name] ?? row.name.replace("class:", ""), row.one, row.other, widest));
  const total = line("together", one.cost, other.cost, null);
  total.className = "total";
  return make("table", {}, make("thead", {}, head), make("tbody", {}, ...body, total));
}

function line(name, one, other, widest) {
  const gap = one - other;
  const cell = make("td", { className: "gap" });
  const holder = make("div");
  if (widest !== null && Math.abs(gap) > 5e-4) {
    const bar = make("span", { className: gap < 0 ? "saves" : "pays" });
    const width = 20 * Math.abs(gap) / widest;
    bar.style.width = `${Math.max(width, 1)}%`;
    const label = make("em", { textContent: signed(gap) });
    label.style[gap < 0 ? "right" : "left"] = `${52 + width}%`;
    holder.append(bar, label);
  } else if (widest === null) {
    const label = make("em", { textContent: signed(gap) });
    label.style[gap < 0 ? "right" : "left"] = "54%";
    holder.append(label);
  }
  cell.append(holder);
  return make("tr", {}, make("td", { textContent: name, title: name }), make("td", { textContent: one.toFixed(2) }),
    make("td", { textContent: other.toFixed(2) }), cell);
}

function signed(value) {
  if (Math.abs(value) < 5e-3) return "0";
  return `${value < 0 ? "−" : "+"}${Math.abs(value).toFixed(2)}`;
}
