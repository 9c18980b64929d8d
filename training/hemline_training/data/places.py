"""City and region completed from each other, by what the other users of the same source say."""

from __future__ import annotations

from collections import Counter
from typing import Any

# A city lies in a region when nearly all of its users say so. A region names a city only when most
# of its users live there (Vienna, Berlin): else the city stays unknown, for it would be a guess.
CITY_SHARE = 0.9
REGION_SHARE = 0.6
AT_LEAST = 3
_MOST_PAIRS = 200_000  # a place name a user typed at random must not cost memory without end


class Places:
    """Which city lies in which region, learnt from users who name both."""

    def __init__(self) -> None:
        self._pairs: Counter[tuple[str, str]] = Counter()
        self._region_of: dict[str, str] | None = None
        self._city_of: dict[str, str] = {}

    @property
    def has_learnt(self) -> bool:
        """Whether any user named both."""
        return bool(self._pairs)

    def learn(self, city: str | None, region: str | None) -> None:
        """Adds one user's answer; upper and lower case are the same place."""
        if city and region:
            pair = (city.casefold(), region)
            if pair in self._pairs or len(self._pairs) < _MOST_PAIRS:
                self._pairs[pair] += 1

    def complete(self, user: dict[str, Any]) -> str | None:
        """Fills a missing `city` or `region` in place; the name of the column filled, if any."""
        if self._region_of is None:
            self._settle()
        assert self._region_of is not None
        city, region = user.get("city"), user.get("region")
        if city and not region and (found := self._region_of.get(city.casefold())):
            user["region"] = found
            return "region"
        if region and not city and (found := self._city_of.get(region)):
            user["city"] = found
            return "city"
        return None

    def _settle(self) -> None:
        regions: dict[str, Counter[str]] = {}
        cities: dict[str, Counter[str]] = {}
        for (city, region), count in self._pairs.items():
            regions.setdefault(city, Counter())[region] += count
            cities.setdefault(region, Counter())[city] += count
        self._region_of = _agreed(regions, CITY_SHARE)
        self._city_of = {r: c.title() for r, c in _agreed(cities, REGION_SHARE).items()}


def _agreed(said: dict[str, Counter[str]], share: float) -> dict[str, str]:
    agreed = {}
    for place, counts in said.items():
        name, count = counts.most_common(1)[0]
        if counts.total() >= AT_LEAST and count >= share * counts.total():
            agreed[place] = name
    return agreed
