"""One address to the bytes of one image, or to the reason why not, within a time and a size."""

from __future__ import annotations

import asyncio
import ssl
from dataclasses import dataclass
from typing import Self
from urllib.parse import quote, urljoin, urlsplit

import httpcore2

from hemline.errors import BadImageError
from hemline.images import MAX_IMAGE_BYTES, MAX_IMAGE_PIXELS, check_image_header, decode_image
from hemline_training.image_download.addresses import CheckedNetwork, Network, PrivateAddressError
from hemline_training.image_download.politeness import retry_after_s

_REDIRECTS = {301, 302, 303, 307, 308}
_TRY_AGAIN = {408, 425, 429, 500, 502, 503, 504}
_MAX_REDIRECTS = 5
_MAX_URL_CHARACTERS = 2048
_DECODERS = 2  # at once: the largest image accepted takes 120 MB as pixels
_VERIFIED_SIDE = 512  # a JPEG is decoded at a smaller size, but to its last byte


class RefusedError(Exception):
    """There is no acceptable image at this address; asking again would not change that."""


class TemporaryError(Exception):
    """No image this time; `retry_after_s` is how long the server wants peace, if it said."""

    def __init__(self, reason: str, retry_after_s: float | None = None) -> None:
        super().__init__(reason)
        self.retry_after_s = retry_after_s


@dataclass(frozen=True)
class Limits:
    """Of one image. `timeout_s` is for all of it, redirects included, however slowly bytes drip."""

    max_bytes: int = MAX_IMAGE_BYTES
    max_pixels: int = MAX_IMAGE_PIXELS
    timeout_s: float = 30.0


@dataclass(frozen=True)
class Picture:
    """A whole, decodable image. Sizes in pixels."""

    data: bytes
    format: str  # "JPEG", "PNG" or "WEBP"
    width: int
    height: int


class Fetcher:
    """Fetches images over HTTP(S); one for a run, used as an asynchronous context manager."""

    def __init__(
        self,
        limits: Limits,
        connections: int,
        allowed: tuple[Network, ...] = (),
        tls: ssl.SSLContext | None = None,
    ) -> None:
        """`allowed`: networks that may be connected to although they are not public."""
        self._limits = limits
        self._decoders = asyncio.Semaphore(_DECODERS)
        self._pool = httpcore2.AsyncConnectionPool(
            ssl_context=tls or httpcore2.default_ssl_context(),
            max_connections=connections,
            max_keepalive_connections=connections,
            keepalive_expiry=10.0,
            network_backend=CheckedNetwork(allowed),
        )

    async def __aenter__(self) -> Self:
        await self._pool.__aenter__()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._pool.aclose()

    async def fetch(self, url: str) -> Picture:
        """The image at `url`. Raises RefusedError or TemporaryError."""
        try:
            async with asyncio.timeout(self._limits.timeout_s):
                data = await self._bytes(url)
        except TimeoutError:
            raise TemporaryError(f"not whole within {self._limits.timeout_s:g} s") from None
        except PrivateAddressError as error:
            raise RefusedError(str(error)) from error
        except httpcore2.TimeoutException as error:
            raise TemporaryError(f"no answer in time ({type(error).__name__})") from error
        except (httpcore2.NetworkError, httpcore2.ProtocolError, ssl.SSLError) as error:
            what = str(error) or type(error).__name__
            raise TemporaryError(f"the connection failed: {what}") from error
        except httpcore2.UnsupportedProtocol as error:
            raise RefusedError(str(error)) from error
        async with self._decoders:
            return await asyncio.to_thread(self._picture, data)

    async def _bytes(self, url: str) -> bytes:
        for _ in range(_MAX_REDIRECTS + 1):
            answer = await self._request(url)
            if isinstance(answer, bytes):
                return answer
            url = answer
        raise RefusedError(f"more than {_MAX_REDIRECTS} redirects")

    async def _request(self, url: str) -> bytes | str:
        """The body, or the address of a redirect."""
        headers: dict[bytes | str, bytes | str] = {
            "Host": _host_header(url),
            "Accept": "image/webp,image/png,image/jpeg",
            "Accept-Encoding": "identity",
            "User-Agent": "hemline (catalogue import)",
        }
        step = {"connect": 10.0, "read": 15.0, "write": 10.0, "pool": self._limits.timeout_s}
        async with self._pool.stream(
            "GET", encoded(url), headers=headers, extensions={"timeout": step}
        ) as response:
            said = {k.decode().lower(): v.decode("latin-1") for k, v in response.headers}
            if response.status in _REDIRECTS:
                if "location" not in said:
                    raise RefusedError(f"status {response.status} without a location")
                return urljoin(url, said["location"])
            if response.status in _TRY_AGAIN:
                wait = retry_after_s(said.get("retry-after"))
                raise TemporaryError(f"status {response.status}", wait)
            if response.status != 200:
                raise RefusedError(f"status {response.status}")
            self._check_headers(said)
            data = bytearray()
            async for chunk in response.aiter_stream():
                data += chunk
                if len(data) > self._limits.max_bytes:
                    raise RefusedError(f"more than {self._limits.max_bytes} bytes")
            return bytes(data)

    def _check_headers(self, said: dict[str, str]) -> None:
        kind = said.get("content-type", "").partition(";")[0].strip().lower()
        if kind and not kind.startswith("image/") and not kind.endswith("octet-stream"):
            raise RefusedError(f"{kind} instead of an image")
        if said.get("content-encoding", "identity").lower() != "identity":
            raise RefusedError(f"encoded as {said['content-encoding']}, which was not asked for")
        length = said.get("content-length", "")
        if length.isdecimal() and int(length) > self._limits.max_bytes:
            raise RefusedError(f"{length} bytes; at most {self._limits.max_bytes} are accepted")

    def _picture(self, data: bytes) -> Picture:
        limits = (self._limits.max_bytes, self._limits.max_pixels)
        try:
            header = check_image_header(data, *limits)
            decode_image(data, *limits, at_least=_VERIFIED_SIDE)
        except BadImageError as error:
            raise RefusedError(error.reason) from error
        return Picture(data, header.format, header.width, header.height)


def encoded(url: str) -> str:
    """The URL in ASCII: an international host in punycode, the rest percent-encoded once.

    Raises RefusedError for what is no http(s) address of a host, or carries a user name.
    """
    if len(url) > _MAX_URL_CHARACTERS:
        raise RefusedError(f"an address of {len(url)} characters")
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port
        host = host if ":" in host else host.encode("idna").decode("ascii")
    except ValueError as error:  # UnicodeError is one
        raise RefusedError(f"not an address: {error}") from error
    if parts.scheme not in ("http", "https") or not host:
        raise RefusedError("not an http or https address")
    if parts.username is not None or parts.password is not None:
        raise RefusedError("an address with a user name")
    path = quote(parts.path or "/", safe="/%:=&~+!$,;'@()*")
    query = f"?{quote(parts.query, safe='/%:=&~+!$,;@()*?')}" if parts.query else ""
    bracketed = f"[{host}]" if ":" in host else host
    return f"{parts.scheme}://{bracketed}{f':{port}' if port else ''}{path}{query}"


def host_of(url: str) -> str:
    """Host and port, by which manners are kept; empty where there is none."""
    try:
        return urlsplit(url).netloc.rpartition("@")[2].lower()
    except ValueError:
        return ""


def _host_header(url: str) -> str:
    return urlsplit(encoded(url)).netloc
