"""Fit the shape prior anew: ``python -m ites_core.lifting.fit`` writes the package's file (chapter 7)."""

from __future__ import annotations

from pathlib import Path

from ites_core.camera import Normalisation
from ites_core.data import load_motion, make_views
from ites_core.lifting.prior import FILE, ShapePrior, fit_prior

STRIDE = 10  # frames in a row look alike


def fit(data: str = "cmu17", out: Path = FILE) -> ShapePrior:
    """Fit the prior to the training views of a data set, and write it.

    Args:
        data: a mocap archive, or the name of a data set.
        out: the file to write.

    Raises:
        ItesError: data that are not here.
    """
    views = make_views(load_motion(data).part("train"), seed=0, stride=STRIDE)
    units = Normalisation.fit(views.image, views.mean_distance).apply(views.image)
    prior = fit_prior(units.double().numpy(), views.pose.double().numpy())
    prior.write(out)
    return prior


if __name__ == "__main__":
    import tyro

    made = tyro.cli(fit)
    print(f"size {made.size:.4f} units a metre, lengths {made.lengths.round(3)} m")
