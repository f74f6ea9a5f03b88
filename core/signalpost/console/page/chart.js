// A small chart of the last minute, drawn as SVG.

const SVG = "http://www.w3.org/2000/svg";
const WIDTH = 120;
const HEIGHT = 28;

/** Make an empty chart. */
export function chart() {
  const picture = document.createElementNS(SVG, "svg");
  picture.setAttribute("viewBox", `0 0 ${WIDTH} ${HEIGHT}`);
  picture.setAttribute("class", "chart");
  picture.setAttribute("preserveAspectRatio", "none");
  picture.setAttribute("aria-hidden", "true"); // the figure beside it says it
  for (const name of ["area", "curve"]) {
    const shape = document.createElementNS(SVG, "path");
    shape.setAttribute("class", name);
    picture.append(shape);
  }
  return picture;
}

/** Draw values, oldest first; the newest is at the right edge, and the largest at the top. */
export function draw(picture, values, most) {
  const [area, curve] = picture.children;
  if (values.length < 2) {
    area.setAttribute("d", "");
    curve.setAttribute("d", "");
    return;
  }
  const top = Math.max(1, ...values);
  const step = WIDTH / (most - 1);
  const begin = WIDTH - step * (values.length - 1);
  const points = values.map((value, index) => {
    const across = begin + index * step;
    const down = HEIGHT - 1.5 - (value / top) * (HEIGHT - 3);
    return `${across.toFixed(1)} ${down.toFixed(1)}`;
  });
  curve.setAttribute("d", `M${points.join("L")}`);
  area.setAttribute("d", `M${points.join("L")}L${WIDTH} ${HEIGHT}L${begin.toFixed(1)} ${HEIGHT}Z`);
}
