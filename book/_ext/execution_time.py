"""Sphinx extension: the role {execution-time} says how long a page's code took in this build.

{execution-time}`3_invariance_cycle` names a page. Any other text means the page that it stands on, and is what
JupyterLab shows in its place: "The code took {execution-time}`a few seconds` to run".
"""

from typing import Any

from docutils import nodes
from myst_nb.sphinx_ import NbMetadataCollector
from sphinx.application import Sphinx
from sphinx.transforms.post_transforms import SphinxPostTransform
from sphinx.util.docutils import SphinxRole


class PendingTime(nodes.Inline, nodes.Element):
    """Stands where the time will be, once every notebook has run."""


class ExecutionTime(SphinxRole):
    """The role: remembers whose time is wanted."""

    def run(self) -> tuple[list[nodes.Node], list[nodes.system_message]]:
        """Leave a placeholder."""
        page = self.text if self.text in self.env.found_docs else self.env.docname
        return [PendingTime(page=page)], []


class FillIn(SphinxPostTransform):
    """Replaces placeholders by measured times."""

    default_priority = 8

    def run(self, **kwargs: Any) -> None:
        """One phrase a placeholder; a page that was not executed has no time."""
        for node in list(self.document.findall(PendingTime)):
            result = NbMetadataCollector.get_exec_data(self.env, node["page"])
            seconds = result["runtime"] if result else None
            node.replace_self(nodes.Text("an unknown time" if seconds is None else phrase(seconds)))


def phrase(seconds: float) -> str:
    """Seconds in words: "8 seconds", "1 minute 35 seconds"."""
    minutes, rest = divmod(max(1, round(seconds)), 60)
    parts = [(minutes, "minute"), (rest, "second")]
    return " ".join(f"{n} {word}{'s' * (n != 1)}" for n, word in parts if n)


def setup(app: Sphinx) -> dict[str, Any]:
    """Connect to Sphinx."""
    app.add_node(PendingTime)
    app.add_role("execution-time", ExecutionTime())
    app.add_post_transform(FillIn)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
