"""The local server behind `annotate`: one static page, films by their number, corrections by POST.

It listens on 127.0.0.1 alone. Every address starts with a random token, so that no other page can read or post; the Host header
must name this machine, so that no foreign name that resolves to it can either; bodies are small. Nothing of a request is logged.
"""

from __future__ import annotations

import contextlib
import json
import secrets
from collections.abc import Callable
from dataclasses import asdict
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from ra.anatomy import JOINTS
from ra.config import UserError
from ra.imaging import film
from stage1_detect.annotation import coco_file as coco
from stage1_detect.annotation.session import Corrections, jpeg, limbs_of

HTML = Path(__file__).with_name("page.html")
HOSTS = {"127.0.0.1", "localhost"}
MOST_BYTES = 64 * 1024  # of a body: four limbs are some 8 kB
POLICY = "default-src 'none'; img-src 'self' data:; connect-src 'self'; style-src 'nonce-{0}'; script-src 'nonce-{0}'"
Reread = Callable[[Path, str | None, list[float] | None], coco.Limb]  # film, part or None, window or None -> its joints


class Refused(Exception):
    """A request that gets no answer but a status and a sentence."""

    def __init__(self, status: HTTPStatus, sentence: str):
        super().__init__(sentence)
        self.status = status


def serve(films: Corrections, reread: Reread, port: int = 0) -> ThreadingHTTPServer:
    """A server that is bound but not yet running; its `url` is the page's. UserError when the port is taken."""
    try:
        server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
    except (OSError, OverflowError) as error:
        raise UserError(f"--port {port} cannot be used ({error}); leave it out, or give another") from None
    server.daemon_threads = True
    server.films, server.reread, server.token = films, reread, secrets.token_urlsafe(24)
    server.url = f"http://127.0.0.1:{server.server_address[1]}/{server.token}/"
    return server


class Handler(BaseHTTPRequestHandler):
    """GET page, films, film/N, film/N.jpg; POST film/N, film/N/read."""

    timeout = 60
    server_version, sys_version = "annotate", ""

    def do_GET(self) -> None:
        self._answer(self._get)

    def do_POST(self) -> None:
        self._answer(self._post)

    def log_message(self, *_: Any) -> None:
        pass

    def _answer(self, method: Callable[[list[str]], tuple[str, bytes]]) -> None:
        nonce = secrets.token_urlsafe(12)
        try:
            status, (kind, body) = HTTPStatus.OK, method(self._path())
        except (Refused, ValueError, film.FilmError) as error:
            status = getattr(error, "status", HTTPStatus.BAD_REQUEST)
            sentence = "the film cannot be shown" if isinstance(error, film.FilmError) else str(error)
            kind, body = _json({"error": sentence})
        except OSError as error:
            status, (kind, body) = HTTPStatus.INTERNAL_SERVER_ERROR, _json({"error": error.strerror or "the disk refuses"})
        body = body.replace(b"{{nonce}}", nonce.encode()) if kind.startswith("text/html") else body
        with contextlib.suppress(ConnectionError):  # the page has gone
            self.send_response(status)
            headers = {"Content-Type": kind, "Content-Length": str(len(body)), "Cache-Control": "no-store"}
            headers |= {"Content-Security-Policy": POLICY.format(nonce), "Referrer-Policy": "no-referrer"}
            for name, value in (headers | {"X-Content-Type-Options": "nosniff", "X-Frame-Options": "DENY"}).items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

    def _path(self) -> list[str]:
        """The address's parts after the token; Refused where host or token are not ours."""
        if self.headers.get("Host", "").rsplit(":", 1)[0] not in HOSTS:
            raise Refused(HTTPStatus.MISDIRECTED_REQUEST, "this server answers to 127.0.0.1 alone")
        _, token, *rest = self.path.partition("?")[0].split("/")
        if not secrets.compare_digest(token.encode(), self.server.token.encode()):
            raise Refused(HTTPStatus.FORBIDDEN, "open the address that the command printed")
        return rest

    def _number(self, text: str) -> int:
        if not (text.isascii() and text.isdigit() and len(text) < 8 and int(text) < len(self.server.films.entries)):
            raise Refused(HTTPStatus.NOT_FOUND, "there is no such film")
        return int(text)

    def _get(self, path: list[str]) -> tuple[str, bytes]:
        films = self.server.films
        match path:
            case [""]:
                return "text/html; charset=utf-8", HTML.read_bytes()
            case ["films"]:
                facts = [{"state": e.state, "quality": None if e.quality != e.quality else e.quality} for e in films.entries]
                return _json({"films": facts, "joints": JOINTS})
            case ["film", name] if name.endswith(".jpg"):
                return "image/jpeg", jpeg(films.entries[self._number(name.removesuffix(".jpg"))].path)
            case ["film", name]:
                entry = films.entries[self._number(name)]
                marked = asdict(entry.marked) if entry.marked else None
                return _json({"name": entry.name, "state": entry.state, "fault": entry.fault, "marked": marked})
        raise Refused(HTTPStatus.NOT_FOUND, "there is no such page")

    def _post(self, path: list[str]) -> tuple[str, bytes]:
        value = self._body()
        match path:
            case ["film", name]:
                entry = self._shown(name)
                limbs = limbs_of(value.get("limbs"), entry.marked.width_px, entry.marked.height_px)
                if type(value.get("confirmed")) is not bool:
                    raise ValueError("confirmed is true or false")
                self.server.films.correct(self._number(name), limbs, value["confirmed"])
                return _json({"confirmed": sum(e.confirmed for e in self.server.films.entries)})
            case ["film", name, "read"]:
                entry = self._shown(name)
                part = value.get("part")
                if part is not None and part not in coco.PARTS:
                    raise ValueError("part is LH, RH, LF or RF")
                return _json(asdict(self.server.reread(entry.path, part, value.get("window"))))
        raise Refused(HTTPStatus.NOT_FOUND, "there is no such page")

    def _shown(self, name: str):
        entry = self.server.films.entries[self._number(name)]
        if entry.marked is None:
            raise Refused(HTTPStatus.CONFLICT, "the film has not been read yet")
        return entry

    def _body(self) -> dict:
        """The JSON object of a POST; Refused when it is too large or of another kind."""
        length = self.headers.get("Content-Length", "")
        if not (length.isascii() and length.isdigit()):
            raise Refused(HTTPStatus.LENGTH_REQUIRED, "a body needs its length")
        if int(length) > MOST_BYTES:
            raise Refused(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"a body has at most {MOST_BYTES} bytes")
        if self.headers.get_content_type() != "application/json":
            raise Refused(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "a body is application/json")
        try:
            value = json.loads(self.rfile.read(int(length)))
        except RecursionError:
            raise ValueError("the body is no JSON") from None
        if not isinstance(value, dict):
            raise ValueError("the body is no JSON object")
        return value


def _json(value: Any) -> tuple[str, bytes]:
    return "application/json", json.dumps(value).encode()
