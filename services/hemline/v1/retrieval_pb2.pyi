from hemline.v1 import common_pb2 as _common_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class VectorSpace(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    VECTOR_SPACE_UNSPECIFIED: _ClassVar[VectorSpace]
    VECTOR_SPACE_TOWER: _ClassVar[VectorSpace]
    VECTOR_SPACE_CONTENT: _ClassVar[VectorSpace]
    VECTOR_SPACE_IMAGE: _ClassVar[VectorSpace]
    VECTOR_SPACE_TEXT: _ClassVar[VectorSpace]
VECTOR_SPACE_UNSPECIFIED: VectorSpace
VECTOR_SPACE_TOWER: VectorSpace
VECTOR_SPACE_CONTENT: VectorSpace
VECTOR_SPACE_IMAGE: VectorSpace
VECTOR_SPACE_TEXT: VectorSpace

class VectorQuery(_message.Message):
    __slots__ = ("space", "vector", "dim", "k", "filter", "exclude_item_ids", "collapse_variants", "weight", "also")
    SPACE_FIELD_NUMBER: _ClassVar[int]
    VECTOR_FIELD_NUMBER: _ClassVar[int]
    DIM_FIELD_NUMBER: _ClassVar[int]
    K_FIELD_NUMBER: _ClassVar[int]
    FILTER_FIELD_NUMBER: _ClassVar[int]
    EXCLUDE_ITEM_IDS_FIELD_NUMBER: _ClassVar[int]
    COLLAPSE_VARIANTS_FIELD_NUMBER: _ClassVar[int]
    WEIGHT_FIELD_NUMBER: _ClassVar[int]
    ALSO_FIELD_NUMBER: _ClassVar[int]
    space: VectorSpace
    vector: bytes
    dim: int
    k: int
    filter: _common_pb2.Filter
    exclude_item_ids: _containers.RepeatedScalarFieldContainer[str]
    collapse_variants: bool
    weight: float
    also: _containers.RepeatedCompositeFieldContainer[WeightedVector]
    def __init__(self, space: _Optional[_Union[VectorSpace, str]] = ..., vector: _Optional[bytes] = ..., dim: _Optional[int] = ..., k: _Optional[int] = ..., filter: _Optional[_Union[_common_pb2.Filter, _Mapping]] = ..., exclude_item_ids: _Optional[_Iterable[str]] = ..., collapse_variants: _Optional[bool] = ..., weight: _Optional[float] = ..., also: _Optional[_Iterable[_Union[WeightedVector, _Mapping]]] = ...) -> None: ...

class WeightedVector(_message.Message):
    __slots__ = ("space", "vector", "dim", "weight")
    SPACE_FIELD_NUMBER: _ClassVar[int]
    VECTOR_FIELD_NUMBER: _ClassVar[int]
    DIM_FIELD_NUMBER: _ClassVar[int]
    WEIGHT_FIELD_NUMBER: _ClassVar[int]
    space: VectorSpace
    vector: bytes
    dim: int
    weight: float
    def __init__(self, space: _Optional[_Union[VectorSpace, str]] = ..., vector: _Optional[bytes] = ..., dim: _Optional[int] = ..., weight: _Optional[float] = ...) -> None: ...

class RetrievalServiceSearchRequest(_message.Message):
    __slots__ = ("release", "queries", "tenant")
    RELEASE_FIELD_NUMBER: _ClassVar[int]
    QUERIES_FIELD_NUMBER: _ClassVar[int]
    TENANT_FIELD_NUMBER: _ClassVar[int]
    release: str
    queries: _containers.RepeatedCompositeFieldContainer[VectorQuery]
    tenant: str
    def __init__(self, release: _Optional[str] = ..., queries: _Optional[_Iterable[_Union[VectorQuery, _Mapping]]] = ..., tenant: _Optional[str] = ...) -> None: ...

class RetrievalServiceSearchResponse(_message.Message):
    __slots__ = ("release", "hits")
    RELEASE_FIELD_NUMBER: _ClassVar[int]
    HITS_FIELD_NUMBER: _ClassVar[int]
    release: str
    hits: _containers.RepeatedCompositeFieldContainer[Hits]
    def __init__(self, release: _Optional[str] = ..., hits: _Optional[_Iterable[_Union[Hits, _Mapping]]] = ...) -> None: ...

class Hits(_message.Message):
    __slots__ = ("item_ids", "scores", "matching")
    ITEM_IDS_FIELD_NUMBER: _ClassVar[int]
    SCORES_FIELD_NUMBER: _ClassVar[int]
    MATCHING_FIELD_NUMBER: _ClassVar[int]
    item_ids: _containers.RepeatedScalarFieldContainer[str]
    scores: bytes
    matching: int
    def __init__(self, item_ids: _Optional[_Iterable[str]] = ..., scores: _Optional[bytes] = ..., matching: _Optional[int] = ...) -> None: ...

class UpsertRequest(_message.Message):
    __slots__ = ("release", "items")
    RELEASE_FIELD_NUMBER: _ClassVar[int]
    ITEMS_FIELD_NUMBER: _ClassVar[int]
    release: str
    items: _containers.RepeatedCompositeFieldContainer[IndexedItem]
    def __init__(self, release: _Optional[str] = ..., items: _Optional[_Iterable[_Union[IndexedItem, _Mapping]]] = ...) -> None: ...

class IndexedItem(_message.Message):
    __slots__ = ("item", "content_vector", "tower_vector", "release", "deleted", "order", "accepted_ms", "image_vector", "text_vector")
    ITEM_FIELD_NUMBER: _ClassVar[int]
    CONTENT_VECTOR_FIELD_NUMBER: _ClassVar[int]
    TOWER_VECTOR_FIELD_NUMBER: _ClassVar[int]
    RELEASE_FIELD_NUMBER: _ClassVar[int]
    DELETED_FIELD_NUMBER: _ClassVar[int]
    ORDER_FIELD_NUMBER: _ClassVar[int]
    ACCEPTED_MS_FIELD_NUMBER: _ClassVar[int]
    IMAGE_VECTOR_FIELD_NUMBER: _ClassVar[int]
    TEXT_VECTOR_FIELD_NUMBER: _ClassVar[int]
    item: _common_pb2.Item
    content_vector: bytes
    tower_vector: bytes
    release: str
    deleted: bool
    order: int
    accepted_ms: int
    image_vector: bytes
    text_vector: bytes
    def __init__(self, item: _Optional[_Union[_common_pb2.Item, _Mapping]] = ..., content_vector: _Optional[bytes] = ..., tower_vector: _Optional[bytes] = ..., release: _Optional[str] = ..., deleted: _Optional[bool] = ..., order: _Optional[int] = ..., accepted_ms: _Optional[int] = ..., image_vector: _Optional[bytes] = ..., text_vector: _Optional[bytes] = ...) -> None: ...

class UpsertResponse(_message.Message):
    __slots__ = ("upserted",)
    UPSERTED_FIELD_NUMBER: _ClassVar[int]
    upserted: int
    def __init__(self, upserted: _Optional[int] = ...) -> None: ...

class DeleteRequest(_message.Message):
    __slots__ = ("item_ids",)
    ITEM_IDS_FIELD_NUMBER: _ClassVar[int]
    item_ids: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, item_ids: _Optional[_Iterable[str]] = ...) -> None: ...

class DeleteResponse(_message.Message):
    __slots__ = ("deleted",)
    DELETED_FIELD_NUMBER: _ClassVar[int]
    deleted: int
    def __init__(self, deleted: _Optional[int] = ...) -> None: ...

class LoadReleaseRequest(_message.Message):
    __slots__ = ("release",)
    RELEASE_FIELD_NUMBER: _ClassVar[int]
    release: str
    def __init__(self, release: _Optional[str] = ...) -> None: ...

class LoadReleaseResponse(_message.Message):
    __slots__ = ("items",)
    ITEMS_FIELD_NUMBER: _ClassVar[int]
    items: int
    def __init__(self, items: _Optional[int] = ...) -> None: ...

class StatsRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class StatsResponse(_message.Message):
    __slots__ = ("release", "loaded_releases", "items", "deleted", "dims", "index_kind", "bytes")
    class DimsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: int
        def __init__(self, key: _Optional[str] = ..., value: _Optional[int] = ...) -> None: ...
    RELEASE_FIELD_NUMBER: _ClassVar[int]
    LOADED_RELEASES_FIELD_NUMBER: _ClassVar[int]
    ITEMS_FIELD_NUMBER: _ClassVar[int]
    DELETED_FIELD_NUMBER: _ClassVar[int]
    DIMS_FIELD_NUMBER: _ClassVar[int]
    INDEX_KIND_FIELD_NUMBER: _ClassVar[int]
    BYTES_FIELD_NUMBER: _ClassVar[int]
    release: str
    loaded_releases: _containers.RepeatedScalarFieldContainer[str]
    items: int
    deleted: int
    dims: _containers.ScalarMap[str, int]
    index_kind: str
    bytes: int
    def __init__(self, release: _Optional[str] = ..., loaded_releases: _Optional[_Iterable[str]] = ..., items: _Optional[int] = ..., deleted: _Optional[int] = ..., dims: _Optional[_Mapping[str, int]] = ..., index_kind: _Optional[str] = ..., bytes: _Optional[int] = ...) -> None: ...
