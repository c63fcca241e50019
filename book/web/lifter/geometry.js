// The little geometry that the page needs. Points are [x, y, z]: x right, y down, z away from the camera; units.

/** Pinhole camera, as ites_core.camera.project: [x, y, z] to [u, v]. */
export function project([x, y, z], {distance, nearest}) {
  const depth = Math.max(nearest, distance + z);
  return [x / depth, y / depth];
}

/** The twin of a pose: every depth with the other sign, as ites_core.metrics.depth_mirror. */
export const depthMirror = (pose) => pose.map(([x, y, z]) => [x, y, -z]);

/** Coordinates relative to the root joint. */
export function relativeTo(root, points) {
  return points.map((point) => point.map((value, k) => value - points[root][k]));
}

/**
 * How large a person is in a picture, by the bones, as ites_core.lifting.prior: seen askew a bone only gets shorter, so
 * those that look longest for their kind tell. The very longest is left out, since a stray joint makes one long.
 */
export function sizeOf(points, {segments, lengths, dropped, averaged}) {
  const quotients = segments.map(([a, b], k) =>
    Math.hypot(points[a][0] - points[b][0], points[a][1] - points[b][1]) / lengths[k]);
  const taken = quotients.sort((a, b) => b - a).slice(dropped, dropped + averaged);
  return taken.reduce((sum, quotient) => sum + quotient, 0) / taken.length;
}

/** The joints that hang on a joint, itself included, in a tree given by each joint's parent. */
export function hangingOn(joint, parents) {
  const found = [joint];
  parents.forEach((parent, child) => { if (found.includes(parent)) found.push(child); });  // parents come first
  return found;
}

/**
 * A viewer who walks round the body: turned about the vertical by `turn` radians, seen from `rise` radians above.
 * Gives [right, down, behind] of each point, for a drawing without perspective.
 */
export function view(points, turn, rise) {
  const [c, s, cr, sr] = [Math.cos(turn), Math.sin(turn), Math.cos(rise), Math.sin(rise)];
  return points.map(([x, y, z]) => {
    const right = x * c + z * s, behind = z * c - x * s;
    return [right, y * cr - behind * sr, behind * cr + y * sr];
  });
}
