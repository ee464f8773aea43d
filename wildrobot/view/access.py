"""Who may see the page: a token in its address, and no other website's scripts."""

from __future__ import annotations

import hmac
import ipaddress
import secrets
import socket
from http import HTTPStatus
from http.cookies import CookieError, SimpleCookie
from typing import Any
from urllib.parse import parse_qs, urlsplit

NO_TOKEN = (
    "401: this page drives a robot. Open the address that `wildrobot view` printed, with its ?token=...\n"
)
FOREIGN = (
    "403: another website's page may not talk to the robot. Open the address that `wildrobot view` printed.\n"
)


class PageAccess:
    """Judges requests. The token comes once in the address; the browser then holds it as a cookie.

    `host` is the address that the page is served at: a name given there is one that browsers may use for it.
    """

    def __init__(self, host: str) -> None:
        self.token = secrets.token_urlsafe(24)
        self._names = {"localhost", host.lower(), socket.gethostname().lower()}

    def refusal(self, path: str, headers: Any) -> tuple[HTTPStatus, str] | None:
        """Status and text for a request that is not let in, None for one that is.

        `headers` are those of `websockets`: `get_all(name)`. Foreign pages are looked for first: they learn
        nothing about the token.
        """
        hosts, origins = headers.get_all("Host"), headers.get_all("Origin")
        # A name that somebody else's DNS points at this machine makes a foreign page look like our own.
        if len(hosts) != 1 or not self._is_ours(hosts[0]):
            return HTTPStatus.FORBIDDEN, FOREIGN
        if any(urlsplit(origin).netloc.lower() != hosts[0].lower() for origin in origins):
            return HTTPStatus.FORBIDDEN, FOREIGN
        given = [*parse_qs(urlsplit(path).query).get("token", []), *self._cookies(headers)]
        if not any(hmac.compare_digest(token.encode(), self.token.encode()) for token in given):
            return HTTPStatus.UNAUTHORIZED, NO_TOKEN
        return None

    def cookie(self, port: int) -> str:
        """The Set-Cookie header that spares the browser the token in every address."""
        return f"{cookie_name(port)}={self.token}; HttpOnly; SameSite=Strict; Path=/"

    def _is_ours(self, host: str) -> bool:
        try:
            name = urlsplit(f"//{host}").hostname or ""
        except ValueError:
            return False
        if name in self._names:
            return True
        try:
            ipaddress.ip_address(name)
        except ValueError:
            return False
        return True

    @staticmethod
    def _cookies(headers: Any) -> list[str]:
        found = []
        for line in headers.get_all("Cookie"):
            try:
                cookies = SimpleCookie(line)
            except CookieError:
                continue
            found += [morsel.value for name, morsel in cookies.items() if name.startswith(cookie_name(None))]
        return found


def cookie_name(port: int | None) -> str:
    """Browsers keep cookies by host, not by port: two pages on one machine must not overwrite each other's."""
    return f"wildrobot_view_{'' if port is None else port}"
