"""Properties of the numbers, on a few examples each; the campaign ``numbers`` tries thousands.

``tests/campaigns/properties`` says what holds, and within which tolerance: projection and its inverse, rotations, what
each metric must and must not notice, left and right exchanged, extreme input, threads.
"""

from __future__ import annotations

import pytest

from tests.campaigns.numbers import PROPERTIES
from tests.campaigns.properties.base import Property, examine

EXAMPLES = 24


@pytest.mark.parametrize("subject", [p for _, p in PROPERTIES], ids=lambda p: p.name)
def test_property(subject: Property) -> None:
    found = examine(subject, max(3, EXAMPLES // subject.cost))
    assert found.survived == found.tried, (
        f"{subject.name}: {found.worst:.3g} beside a tolerance of {subject.tolerance:g} at {found.where}"
    )


def test_every_property_has_a_name_of_its_own() -> None:
    names = [p.name for _, p in PROPERTIES]
    assert len(set(names)) == len(names)
