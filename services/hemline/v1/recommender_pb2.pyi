from hemline.v1 import common_pb2 as _common_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class RecommendRequest(_message.Message):
    __slots__ = ("user_id", "k", "filter", "exclude_item_ids", "context_item_ids", "include_seen", "diversity", "request_id", "surface")
    USER_ID_FIELD_NUMBER: _ClassVar[int]
    K_FIELD_NUMBER: _ClassVar[int]
    FILTER_FIELD_NUMBER: _ClassVar[int]
    EXCLUDE_ITEM_IDS_FIELD_NUMBER: _ClassVar[int]
    CONTEXT_ITEM_IDS_FIELD_NUMBER: _ClassVar[int]
    INCLUDE_SEEN_FIELD_NUMBER: _ClassVar[int]
    DIVERSITY_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    SURFACE_FIELD_NUMBER: _ClassVar[int]
    user_id: str
    k: int
    filter: _common_pb2.Filter
    exclude_item_ids: _containers.RepeatedScalarFieldContainer[str]
    context_item_ids: _containers.RepeatedScalarFieldContainer[str]
    include_seen: bool
    diversity: float
    request_id: str
    surface: str
    def __init__(self, user_id: _Optional[str] = ..., k: _Optional[int] = ..., filter: _Optional[_Union[_common_pb2.Filter, _Mapping]] = ..., exclude_item_ids: _Optional[_Iterable[str]] = ..., context_item_ids: _Optional[_Iterable[str]] = ..., include_seen: _Optional[bool] = ..., diversity: _Optional[float] = ..., request_id: _Optional[str] = ..., surface: _Optional[str] = ...) -> None: ...

class RecommendResponse(_message.Message):
    __slots__ = ("info", "items")
    INFO_FIELD_NUMBER: _ClassVar[int]
    ITEMS_FIELD_NUMBER: _ClassVar[int]
    info: _common_pb2.AnswerInfo
    items: _containers.RepeatedCompositeFieldContainer[_common_pb2.ScoredItem]
    def __init__(self, info: _Optional[_Union[_common_pb2.AnswerInfo, _Mapping]] = ..., items: _Optional[_Iterable[_Union[_common_pb2.ScoredItem, _Mapping]]] = ...) -> None: ...

class SimilarItemsRequest(_message.Message):
    __slots__ = ("item_id", "k", "filter", "user_id", "user_weight", "request_id")
    ITEM_ID_FIELD_NUMBER: _ClassVar[int]
    K_FIELD_NUMBER: _ClassVar[int]
    FILTER_FIELD_NUMBER: _ClassVar[int]
    USER_ID_FIELD_NUMBER: _ClassVar[int]
    USER_WEIGHT_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    item_id: str
    k: int
    filter: _common_pb2.Filter
    user_id: str
    user_weight: float
    request_id: str
    def __init__(self, item_id: _Optional[str] = ..., k: _Optional[int] = ..., filter: _Optional[_Union[_common_pb2.Filter, _Mapping]] = ..., user_id: _Optional[str] = ..., user_weight: _Optional[float] = ..., request_id: _Optional[str] = ...) -> None: ...

class SimilarItemsResponse(_message.Message):
    __slots__ = ("info", "items")
    INFO_FIELD_NUMBER: _ClassVar[int]
    ITEMS_FIELD_NUMBER: _ClassVar[int]
    info: _common_pb2.AnswerInfo
    items: _containers.RepeatedCompositeFieldContainer[_common_pb2.ScoredItem]
    def __init__(self, info: _Optional[_Union[_common_pb2.AnswerInfo, _Mapping]] = ..., items: _Optional[_Iterable[_Union[_common_pb2.ScoredItem, _Mapping]]] = ...) -> None: ...

class SearchRequest(_message.Message):
    __slots__ = ("text", "image", "k", "filter", "image_weight", "user_id", "user_weight", "request_id")
    TEXT_FIELD_NUMBER: _ClassVar[int]
    IMAGE_FIELD_NUMBER: _ClassVar[int]
    K_FIELD_NUMBER: _ClassVar[int]
    FILTER_FIELD_NUMBER: _ClassVar[int]
    IMAGE_WEIGHT_FIELD_NUMBER: _ClassVar[int]
    USER_ID_FIELD_NUMBER: _ClassVar[int]
    USER_WEIGHT_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    text: str
    image: bytes
    k: int
    filter: _common_pb2.Filter
    image_weight: float
    user_id: str
    user_weight: float
    request_id: str
    def __init__(self, text: _Optional[str] = ..., image: _Optional[bytes] = ..., k: _Optional[int] = ..., filter: _Optional[_Union[_common_pb2.Filter, _Mapping]] = ..., image_weight: _Optional[float] = ..., user_id: _Optional[str] = ..., user_weight: _Optional[float] = ..., request_id: _Optional[str] = ...) -> None: ...

class SearchResponse(_message.Message):
    __slots__ = ("info", "items")
    INFO_FIELD_NUMBER: _ClassVar[int]
    ITEMS_FIELD_NUMBER: _ClassVar[int]
    info: _common_pb2.AnswerInfo
    items: _containers.RepeatedCompositeFieldContainer[_common_pb2.ScoredItem]
    def __init__(self, info: _Optional[_Union[_common_pb2.AnswerInfo, _Mapping]] = ..., items: _Optional[_Iterable[_Union[_common_pb2.ScoredItem, _Mapping]]] = ...) -> None: ...

class FrequentlyBoughtTogetherRequest(_message.Message):
    __slots__ = ("item_ids", "k", "filter", "request_id")
    ITEM_IDS_FIELD_NUMBER: _ClassVar[int]
    K_FIELD_NUMBER: _ClassVar[int]
    FILTER_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    item_ids: _containers.RepeatedScalarFieldContainer[str]
    k: int
    filter: _common_pb2.Filter
    request_id: str
    def __init__(self, item_ids: _Optional[_Iterable[str]] = ..., k: _Optional[int] = ..., filter: _Optional[_Union[_common_pb2.Filter, _Mapping]] = ..., request_id: _Optional[str] = ...) -> None: ...

class FrequentlyBoughtTogetherResponse(_message.Message):
    __slots__ = ("info", "items")
    INFO_FIELD_NUMBER: _ClassVar[int]
    ITEMS_FIELD_NUMBER: _ClassVar[int]
    info: _common_pb2.AnswerInfo
    items: _containers.RepeatedCompositeFieldContainer[_common_pb2.ScoredItem]
    def __init__(self, info: _Optional[_Union[_common_pb2.AnswerInfo, _Mapping]] = ..., items: _Optional[_Iterable[_Union[_common_pb2.ScoredItem, _Mapping]]] = ...) -> None: ...

class ExplainRequest(_message.Message):
    __slots__ = ("user_id", "item_id", "request_id")
    USER_ID_FIELD_NUMBER: _ClassVar[int]
    ITEM_ID_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    user_id: str
    item_id: str
    request_id: str
    def __init__(self, user_id: _Optional[str] = ..., item_id: _Optional[str] = ..., request_id: _Optional[str] = ...) -> None: ...

class ExplainResponse(_message.Message):
    __slots__ = ("info", "item", "influences", "excluded_by")
    INFO_FIELD_NUMBER: _ClassVar[int]
    ITEM_FIELD_NUMBER: _ClassVar[int]
    INFLUENCES_FIELD_NUMBER: _ClassVar[int]
    EXCLUDED_BY_FIELD_NUMBER: _ClassVar[int]
    info: _common_pb2.AnswerInfo
    item: _common_pb2.ScoredItem
    influences: _containers.RepeatedCompositeFieldContainer[HistoryInfluence]
    excluded_by: str
    def __init__(self, info: _Optional[_Union[_common_pb2.AnswerInfo, _Mapping]] = ..., item: _Optional[_Union[_common_pb2.ScoredItem, _Mapping]] = ..., influences: _Optional[_Iterable[_Union[HistoryInfluence, _Mapping]]] = ..., excluded_by: _Optional[str] = ...) -> None: ...

class HistoryInfluence(_message.Message):
    __slots__ = ("item_id", "kind", "similarity", "weight")
    ITEM_ID_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    SIMILARITY_FIELD_NUMBER: _ClassVar[int]
    WEIGHT_FIELD_NUMBER: _ClassVar[int]
    item_id: str
    kind: _common_pb2.EventKind
    similarity: float
    weight: float
    def __init__(self, item_id: _Optional[str] = ..., kind: _Optional[_Union[_common_pb2.EventKind, str]] = ..., similarity: _Optional[float] = ..., weight: _Optional[float] = ...) -> None: ...
