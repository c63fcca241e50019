// Text that a reader pastes to a 2D pose of 17 joints: numbers in any layout, JSON or not.

import {relativeTo, sizeOf} from "./geometry.js";

/** A fault of the text, in words for the reader. */
export class KeypointError extends Error {}

/**
 * A pasted person as the networks want it: root at the origin, of the size that people have in training pictures.
 *
 * @param text 17 joints as x y or x y score, in any brackets and separators; or a COCO annotation in JSON.
 * @param order "h36m17" or "coco17".
 * @param upwards whether y points up.
 * @param body of lifter.json: joints, coco, root, prior.
 * @returns {image, note}: (17) [u, v], and what the reader should know about it.
 */
export function personFrom(text, order, upwards, body) {
  const {numbers, note} = numbersIn(text);
  const coco = order === "coco17", names = coco ? body.coco.joints : body.joints, n = names.length;
  if (numbers.length !== 2 * n && numbers.length !== 3 * n) {
    throw new KeypointError(`Found ${numbers.length} numbers; expected ${2 * n} (x and y of ${n} joints) ` +
      `or ${3 * n} (x, y and a score).`);
  }
  const width = numbers.length / n;
  const rows = names.map((_, k) => numbers.slice(width * k, width * (k + 1)));
  const used = (k) => !coco || body.coco.matrix.some((row) => row[k] !== 0);
  const missing = names.filter((_, k) => used(k) && !isThere(rows[k], coco));
  if (missing.length) {
    throw new KeypointError(`Not found by the detector: ${missing.join(", ")}. Fill in these joints; the networks need all.`);
  }
  const points = rows.map(([x, y]) => [x, upwards ? -y : y]);
  const joints = coco ? body.coco.matrix.map((row) => [0, 1].map((k) =>
    row.reduce((sum, weight, j) => sum + (weight ? weight * points[j][k] : 0), 0))) : points;
  const size = sizeOf(joints, body.prior);
  if (!(size > 0)) throw new KeypointError("All joints lie in one place.");
  const image = relativeTo(body.root, joints).map((point) => point.map((v) => v / size * body.prior.size));
  const stands = image[body.head][1] < 0;
  return {image, note: note + (stands ? "" : " The head lies below the hip: does y point up in your numbers?")};
}

/** All numbers of a text, and a remark. */
function numbersIn(text) {
  let found;
  try {
    found = JSON.parse(text);
  } catch {
    const words = text.split(/[\s,;:[\](){}"']+/).filter(Boolean);
    const gone = words.find((word) => /^(nan|null|none|inf)$/i.test(word));
    if (gone) throw new KeypointError(`Found "${gone}"; the networks need every joint.`);
    return {numbers: words.map(Number).filter(Number.isFinite), note: ""};
  }
  const people = found?.annotations ?? found;
  let note = "", person = people;
  if (Array.isArray(people) && people.length && typeof people[0] === "object" && !Array.isArray(people[0])) {
    if (people.length > 1) note = `${people.length} people found; this is the first. `;
    person = people[0];
  }
  const values = [person?.keypoints ?? person].flat(Infinity);
  if (!values.every((value) => typeof value === "number")) {
    throw new KeypointError("Found JSON that is neither a list of numbers nor an object with \"keypoints\".");
  }
  return {numbers: values, note};
}

/** Whether a row is a joint that somebody saw. In COCO's order zeros mark the others; elsewhere the root may be there. */
function isThere([x, y, score], coco) {
  return score === undefined ? !coco || x !== 0 || y !== 0 : score > 0;
}
