"""What users leave out, filled in from what others say, and named in their `imputed` column."""

from __future__ import annotations

from typing import Any

from hemline_training.data.age_model import FEWEST, AgeModel, KnownAges
from hemline_training.data.ages import age_group
from hemline_training.data.places import Places
from hemline_training.data.report import TableReport


class UserCompletion:
    """Learns from every user as they come in, completes them on their way out."""

    def __init__(self, report: TableReport) -> None:
        self._report = report
        self._places = Places()
        self._known_ages = KnownAges()
        self._model: AgeModel | None = None
        self._fitted = False

    @property
    def has_learnt(self) -> bool:
        """False when no user named an age or a place: then there is nothing to complete from."""
        return bool(self._known_ages.sample) or self._places.has_learnt

    def learn(self, user: dict[str, Any]) -> None:
        """Takes in one user of users.parquet's columns."""
        self._places.learn(user.get("city"), user.get("region"))
        if user.get("age") is not None:
            self._known_ages.learn(user)

    def complete(self, users: list[dict[str, Any]]) -> None:
        """Fills in city, region, age and age_group in place; call when all have been learnt."""
        for user in users:
            if (column := self._places.complete(user)) is not None:
                user["imputed"] = [*user["imputed"], column]
                other = "region" if column == "city" else "city"
                example = f"{user['user_id']}: {user['city']}, {user['region']}"
                self._report.count("imputed", f"{column}: completed from the {other}", example)
        ageless = [user for user in users if user["age"] is None]
        if ageless:
            self._predict(ageless)

    def _predict(self, users: list[dict[str, Any]]) -> None:
        if not self._fitted:
            self._model = AgeModel.fit(self._known_ages)
            self._fitted = True
        model = self._model
        if model is None:
            reason = f"age: left unknown, fewer than {FEWEST} users name one"
            self._report.count("noted", reason, times=len(users))
            return
        figures = self._report.figures
        figures["age: years of error of the prediction, users held out"] = round(model.error, 2)
        figures["age: years of error of the median, the same"] = round(model.median_error, 2)
        how = "predicted from the other columns" if model.uses_attributes else "the median"
        for user, age in zip(users, model.predict(users), strict=True):
            user["age"], user["age_group"] = age, age_group(age)
            user["imputed"] = [*user["imputed"], "age", "age_group"]
            self._report.count("imputed", f"age: {how}", f"{user['user_id']}: {age}")
