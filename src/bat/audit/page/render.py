"""The page's file: markup, style, script and data put together."""

import base64
import hashlib
import json
import re
from importlib.resources import files

from bat.audit.page.data import PageData

# In the order in which they build on one another; one scope, no modules, no build step.
SCRIPTS = (
    *("elements.js", "data.js", "search.js", "grid.js", "spread.js", "lineage.js"),
    *("record.js", "cell.js", "claims.js", "figures.js", "page.js"),
)
# Characters with which text could end a script element, or a line of JavaScript.
_ESCAPED = {ord(character): f"\\u{ord(character):04x}" for character in "<>&\u2028\u2029"}


def render(data: PageData) -> str:
    """Return the page as HTML that needs nothing else: no file, no request.

    Parameters
    ----------
    data
        What it shows. In the page it is text: the browser parses it as JSON and never as markup.
    """
    style = _text("page.css")
    script = '"use strict";\n' + "\n".join(_text(name) for name in SCRIPTS)
    parts = {
        "policy": _policy(style, script),
        "style": style,
        "data": embedded_json(data),
        "script": script,
    }
    # In one pass: what is put in is never looked at again.
    return re.sub(r"\{\{ (\w+) \}\}", lambda found: parts[found[1]], _text("page.html"))


def embedded_json(data: PageData) -> str:
    """Write the page's data as JSON that cannot leave the script element around it."""
    text = json.dumps(
        data.model_dump(mode="json"),
        ensure_ascii=False,
        allow_nan=False,
        separators=(",", ":"),
    )
    return text.translate(_ESCAPED)


def _policy(style: str, script: str) -> str:
    """Return the content security policy: this very style and script, pictures in the page."""
    return (
        f"default-src 'none'; style-src {_source(style)}; script-src {_source(script)}; "
        "img-src data:; base-uri 'none'; form-action 'none'"
    )


def _source(text: str) -> str:
    digest = hashlib.sha256(text.encode("utf-8")).digest()
    return f"'sha256-{base64.b64encode(digest).decode('ascii')}'"


def _text(name: str) -> str:
    return files("bat.audit.page").joinpath(name).read_text(encoding="utf-8")
