from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class WeightedItem(_message.Message):
    __slots__ = ("item_id", "weight")
    ITEM_ID_FIELD_NUMBER: _ClassVar[int]
    WEIGHT_FIELD_NUMBER: _ClassVar[int]
    item_id: str
    weight: float
    def __init__(self, item_id: _Optional[str] = ..., weight: _Optional[float] = ...) -> None: ...

class RerankRequest(_message.Message):
    __slots__ = ("release", "history", "candidate_item_ids", "scores", "known_items")
    RELEASE_FIELD_NUMBER: _ClassVar[int]
    HISTORY_FIELD_NUMBER: _ClassVar[int]
    CANDIDATE_ITEM_IDS_FIELD_NUMBER: _ClassVar[int]
    SCORES_FIELD_NUMBER: _ClassVar[int]
    KNOWN_ITEMS_FIELD_NUMBER: _ClassVar[int]
    release: str
    history: _containers.RepeatedCompositeFieldContainer[WeightedItem]
    candidate_item_ids: _containers.RepeatedScalarFieldContainer[str]
    scores: _containers.RepeatedCompositeFieldContainer[CandidateScores]
    known_items: int
    def __init__(self, release: _Optional[str] = ..., history: _Optional[_Iterable[_Union[WeightedItem, _Mapping]]] = ..., candidate_item_ids: _Optional[_Iterable[str]] = ..., scores: _Optional[_Iterable[_Union[CandidateScores, _Mapping]]] = ..., known_items: _Optional[int] = ...) -> None: ...

class CandidateScores(_message.Message):
    __slots__ = ("part", "values")
    PART_FIELD_NUMBER: _ClassVar[int]
    VALUES_FIELD_NUMBER: _ClassVar[int]
    part: str
    values: bytes
    def __init__(self, part: _Optional[str] = ..., values: _Optional[bytes] = ...) -> None: ...

class RerankResponse(_message.Message):
    __slots__ = ("release", "scores", "parts", "segment")
    RELEASE_FIELD_NUMBER: _ClassVar[int]
    SCORES_FIELD_NUMBER: _ClassVar[int]
    PARTS_FIELD_NUMBER: _ClassVar[int]
    SEGMENT_FIELD_NUMBER: _ClassVar[int]
    release: str
    scores: bytes
    parts: _containers.RepeatedCompositeFieldContainer[PartScores]
    segment: str
    def __init__(self, release: _Optional[str] = ..., scores: _Optional[bytes] = ..., parts: _Optional[_Iterable[_Union[PartScores, _Mapping]]] = ..., segment: _Optional[str] = ...) -> None: ...

class PartScores(_message.Message):
    __slots__ = ("part", "values", "contributions")
    PART_FIELD_NUMBER: _ClassVar[int]
    VALUES_FIELD_NUMBER: _ClassVar[int]
    CONTRIBUTIONS_FIELD_NUMBER: _ClassVar[int]
    part: str
    values: bytes
    contributions: bytes
    def __init__(self, part: _Optional[str] = ..., values: _Optional[bytes] = ..., contributions: _Optional[bytes] = ...) -> None: ...

class NeighboursRequest(_message.Message):
    __slots__ = ("release", "items", "k")
    RELEASE_FIELD_NUMBER: _ClassVar[int]
    ITEMS_FIELD_NUMBER: _ClassVar[int]
    K_FIELD_NUMBER: _ClassVar[int]
    release: str
    items: _containers.RepeatedCompositeFieldContainer[WeightedItem]
    k: int
    def __init__(self, release: _Optional[str] = ..., items: _Optional[_Iterable[_Union[WeightedItem, _Mapping]]] = ..., k: _Optional[int] = ...) -> None: ...

class NeighboursResponse(_message.Message):
    __slots__ = ("release", "item_ids", "scores")
    RELEASE_FIELD_NUMBER: _ClassVar[int]
    ITEM_IDS_FIELD_NUMBER: _ClassVar[int]
    SCORES_FIELD_NUMBER: _ClassVar[int]
    release: str
    item_ids: _containers.RepeatedScalarFieldContainer[str]
    scores: bytes
    def __init__(self, release: _Optional[str] = ..., item_ids: _Optional[_Iterable[str]] = ..., scores: _Optional[bytes] = ...) -> None: ...
