"""The page's files, read once, under an address that changes with what is in them.

Nothing here is secret: who is not logged in may load them. A name is looked up in a table made at
the start, so no path of a request ever reaches the disk. Modules name each other relative to
themselves; a page therefore gets all its files of one version, or none.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Final

from starlette.requests import Request
from starlette.responses import Response

from engine.web import answers

FOLDER: Final = Path(__file__).parent / "page"
TYPES: Final = {".css": "text/css", ".js": "text/javascript"}
PATH: Final = "/page/{version}/{name}"
# Another content has another address, so what a browser once has is never asked for again.
FOREVER: Final = answers.SECURITY_HEADERS | {"Cache-Control": "public, max-age=31536000, immutable"}
VERSION_LENGTH: Final = 16  # hexadecimal digits


class PageFiles:
    """The files of the page that is served."""

    def __init__(self, folder: Path = FOLDER) -> None:
        """Read the files.

        Args:
            folder: holds `index.html` and the styles and scripts it names.
        """
        self._found = {
            path.name: path.read_bytes()
            for path in sorted(folder.iterdir())
            if path.suffix in TYPES
        }
        self.version = _version(self._found)
        page = (folder / "index.html").read_text(encoding="utf-8")
        self._page = page.replace("{{version}}", self.version)

    def page(self, status: str) -> str:
        """Return the page.

        Args:
            status: the first status, as JSON in which no `<` stands; empty: none.
        """
        return self._page.replace("{{status}}", status)

    async def answer(self, request: Request) -> Response:
        """Answer a request for one of the files: 404 when it is none, or of another version."""
        name = request.path_params["name"]
        if request.path_params["version"] != self.version or name not in self._found:
            return answers.problem(404, "the page has no such file")
        media_type = TYPES[Path(name).suffix]
        return Response(self._found[name], media_type=media_type, headers=FOREVER)


def _version(found: dict[str, bytes]) -> str:
    digest = hashlib.sha256()
    for name, body in found.items():
        digest.update(f"{name} {len(body)}\n".encode())
        digest.update(body)
    return digest.hexdigest()[:VERSION_LENGTH]
