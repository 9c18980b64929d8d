from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class EventKind(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    EVENT_KIND_UNSPECIFIED: _ClassVar[EventKind]
    EVENT_KIND_VIEW: _ClassVar[EventKind]
    EVENT_KIND_CLICK: _ClassVar[EventKind]
    EVENT_KIND_WISH: _ClassVar[EventKind]
    EVENT_KIND_BAG: _ClassVar[EventKind]
    EVENT_KIND_PURCHASE: _ClassVar[EventKind]
    EVENT_KIND_DISLIKE: _ClassVar[EventKind]
EVENT_KIND_UNSPECIFIED: EventKind
EVENT_KIND_VIEW: EventKind
EVENT_KIND_CLICK: EventKind
EVENT_KIND_WISH: EventKind
EVENT_KIND_BAG: EventKind
EVENT_KIND_PURCHASE: EventKind
EVENT_KIND_DISLIKE: EventKind

class Filter(_message.Message):
    __slots__ = ("all_of", "any_of", "negated", "is_in", "not_in", "range", "in_stock", "tenant")
    ALL_OF_FIELD_NUMBER: _ClassVar[int]
    ANY_OF_FIELD_NUMBER: _ClassVar[int]
    NEGATED_FIELD_NUMBER: _ClassVar[int]
    IS_IN_FIELD_NUMBER: _ClassVar[int]
    NOT_IN_FIELD_NUMBER: _ClassVar[int]
    RANGE_FIELD_NUMBER: _ClassVar[int]
    IN_STOCK_FIELD_NUMBER: _ClassVar[int]
    TENANT_FIELD_NUMBER: _ClassVar[int]
    all_of: FilterList
    any_of: FilterList
    negated: Filter
    is_in: AttributeIn
    not_in: AttributeIn
    range: NumericRange
    in_stock: bool
    tenant: str
    def __init__(self, all_of: _Optional[_Union[FilterList, _Mapping]] = ..., any_of: _Optional[_Union[FilterList, _Mapping]] = ..., negated: _Optional[_Union[Filter, _Mapping]] = ..., is_in: _Optional[_Union[AttributeIn, _Mapping]] = ..., not_in: _Optional[_Union[AttributeIn, _Mapping]] = ..., range: _Optional[_Union[NumericRange, _Mapping]] = ..., in_stock: _Optional[bool] = ..., tenant: _Optional[str] = ...) -> None: ...

class FilterList(_message.Message):
    __slots__ = ("filters",)
    FILTERS_FIELD_NUMBER: _ClassVar[int]
    filters: _containers.RepeatedCompositeFieldContainer[Filter]
    def __init__(self, filters: _Optional[_Iterable[_Union[Filter, _Mapping]]] = ...) -> None: ...

class AttributeIn(_message.Message):
    __slots__ = ("attribute", "values")
    ATTRIBUTE_FIELD_NUMBER: _ClassVar[int]
    VALUES_FIELD_NUMBER: _ClassVar[int]
    attribute: str
    values: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, attribute: _Optional[str] = ..., values: _Optional[_Iterable[str]] = ...) -> None: ...

class NumericRange(_message.Message):
    __slots__ = ("attribute", "min", "max", "include_unknown")
    ATTRIBUTE_FIELD_NUMBER: _ClassVar[int]
    MIN_FIELD_NUMBER: _ClassVar[int]
    MAX_FIELD_NUMBER: _ClassVar[int]
    INCLUDE_UNKNOWN_FIELD_NUMBER: _ClassVar[int]
    attribute: str
    min: float
    max: float
    include_unknown: bool
    def __init__(self, attribute: _Optional[str] = ..., min: _Optional[float] = ..., max: _Optional[float] = ..., include_unknown: _Optional[bool] = ...) -> None: ...

class Degradation(_message.Message):
    __slots__ = ("stage", "reason", "fallback")
    STAGE_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    FALLBACK_FIELD_NUMBER: _ClassVar[int]
    stage: str
    reason: str
    fallback: str
    def __init__(self, stage: _Optional[str] = ..., reason: _Optional[str] = ..., fallback: _Optional[str] = ...) -> None: ...

class Item(_message.Message):
    __slots__ = ("item_id", "title", "description", "brand", "gender", "master_category", "sub_category", "article_type", "colour", "season", "usage", "year", "price", "currency", "variant_group", "in_stock", "tenant")
    ITEM_ID_FIELD_NUMBER: _ClassVar[int]
    TITLE_FIELD_NUMBER: _ClassVar[int]
    DESCRIPTION_FIELD_NUMBER: _ClassVar[int]
    BRAND_FIELD_NUMBER: _ClassVar[int]
    GENDER_FIELD_NUMBER: _ClassVar[int]
    MASTER_CATEGORY_FIELD_NUMBER: _ClassVar[int]
    SUB_CATEGORY_FIELD_NUMBER: _ClassVar[int]
    ARTICLE_TYPE_FIELD_NUMBER: _ClassVar[int]
    COLOUR_FIELD_NUMBER: _ClassVar[int]
    SEASON_FIELD_NUMBER: _ClassVar[int]
    USAGE_FIELD_NUMBER: _ClassVar[int]
    YEAR_FIELD_NUMBER: _ClassVar[int]
    PRICE_FIELD_NUMBER: _ClassVar[int]
    CURRENCY_FIELD_NUMBER: _ClassVar[int]
    VARIANT_GROUP_FIELD_NUMBER: _ClassVar[int]
    IN_STOCK_FIELD_NUMBER: _ClassVar[int]
    TENANT_FIELD_NUMBER: _ClassVar[int]
    item_id: str
    title: str
    description: str
    brand: str
    gender: str
    master_category: str
    sub_category: str
    article_type: str
    colour: str
    season: str
    usage: str
    year: int
    price: float
    currency: str
    variant_group: str
    in_stock: bool
    tenant: str
    def __init__(self, item_id: _Optional[str] = ..., title: _Optional[str] = ..., description: _Optional[str] = ..., brand: _Optional[str] = ..., gender: _Optional[str] = ..., master_category: _Optional[str] = ..., sub_category: _Optional[str] = ..., article_type: _Optional[str] = ..., colour: _Optional[str] = ..., season: _Optional[str] = ..., usage: _Optional[str] = ..., year: _Optional[int] = ..., price: _Optional[float] = ..., currency: _Optional[str] = ..., variant_group: _Optional[str] = ..., in_stock: _Optional[bool] = ..., tenant: _Optional[str] = ...) -> None: ...

class ScorePart(_message.Message):
    __slots__ = ("name", "value", "contribution")
    NAME_FIELD_NUMBER: _ClassVar[int]
    VALUE_FIELD_NUMBER: _ClassVar[int]
    CONTRIBUTION_FIELD_NUMBER: _ClassVar[int]
    name: str
    value: float
    contribution: float
    def __init__(self, name: _Optional[str] = ..., value: _Optional[float] = ..., contribution: _Optional[float] = ...) -> None: ...

class ScoredItem(_message.Message):
    __slots__ = ("item", "score", "sources", "parts", "reason", "because_of_item_id")
    ITEM_FIELD_NUMBER: _ClassVar[int]
    SCORE_FIELD_NUMBER: _ClassVar[int]
    SOURCES_FIELD_NUMBER: _ClassVar[int]
    PARTS_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    BECAUSE_OF_ITEM_ID_FIELD_NUMBER: _ClassVar[int]
    item: Item
    score: float
    sources: _containers.RepeatedScalarFieldContainer[str]
    parts: _containers.RepeatedCompositeFieldContainer[ScorePart]
    reason: str
    because_of_item_id: str
    def __init__(self, item: _Optional[_Union[Item, _Mapping]] = ..., score: _Optional[float] = ..., sources: _Optional[_Iterable[str]] = ..., parts: _Optional[_Iterable[_Union[ScorePart, _Mapping]]] = ..., reason: _Optional[str] = ..., because_of_item_id: _Optional[str] = ...) -> None: ...

class AnswerInfo(_message.Message):
    __slots__ = ("request_id", "release", "arm", "degraded", "timings", "personal", "candidates", "history_events")
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    RELEASE_FIELD_NUMBER: _ClassVar[int]
    ARM_FIELD_NUMBER: _ClassVar[int]
    DEGRADED_FIELD_NUMBER: _ClassVar[int]
    TIMINGS_FIELD_NUMBER: _ClassVar[int]
    PERSONAL_FIELD_NUMBER: _ClassVar[int]
    CANDIDATES_FIELD_NUMBER: _ClassVar[int]
    HISTORY_EVENTS_FIELD_NUMBER: _ClassVar[int]
    request_id: str
    release: str
    arm: str
    degraded: _containers.RepeatedCompositeFieldContainer[Degradation]
    timings: _containers.RepeatedCompositeFieldContainer[StageTiming]
    personal: bool
    candidates: int
    history_events: int
    def __init__(self, request_id: _Optional[str] = ..., release: _Optional[str] = ..., arm: _Optional[str] = ..., degraded: _Optional[_Iterable[_Union[Degradation, _Mapping]]] = ..., timings: _Optional[_Iterable[_Union[StageTiming, _Mapping]]] = ..., personal: _Optional[bool] = ..., candidates: _Optional[int] = ..., history_events: _Optional[int] = ...) -> None: ...

class StageTiming(_message.Message):
    __slots__ = ("stage", "milliseconds")
    STAGE_FIELD_NUMBER: _ClassVar[int]
    MILLISECONDS_FIELD_NUMBER: _ClassVar[int]
    stage: str
    milliseconds: float
    def __init__(self, stage: _Optional[str] = ..., milliseconds: _Optional[float] = ...) -> None: ...
