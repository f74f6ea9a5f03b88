// A line of the last values, drawn as SVG; it fits into whatever room it is given.

const SVG = "http://www.w3.org/2000/svg";
const WIDTH = 100;
const HEIGHT = 40;
const ROOM = 3; // above and below the line, so that its width is not cut

/** Draw values, the oldest first, into an <svg class="chart">. */
export function draw(svg, values) {
  const least = Math.min(...values);
  const spread = Math.max(...values) - least || 1;
  const step = WIDTH / Math.max(values.length - 1, 1);
  const points = values.map((value, index) => [
    index * step,
    HEIGHT - ROOM - ((value - least) / spread) * (HEIGHT - 2 * ROOM),
  ]);
  if (points.length === 1) points.push([WIDTH, points[0][1]]);
  const line = points.map((point) => point.map((each) => each.toFixed(2)).join(",")).join(" ");
  svg.setAttribute("viewBox", `0 0 ${WIDTH} ${HEIGHT}`);
  svg.setAttribute("preserveAspectRatio", "none");
  shape(svg, "polygon", "area").setAttribute("points", `0,${HEIGHT} ${line} ${WIDTH},${HEIGHT}`);
  shape(svg, "polyline", "stroke").setAttribute("points", line);
}

/** Make the <svg> of a chart; it is for the eye: what it shows stands beside it as text. */
export function makeChart() {
  const svg = document.createElementNS(SVG, "svg");
  svg.setAttribute("class", "chart");
  svg.setAttribute("aria-hidden", "true");
  return svg;
}

function shape(svg, kind, name) {
  let found = svg.querySelector(`.${name}`);
  if (!found) {
    found = document.createElementNS(SVG, kind);
    found.setAttribute("class", name);
    svg.append(found);
  }
  return found;
}
