// SVG by hand: elements, and the bones of a body in the book's colours and line styles.

const SVG = "http://www.w3.org/2000/svg";
export const DASHES = {left: "7 5", right: "none", middle: "none"};  // the left side is dashed, as in every figure

/** An SVG element with attributes, appended to its parent. */
export function add(parent, tag, attributes = {}) {
  const element = parent.appendChild(document.createElementNS(SVG, tag));
  set(element, attributes);
  return element;
}

/** Several attributes at once. */
export function set(element, attributes) {
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
}

/** One line for each bone; gives a function that moves them to points [x, y, ...] in drawing units. */
export function addBones(parent, {bones, colours}, look = {}) {
  const group = add(parent, "g", {fill: "none", "stroke-linecap": "butt"});
  const lines = bones.map(({side}) => add(group, "line", {
    stroke: colours[side], "stroke-dasharray": DASHES[side], "stroke-width": 3.5, ...look,
  }));
  const move = (points) => lines.forEach((line, k) => {
    const [from, to] = bones[k].ends.map((joint) => points[joint]);
    set(line, {x1: round(from[0]), y1: round(from[1]), x2: round(to[0]), y2: round(to[1])});
  });
  return {group, lines, move};
}

/** Drawing units with the digits that a screen can show. */
export const round = (value) => Math.round(value * 100) / 100;
