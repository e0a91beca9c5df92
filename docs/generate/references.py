"""References in docstrings by the short name: `Dataset` in place of `ecglib.Dataset`."""

from typing import Any

from docutils import nodes
from sphinx.util.nodes import make_refnode

KINDS = ("class", "exception", "function")


def resolve_name(app: Any, env: Any, node: Any, content: nodes.Element) -> nodes.Element | None:
    """Return a link to the page of a name, if exactly one function or class has it."""
    name = node["reftarget"].rpartition(".")[2]
    # One word in small letters, such as `train`, may be anything: a split, a folder, an argument.
    if node.get("refdomain") != "py" or (name.islower() and "_" not in name):
        return None
    found = {
        (entry.docname, entry.node_id)
        for full_name, entry in env.domains.python_domain.objects.items()
        if full_name.rpartition(".")[2] == name and entry.objtype in KINDS
    }
    if len(found) != 1:
        return None
    ((docname, anchor),) = found
    return make_refnode(app.builder, node["refdoc"], docname, anchor, content)
