"""What a caller of the gateway shows: the TLS of its channel, and its API key."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from hemline.tls import ClientTls


@dataclass(frozen=True)
class Credentials:
    """tls: None for plaintext. api_key: `hk_…`, empty for none; not shown when this is printed."""

    tls: ClientTls | None = None
    api_key: str = field(default="", repr=False)

    @property
    def metadata(self) -> Sequence[tuple[str, str]]:
        """What to send with every call."""
        return (("x-api-key", self.api_key),) if self.api_key else ()


NO_CREDENTIALS = Credentials()
