// What the page asks of the service. All addresses are relative, so that the page works below any prefix.

/** The JSON at an address; an Error with the service's own message where it refuses. */
export async function ask(address, signal) {
  let response, answer;
  try {
    response = await fetch(address, { signal });
    answer = await response.json();
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Error("The service does not answer. Is it still running?");
  }
  if (!response.ok) throw new Error(answer.message || `The service answered ${response.status}.`);
  return answer;
}

/** Four questions about one trip, asked at once, each a promise: plain routes come in milliseconds, the rest later. */
export function askTrip(from, to, metric, hasFastest, signal) {
  const route = (name, options) => `route/v1/${encodeURIComponent(name)}/${from.lng},${from.lat};${to.lng},${to.lat}` +
    `?overview=full&geometries=geojson${options}`;
  const between = new URLSearchParams({ from: `${from.lat},${from.lng}`, to: `${to.lat},${to.lng}`, metric });
  return {
    learned: ask(route(metric, "&steps=true"), signal),
    fastest: hasFastest && metric !== "fastest" ? ask(route("fastest", "&steps=true"), signal) : Promise.resolve(null),
    alternatives: ask(`v1/alternatives?k=4&${between}`, signal),
    explanation: ask(`v1/explain?${between}`, signal),
  };
}
