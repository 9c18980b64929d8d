"""A SIMULATED event log for a catalogue that has none. Nothing measured on it is about real people.

It exists so that one command trains and serves a whole release, and so that tests can ask for
structure that is known to be there. What is in it, on purpose:

- content structure: a shopper has one to three favoured article types, a place in the content space
  (which drifts), colours, a price band and a gender; content models can find all of these;
- collaborative structure that no picture shows: every item belongs to a hidden "look" that crosses
  categories and is drawn independently of its content, shoppers buy within a few looks, and some
  are loyal to a brand; only co-occurrence can find looks;
- popularity: Zipf over a random order, hidden quality, arrivals during the period that are new for
  some days, and short bursts of fashion;
- cold start: many shoppers with no or few events, a heavy tail with hundreds (views per shopper are
  log-normal; in rent_the_runway, a real log, 68% of the users have one row and 0.3% have 20);
- a funnel: view -> click -> wish or bag -> purchase, and rare dislikes; and noise everywhere.

Choices are made by random utility (McFadden 1974): for each view a handful of items is proposed,
and the one with the highest utility plus Gumbel noise is taken.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass

import numpy as np
import numpy.typing as npt

from hemline.catalogue import Catalogue
from hemline.vectors import F32, normalise
from hemline_training.interactions import KINDS, Interactions

F64 = npt.NDArray[np.float64]
I64 = npt.NDArray[np.int64]

MS_PER_DAY = 86_400_000


@dataclass(frozen=True)
class SimulatorConfig:
    """Size and mood of the simulated shop. Utilities are in units of the Gumbel noise's scale."""

    users: int = 20_000
    days: int = 120
    start_ms: int = 1_735_689_600_000  # 2025-01-01
    seed: int = 0
    # How much a shopper does.
    views_log_mean: float = 1.75
    views_log_sigma: float = 1.15
    max_views: int = 300
    views_per_session: float = 4.0
    active_days: float = 40.0
    # The shop.
    zipf_exponent: float = 0.8
    arriving_share: float = 0.3
    novelty_days: float = 10.0
    burst_share: float = 0.02
    burst_days: int = 7
    items_per_look: int = 60
    items_per_cell: int = 40
    # What shoppers want.
    proposals: int = 12
    w_taste: float = 3.5
    w_look: float = 2.5
    w_brand: float = 1.0
    w_colour: float = 0.5
    w_price: float = 0.5
    w_popularity: float = 0.3
    w_gender: float = 3.0
    w_quality: float = 0.5
    drift: float = 0.5


# What a session is after; a proposal comes from the session's intent, or else from any of them.
_INTENTS = ("type", "taste", "look", "brand", "popular", "any")
_INTENT_SHARE = np.array([0.25, 0.22, 0.28, 0.08, 0.12, 0.05])
_FOLLOWS_INTENT = 0.6


def simulate(catalogue: Catalogue, content: F32, config: SimulatorConfig) -> Interactions:
    """A SIMULATED log over the catalogue, the same for the same seed.

    content: float32 (n, clip_dim), unit norm. Some of the users have no event at all.
    """
    rng = np.random.default_rng(config.seed)
    shop = _Shop(catalogue, content, config, rng)
    shoppers = _Shoppers(shop, config, rng)
    user, session, second = _visits(shoppers, config, rng)
    day = np.minimum((second // 86_400).astype(np.int64), config.days - 1)
    intent, slot = _session_intents(shoppers, user, session, rng)

    rows = np.empty(len(user), dtype=np.int64)
    utility = np.empty(len(user))
    for start in range(0, len(user), 50_000):
        part = slice(start, start + 50_000)
        here = user[part], day[part], intent[part], slot[part]
        proposed = _propose(shop, shoppers, *here, config.proposals, rng)
        value = _utilities(shop, shoppers, user[part], day[part], slot[part], proposed, config)
        best = (value + rng.gumbel(size=value.shape)).argmax(axis=1)
        at = np.arange(len(best))
        rows[part], utility[part] = proposed[at, best], value[at, best]

    users, rows, kinds, seconds, sessions = _funnel(user, rows, utility, second, session, rng)
    about = {
        "simulated": True,
        "users": config.users,
        "events": len(users),
        "seed": config.seed,
        "days": config.days,
        "config": asdict(config),
    }
    return Interactions.sorted(
        users.astype(np.int32),
        rows.astype(np.int32),
        kinds.astype(np.int8),
        config.start_ms + (seconds * 1000).astype(np.int64),
        sessions.astype(np.int32),
        [f"sim-{u:06d}" for u in range(config.users)],
        len(catalogue),
        about,
    )


class _Pools:
    """Items grouped by a code, drawn by weight within a group, any number in one call."""

    def __init__(self, codes: npt.NDArray[np.integer], weight: F64) -> None:
        self.order = np.argsort(codes, kind="stable")
        grouped = np.asarray(codes)[self.order]
        groups = int(grouped[-1]) + 1
        self.starts = np.searchsorted(grouped, np.arange(groups))
        self.ends = np.searchsorted(grouped, np.arange(groups), side="right")
        cumulative = np.concatenate([[0.0], np.cumsum(weight[self.order])])
        before, total = cumulative[self.starts], cumulative[self.ends] - cumulative[self.starts]
        # Group g's share of each item lies in (g, g + 1], so one sorted array serves all groups.
        self.edges = grouped + (cumulative[1:] - before[grouped]) / total[grouped]

    def draw(self, codes: I64, rng: np.random.Generator) -> I64:
        at = np.searchsorted(self.edges, codes + rng.random(codes.shape))
        return np.asarray(self.order[np.clip(at, self.starts[codes], self.ends[codes] - 1)])


class _Shop:
    """The items as the simulation sees them."""

    def __init__(
        self, catalogue: Catalogue, content: F32, config: SimulatorConfig, rng: np.random.Generator
    ) -> None:
        n = len(catalogue)
        self.size = n
        self.space = _principal(content, 32)  # (n, <=32), unit norm
        self.gender = _dense(catalogue.codes("gender"))
        names = ["", *catalogue.values("gender")]
        unisex = [i for i, name in enumerate(names) if name.lower() in ("", "unisex")]
        self.for_all = np.isin(catalogue.codes("gender") + 1, unisex)
        self.brand = _dense(catalogue.codes("brand"))
        self.has_brand = catalogue.codes("brand") >= 0
        self.colour = _dense(catalogue.codes("colour"))
        self.log_price = np.log(np.where(catalogue.price > 0, catalogue.price, np.nan))

        rank = rng.permutation(n) + 1.0
        self.popular = rank**-config.zipf_exponent
        self.popular /= self.popular.mean()
        self.quality = rng.normal(size=n)
        arriving = rng.random(n) < config.arriving_share
        self.arrival = np.where(arriving, rng.integers(0, config.days, n), -1_000)
        days = np.arange(config.days)[:, None]  # (days, 1)
        age = days - self.arrival
        novelty = 1.0 + 3.0 * np.exp(-np.maximum(age, 0) / config.novelty_days)
        daily = np.where(age >= 0, self.popular * novelty, 0.0)  # (days, n)
        bursting = np.flatnonzero(rng.random(n) < config.burst_share)
        begins = rng.integers(0, config.days, len(bursting))
        inside = (days >= begins) & (days < begins + config.burst_days)
        daily[:, bursting] *= np.where(inside, 12.0, 1.0)
        self.log_popular = np.log(np.maximum(daily, 1e-3)).astype(np.float32)
        daily /= daily.sum(axis=1, keepdims=True)
        self._daily_edges = (np.cumsum(daily, axis=1) + days).ravel()

        flat = np.sqrt(self.popular)
        kind = _dense(self.gender * 10_000 + catalogue.codes("article_type") + 1)
        self.kind = kind
        self.kinds = _Pools(kind, flat)
        first_of_kind = np.unique(kind, return_index=True)[1]
        share = np.sqrt(np.bincount(kind).astype(np.float64))
        self.kinds_of_gender = _Pools(self.gender[first_of_kind], share)
        self.genders = _Pools(np.zeros(n, dtype=np.int64), np.ones(n))
        per_gender = np.maximum(np.bincount(self.gender) // config.items_per_look, 2)
        self.look = _dense(self.gender * 100_000 + rng.integers(0, per_gender[self.gender]))
        self.looks = _Pools(self.look, flat)
        self.of_gender = _Pools(self.gender, flat)
        self.brands = _Pools(self.brand, flat)
        self.cell = _cells(self.space, max(n // config.items_per_cell, 2), rng)
        self.cells = _Pools(self.cell, flat)

    def draw_popular(self, day: I64, rng: np.random.Generator) -> I64:
        at = np.searchsorted(self._daily_edges, day + rng.random(day.shape))
        return np.asarray(np.clip(at - day * self.size, 0, self.size - 1))


class _Shoppers:
    """Personas: up to three anchor items stand for what a shopper is after; see the fields."""

    def __init__(self, shop: _Shop, config: SimulatorConfig, rng: np.random.Generator) -> None:
        m = config.users
        self.gender = shop.gender[shop.genders.draw(np.zeros(m, dtype=np.int64), rng)]
        self.slots = rng.choice(3, size=m, p=[0.4, 0.35, 0.25]) + 1
        wide = np.repeat(self.gender[:, None], 3, axis=1)
        self.kind = shop.kinds_of_gender.draw(wide, rng)  # (m, 3) favoured type within a gender
        self.anchor = shop.kinds.draw(self.kind, rng)  # (m, 3) items
        towards = shop.kinds.draw(self.kind, rng)
        self.taste = shop.space[self.anchor]  # (m, 3, s)
        self.later_taste = shop.space[towards]
        self.cell = shop.cell[self.anchor]
        self.look = shop.look[shop.of_gender.draw(wide, rng)]
        self.brand = shop.brand[self.anchor[:, 0]]
        self.loyalty = np.where(
            shop.has_brand[self.anchor[:, 0]] & (rng.random(m) < 0.5), rng.exponential(1.0, m), 0.0
        )
        self.colour = shop.colour[self.anchor]
        self.log_price = shop.log_price[self.anchor[:, 0]] + rng.normal(0, 0.2, m)
        self.herd = rng.beta(2, 2, m) * 2  # susceptibility to what is popular, mean 1
        joined = rng.uniform(-0.4, 1.0, m) * config.days
        self.joined = np.maximum(joined, 0.0)  # days
        stays = rng.exponential(config.active_days, m)
        self.leaves = np.clip(self.joined + stays, self.joined + 0.02, config.days)
        views = np.floor(rng.lognormal(config.views_log_mean, config.views_log_sigma, m))
        signed_up_only = rng.random(m) < 0.05
        self.views = np.where(signed_up_only, 0, np.minimum(views, config.max_views)).astype(int)


def _visits(
    shoppers: _Shoppers, config: SimulatorConfig, rng: np.random.Generator
) -> tuple[I64, I64, F64]:
    """Per view: user, session (numbered over the log) and second since the start."""
    user = np.repeat(np.arange(config.users), shoppers.views)
    starts = rng.random(len(user)) < 1.0 / config.views_per_session
    starts[np.flatnonzero(np.diff(user, prepend=-1))] = True
    session = np.cumsum(starts) - 1
    owner = user[starts]
    begin = rng.uniform(shoppers.joined[owner], shoppers.leaves[owner]) * 86_400
    gap = np.where(starts, 0.0, 5.0 + rng.exponential(40.0, len(user)))
    since = np.cumsum(gap)
    since -= since[starts][session]
    return user, session, np.minimum(begin[session] + since, config.days * 86_400 - 60.0)


def _session_intents(
    shoppers: _Shoppers, user: I64, session: I64, rng: np.random.Generator
) -> tuple[I64, I64]:
    """Per view: the session's intent (index into _INTENTS) and which of the user's slots it is."""
    sessions = int(session[-1]) + 1 if len(session) else 0
    intent = rng.choice(len(_INTENTS), size=sessions, p=_INTENT_SHARE)
    chance = rng.random(sessions)
    return intent[session], (chance[session] * shoppers.slots[user]).astype(np.int64)


def _propose(
    shop: _Shop,
    shoppers: _Shoppers,
    user: I64,
    day: I64,
    intent: I64,
    slot: I64,
    proposals: int,
    rng: np.random.Generator,
) -> I64:
    """Item rows (v, proposals) that come to a shopper's eyes, each from one source."""
    shape = (len(user), proposals)
    follows = rng.random(shape) < _FOLLOWS_INTENT
    source = np.where(
        follows, intent[:, None], rng.choice(len(_INTENTS), size=shape, p=_INTENT_SHARE)
    )
    rows = rng.integers(0, shop.size, shape)  # "any"
    pools = (
        (shop.kinds, shoppers.kind[user, slot]),
        (shop.cells, shoppers.cell[user, slot]),
        (shop.looks, shoppers.look[user, slot]),
        (shop.brands, shoppers.brand[user]),
    )
    for number, (pool, code) in enumerate(pools):
        at = np.nonzero(source == number)
        rows[at] = pool.draw(code[at[0]], rng)
    at = np.nonzero(source == _INTENTS.index("popular"))
    rows[at] = shop.draw_popular(day[at[0]], rng)
    return rows


def _utilities(
    shop: _Shop,
    shoppers: _Shoppers,
    user: I64,
    day: I64,
    slot: I64,
    rows: I64,
    config: SimulatorConfig,
) -> F64:
    """What the shopper would get out of each proposal, (v, p); -1e9 where it is not sold yet."""
    progress = np.clip((day - shoppers.joined[user]) / config.days, 0, 1) * 2 * config.drift
    moved = np.minimum(progress, 1.0)[:, None].astype(np.float32)
    taste = (1 - moved) * shoppers.taste[user, slot] + moved * shoppers.later_taste[user, slot]
    utility = config.w_taste * np.einsum("vs,vps->vp", normalise(taste), shop.space[rows])
    utility = utility.astype(np.float64)
    same_look = shop.look[rows][:, :, None] == shoppers.look[user][:, None, :]
    owned = np.arange(3) < shoppers.slots[user][:, None]
    utility += config.w_look * (same_look & owned[:, None, :]).any(axis=2)
    loyal = config.w_brand * shoppers.loyalty[user]
    utility += loyal[:, None] * (shop.brand[rows] == shoppers.brand[user][:, None])
    colours = shop.colour[rows][:, :, None] == shoppers.colour[user][:, None, :]
    utility += config.w_colour * (colours & owned[:, None, :]).any(axis=2)
    off = (shop.log_price[rows] - shoppers.log_price[user][:, None]) / 0.5
    utility -= config.w_price * np.nan_to_num(np.minimum(off**2, 4.0))
    popular = shop.log_popular[day[:, None], rows]
    utility += config.w_popularity * shoppers.herd[user][:, None] * popular
    utility += config.w_quality * shop.quality[rows]
    fits = shop.for_all[rows] | (shop.gender[rows] == shoppers.gender[user][:, None])
    utility -= config.w_gender * ~fits
    return np.where(shop.arrival[rows] <= day[:, None], utility, -1e9)


def _funnel(
    user: I64, rows: I64, utility: F64, second: F64, session: I64, rng: np.random.Generator
) -> tuple[I64, I64, I64, F64, I64]:
    """Views, and what they lead to. Returns user, row, kind, second and session of every event."""
    sold = utility > -1e8  # a view whose proposals are all unsold yet did not happen
    user, rows, utility = user[sold], rows[sold], utility[sold]
    second, session = second[sold], session[sold]
    z = (utility - utility.mean()) / max(utility.std(), 1e-9) if len(utility) else utility
    chance = rng.random((5, len(user)))
    click = chance[0] < _sigmoid(-0.4 + 0.9 * z)
    wish = click & (chance[1] < _sigmoid(-1.6 + 0.5 * z))
    bag = click & (chance[2] < _sigmoid(-1.2 + 0.7 * z))
    happened = {
        "view": np.ones(len(user), dtype=bool),
        "click": click,
        "wish": wish,
        "bag": bag,
        "purchase": bag & (chance[3] < 0.4),
        "dislike": ~click & (chance[4] < _sigmoid(-3.5 - 0.8 * z)),
    }
    after_s = {"view": 0.0, "click": 2.0, "wish": 3.0, "bag": 4.0, "purchase": 5.0, "dislike": 2.0}
    at = [np.flatnonzero(happened[kind]) for kind in KINDS]
    every = np.concatenate(at)
    kinds = np.repeat(np.arange(len(KINDS)), [len(a) for a in at])
    later = np.array([after_s[kind] for kind in KINDS])[kinds]
    return user[every], rows[every], kinds, second[every] + later, session[every]


def _principal(content: F32, dim: int) -> F32:
    """The content vectors' leading principal components, unit norm: float32 (n, <=dim).

    CLIP vectors share a large common part; without it, cosines spread over the whole of [-1, 1].
    """
    centred = content.astype(np.float64) - content.mean(axis=0)
    _, basis = np.linalg.eigh(centred.T @ centred)
    return normalise(centred @ basis[:, ::-1][:, :dim])


def _cells(space: F32, count: int, rng: np.random.Generator) -> I64:
    """Each item's neighbourhood: the nearest of `count` random items. int64 (n,), dense codes."""
    centres = space[rng.choice(len(space), size=count, replace=False)]
    nearest = [(space[i : i + 4096] @ centres.T).argmax(axis=1) for i in range(0, len(space), 4096)]
    return _dense(np.concatenate(nearest))


def _dense(codes: npt.NDArray[np.integer]) -> I64:
    """Codes renumbered 0, 1, 2 … without gaps, in order; unknown (-1) becomes a code as well."""
    return np.asarray(np.unique(codes, return_inverse=True)[1], dtype=np.int64)


def _sigmoid(x: F64) -> F64:
    return np.asarray(1.0 / (1.0 + np.exp(-x)))
