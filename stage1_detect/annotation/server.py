"""Local web server of `annotate`: one static page, films by number, corrections by POST.

It listens on 127.0.0.1 only. Every address starts with a random token, so that no other page can read or post. The Host header
must be a local name, which stops DNS rebinding. Bodies are limited in size. Requests are not logged.
"""

from __future__ import annotations

import contextlib
import json
import math
import secrets
from collections.abc import Callable
from dataclasses import asdict
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from ra.anatomy import JOINTS, PARTS
from ra.config import UserError
from ra.imaging import film
from stage1_detect.annotation.marked import Reread
from stage1_detect.annotation.session import Entry, Session, jpeg, limbs_of

HTML = Path(__file__).with_name("page.html")
HOSTS = {"127.0.0.1", "localhost"}
MOST_BYTES = 64 * 1024  # of a body; four limbs take about 8 kB
POLICY = "default-src 'none'; img-src 'self' data:; connect-src 'self'; style-src 'nonce-{0}'; script-src 'nonce-{0}'"


class Refused(Exception):
    """A request that is answered with an error status and a sentence."""

    def __init__(self, status: HTTPStatus, sentence: str):
        super().__init__(sentence)
        self.status = status


def serve(session: Session, reread: Reread, port: int = 0) -> ThreadingHTTPServer:
    """A server that is bound but not yet running; `url` is its page. UserError if the port cannot be used."""
    try:
        server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
    except (OSError, OverflowError) as error:
        raise UserError(f"--port {port} cannot be used ({error}); leave it out, or give another") from None
    server.daemon_threads = True
    server.session, server.reread, server.token = session, reread, secrets.token_urlsafe(24)
    server.url = f"http://127.0.0.1:{server.server_address[1]}/{server.token}/"
    return server


class Handler(BaseHTTPRequestHandler):
    """Answers GET of the page, films, film/N, film/N.jpg, and POST of film/N, film/N/read."""

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
            status, (kind, body) = HTTPStatus.INTERNAL_SERVER_ERROR, _json({"error": error.strerror or "disk error"})
        body = body.replace(b"{{nonce}}", nonce.encode()) if kind.startswith("text/html") else body
        with contextlib.suppress(ConnectionError):  # the page was closed
            self.send_response(status)
            headers = {"Content-Type": kind, "Content-Length": str(len(body)), "Cache-Control": "no-store"}
            headers |= {"Content-Security-Policy": POLICY.format(nonce), "Referrer-Policy": "no-referrer"}
            for name, value in (headers | {"X-Content-Type-Options": "nosniff", "X-Frame-Options": "DENY"}).items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

    def _path(self) -> list[str]:
        """The parts of the address after the token; Refused if host or token are wrong."""
        if self.headers.get("Host", "").rsplit(":", 1)[0] not in HOSTS:
            raise Refused(HTTPStatus.MISDIRECTED_REQUEST, "this server only answers to 127.0.0.1")
        _, token, *rest = self.path.partition("?")[0].split("/")
        if not secrets.compare_digest(token.encode(), self.server.token.encode()):
            raise Refused(HTTPStatus.FORBIDDEN, "open the address that the command printed")
        return rest

    def _number(self, text: str) -> int:
        if not (text.isascii() and text.isdigit() and len(text) < 8 and int(text) < len(self.server.session.entries)):
            raise Refused(HTTPStatus.NOT_FOUND, "there is no such film")
        return int(text)

    def _get(self, path: list[str]) -> tuple[str, bytes]:
        entries = self.server.session.entries
        match path:
            case [""]:
                return "text/html; charset=utf-8", HTML.read_bytes()
            case ["films"]:
                films = [{"state": e.state, "quality": None if math.isnan(e.quality) else e.quality} for e in entries]
                return _json({"films": films, "joints": JOINTS})
            case ["film", name] if name.endswith(".jpg"):
                return "image/jpeg", jpeg(entries[self._number(name.removesuffix(".jpg"))].path)
            case ["film", name]:
                entry = entries[self._number(name)]
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
                    raise ValueError("confirmed must be true or false")
                self.server.session.correct(self._number(name), limbs, value["confirmed"])
                return _json({"confirmed": self.server.session.n_confirmed})
            case ["film", name, "read"]:
                entry = self._shown(name)
                part = value.get("part")
                if part is not None and part not in PARTS:
                    raise ValueError("part must be LH, RH, LF or RF")
                return _json(asdict(self.server.reread(entry.path, part, value.get("window"))))
        raise Refused(HTTPStatus.NOT_FOUND, "there is no such page")

    def _shown(self, name: str) -> Entry:
        """The film of a POST; Refused until the detector has read it."""
        entry = self.server.session.entries[self._number(name)]
        if entry.marked is None:
            raise Refused(HTTPStatus.CONFLICT, "the film has not been read yet")
        return entry

    def _body(self) -> dict:
        """The JSON object of a POST; Refused if it is too large or not JSON."""
        length = self.headers.get("Content-Length", "")
        if not (length.isascii() and length.isdigit()):
            raise Refused(HTTPStatus.LENGTH_REQUIRED, "the request needs a Content-Length")
        if int(length) > MOST_BYTES:
            raise Refused(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"the body may have at most {MOST_BYTES} bytes")
        if self.headers.get_content_type() != "application/json":
            raise Refused(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "the body must be application/json")
        try:
            value = json.loads(self.rfile.read(int(length)))
        except RecursionError:
            raise ValueError("the body is not JSON") from None
        if not isinstance(value, dict):
            raise ValueError("the body is not a JSON object")
        return value


def _json(value: Any) -> tuple[str, bytes]:
    return "application/json", json.dumps(value).encode()
