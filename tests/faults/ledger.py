"""What clients sent and what they were told: the side of the story that the cluster cannot alter.

A click that was never acknowledged may be in the end state once or not at all; one that was
acknowledged, even once among many tries, must be there exactly once.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from hemline.user_profile import EVENT_WEIGHT
from small_world import PER_STYLE, STYLES, item_id

DISORDER = 12  # clicks happen this far from the order in which they are sent


@dataclass(frozen=True, slots=True)
class Click:
    """occurred_ms: Unix time in milliseconds, another one for each click of a shopper."""

    event_id: str
    user_id: str
    item_id: str
    kind: str
    occurred_ms: int


@dataclass
class Ledger:
    """sent: everything tried at least once, by event id. acknowledged: how often each was."""

    sent: dict[str, Click] = field(default_factory=dict)
    acknowledged: Counter[str] = field(default_factory=Counter)
    tries: int = 0

    def trying(self, click: Click) -> None:
        """To be told before the bytes leave: from now on the click may be anywhere."""
        self.sent[click.event_id] = click
        self.tries += 1

    @property
    def unknown(self) -> int:
        """How many clicks nobody ever got an acknowledgement for."""
        return len(self.sent) - len(self.acknowledged)


def draw_clicks(
    rng: random.Random, count: int, shoppers: Mapping[str, int], began_ms: int, name: str
) -> list[Click]:
    """So many clicks in the order to send them, their times of occurrence in another order.

    shoppers: user id -> weight. name: begins every event id.
    """
    users = rng.choices(list(shoppers), list(shoppers.values()), k=count)
    times = [began_ms + 10 * place for place in _nearly_sorted(rng, count)]
    return [
        Click(
            event_id=f"{name}-{place}",
            user_id=user,
            item_id=item_id(rng.choice(STYLES), rng.randrange(PER_STYLE)),
            kind=rng.choice(list(EVENT_WEIGHT)),
            occurred_ms=occurred_ms,
        )
        for place, (user, occurred_ms) in enumerate(zip(users, times, strict=True))
    ]


def _nearly_sorted(rng: random.Random, count: int) -> Sequence[int]:
    """The numbers below count, each within DISORDER or so of its place."""
    return sorted(range(count), key=lambda place: place + rng.uniform(-DISORDER, DISORDER))
