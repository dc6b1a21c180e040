"""The page: a few files from the wheel, kept in memory, under a policy that lets no other script or site in."""

from hashlib import blake2s
from importlib.resources import files
from typing import Any

from litestar import Request, Response, get

_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_HEADERS = {
    "Content-Security-Policy": _POLICY,
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cache-Control": "no-cache",
}
_SCRIPTS = ("dashboard", "campaigns", "cards", "feed", "outlook", "pacing", "requests", "words")
_FILES = {
    "/": ("index.html", "text/html"),
    **{f"/{name}.js": (f"{name}.js", "text/javascript") for name in _SCRIPTS},
    "/dashboard.css": ("dashboard.css", "text/css"),
    "/icon.svg": ("icon.svg", "image/svg+xml"),
}


def _handler(path: str, name: str, media_type: str) -> Any:
    body = files("geo_service.dashboard").joinpath("static", name).read_bytes()
    tag = f'"{blake2s(body, digest_size=12).hexdigest()}"'

    @get(path, include_in_schema=False, media_type=media_type, name=f"page {name}")
    async def serve(request: Request[Any, Any, Any]) -> Response[bytes]:
        headers = {**_HEADERS, "ETag": tag}
        if request.headers.get("if-none-match") == tag:
            return Response(b"", status_code=304, headers=headers, media_type=media_type)
        return Response(body, headers=headers, media_type=media_type)

    return serve


def handlers() -> list[Any]:
    """One route per file."""
    return [_handler(path, name, media_type) for path, (name, media_type) in _FILES.items()]
