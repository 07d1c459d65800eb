// The map: roads of the visible box where there are no tiles, two pins, and the routes.

import { ask } from "./ask.js";

const L = window.L;
const RANKS = [ // casing width, fill width, casing, fill: motorways first
  [6.5, 4.6, "#cf9b55", "#f3cf94"],
  [6, 4.2, "#d3a866", "#f6dba9"],
  [5.4, 3.8, "#d6c08f", "#faeccb"],
  [4.8, 3.3, "#d5cfc2", "#ffffff"],
  [4.2, 2.9, "#d8d3c8", "#ffffff"],
  [2.6, 1.7, "#ddd8ce", "#ffffff"],
];

export class RouteMap {
  constructor(element, network, onClick, onDrag) {
    this.map = L.map(element, { zoomControl: false, preferCanvas: true, zoomSnap: 0.25, boxZoom: false });
    L.control.zoom({ position: "topright" }).addTo(this.map);
    L.control.scale({ position: "bottomright", imperial: false }).addTo(this.map);
    this.map.attributionControl.setPrefix('<a href="https://leafletjs.com">Leaflet</a>');
    for (const name of ["roads", "routes"]) this.map.createPane(name).style.zIndex = name === "roads" ? 300 : 420;
    this.roadCanvas = L.canvas({ pane: "roads", padding: 0.4 });
    this.routeCanvas = L.svg({ pane: "routes", padding: 0.6 });
    this.roads = L.layerGroup().addTo(this.map);
    this.routes = L.layerGroup().addTo(this.map);
    this.pins = {};
    this.onDrag = onDrag;
    this.map.on("click", (event) => onClick(event.latlng.wrap()));
    this.showNetwork(network);
  }

  showNetwork(network) {
    const [west, south, east, north] = network.bounds;
    this.map.fitBounds([[south, west], [north, east]]);
    if (network.attribution) this.map.attributionControl.addAttribution(asText(network.attribution));
    if (network.tiles) {
      L.tileLayer(network.tiles, { attribution: asText(network.tiles_attribution), maxZoom: 20 }).addTo(this.map);
      return;
    }
    this.map.on("moveend", () => this.loadRoads());
    this.loadRoads();
  }

  async loadRoads() {
    this.loading?.abort();
    this.loading = new AbortController();
    const box = this.map.getBounds().pad(0.25);
    const corners = [box.getWest(), box.getSouth(), box.getEast(), box.getNorth()].map((one) => one.toFixed(5));
    corners[1] = Math.max(corners[1], -90);
    corners[3] = Math.min(corners[3], 90);
    try {
      const found = await ask(`v1/roads?bbox=${corners}&zoom=${this.map.getZoom()}`, this.loading.signal);
      this.drawRoads(found);
    } catch (error) {
      if (error.name !== "AbortError") console.warn(error.message);
    }
  }

  drawRoads(found) {
    this.roads.clearLayers();
    const scale = Math.min(Math.max(1.25 ** (this.map.getZoom() - 14), 0.3), 2.6);
    for (const part of [0, 1]) {
      for (const { geometry, properties } of found.features) {
        const [casing, fill, edge, colour] = RANKS[properties.rank];
        const line = geometry.coordinates.map((points) => points.map(([x, y]) => [y, x]));
        const isThin = fill * scale < 1.1;
        if (part === 1 && isThin) continue; // a casing alone reads better than a hair of white
        const style = part === 0 ? { color: edge, weight: isThin ? Math.max(fill * scale, 0.6) : casing * scale } : { color: colour, weight: fill * scale };
        L.polyline(line, { ...style, renderer: this.roadCanvas, interactive: false, smoothFactor: 0.6 }).addTo(this.roads);
      }
    }
  }

  setPin(name, place) {
    this.pins[name]?.remove();
    delete this.pins[name];
    if (!place) return;
    const letter = Object.assign(document.createElement("b"), { className: `pin ${name}`, textContent: name === "from" ? "A" : "B" });
    const icon = L.divIcon({ className: "", html: letter, iconSize: [28, 28] });
    this.pins[name] = L.marker(place, { icon, draggable: true, keyboard: false }).addTo(this.map);
    this.pins[name].on("dragend", (event) => this.onDrag(name, event.target.getLatLng().wrap()));
  }

  /** Routes in drawing order: {colour, line, width, dash, onClick}; a white edge sets each off from what lies below. */
  drawRoutes(routes) {
    this.routes.clearLayers();
    for (const route of routes) {
      const points = route.line.map(([x, y]) => [y, x]);
      const common = { renderer: this.routeCanvas, lineCap: "round", lineJoin: "round" };
      L.polyline(points, { ...common, color: "#fff", weight: route.width + 3.5, opacity: 0.9, interactive: false }).addTo(this.routes);
      const line = L.polyline(points, { ...common, color: route.colour, weight: route.width, dashArray: route.dash, bubblingMouseEvents: false });
      line.on("click", route.onClick).addTo(this.routes);
    }
  }

  /** Bring routes into view, beside the panel. */
  show(lines, panel) {
    const points = lines.flat().map(([x, y]) => [y, x]);
    if (!points.length) return;
    const { width, height, left } = panel.getBoundingClientRect();
    const isBeside = width < window.innerWidth * 0.7;
    this.map.fitBounds(points, {
      paddingTopLeft: [isBeside ? left + width + 40 : 40, 40],
      paddingBottomRight: [60, isBeside ? 60 : height + 30],
      maxZoom: 17,
    });
  }
}

/** Leaflet takes HTML for an attribution; what comes from settings is text. */
function asText(text) {
  const holder = document.createElement("span");
  holder.textContent = text;
  return holder.innerHTML;
}
