from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class StoredUserState(_message.Message):
    __slots__ = ("schema_version", "user_id", "history", "recent_event_ids", "applied", "imported", "vector", "lineage")
    SCHEMA_VERSION_FIELD_NUMBER: _ClassVar[int]
    USER_ID_FIELD_NUMBER: _ClassVar[int]
    HISTORY_FIELD_NUMBER: _ClassVar[int]
    RECENT_EVENT_IDS_FIELD_NUMBER: _ClassVar[int]
    APPLIED_FIELD_NUMBER: _ClassVar[int]
    IMPORTED_FIELD_NUMBER: _ClassVar[int]
    VECTOR_FIELD_NUMBER: _ClassVar[int]
    LINEAGE_FIELD_NUMBER: _ClassVar[int]
    schema_version: int
    user_id: str
    history: StoredHistory
    recent_event_ids: _containers.RepeatedScalarFieldContainer[int]
    applied: StoredPosition
    imported: StoredImport
    vector: StoredUserVector
    lineage: int
    def __init__(self, schema_version: _Optional[int] = ..., user_id: _Optional[str] = ..., history: _Optional[_Union[StoredHistory, _Mapping]] = ..., recent_event_ids: _Optional[_Iterable[int]] = ..., applied: _Optional[_Union[StoredPosition, _Mapping]] = ..., imported: _Optional[_Union[StoredImport, _Mapping]] = ..., vector: _Optional[_Union[StoredUserVector, _Mapping]] = ..., lineage: _Optional[int] = ...) -> None: ...

class StoredHistory(_message.Message):
    __slots__ = ("item_ids", "kinds", "occurred_ms", "kind_names")
    ITEM_IDS_FIELD_NUMBER: _ClassVar[int]
    KINDS_FIELD_NUMBER: _ClassVar[int]
    OCCURRED_MS_FIELD_NUMBER: _ClassVar[int]
    KIND_NAMES_FIELD_NUMBER: _ClassVar[int]
    item_ids: _containers.RepeatedScalarFieldContainer[str]
    kinds: _containers.RepeatedScalarFieldContainer[int]
    occurred_ms: _containers.RepeatedScalarFieldContainer[int]
    kind_names: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, item_ids: _Optional[_Iterable[str]] = ..., kinds: _Optional[_Iterable[int]] = ..., occurred_ms: _Optional[_Iterable[int]] = ..., kind_names: _Optional[_Iterable[str]] = ...) -> None: ...

class StoredPosition(_message.Message):
    __slots__ = ("partition", "offset")
    PARTITION_FIELD_NUMBER: _ClassVar[int]
    OFFSET_FIELD_NUMBER: _ClassVar[int]
    partition: int
    offset: int
    def __init__(self, partition: _Optional[int] = ..., offset: _Optional[int] = ...) -> None: ...

class StoredImport(_message.Message):
    __slots__ = ("encoder_id", "vector", "weight", "items", "imported_ms")
    ENCODER_ID_FIELD_NUMBER: _ClassVar[int]
    VECTOR_FIELD_NUMBER: _ClassVar[int]
    WEIGHT_FIELD_NUMBER: _ClassVar[int]
    ITEMS_FIELD_NUMBER: _ClassVar[int]
    IMPORTED_MS_FIELD_NUMBER: _ClassVar[int]
    encoder_id: str
    vector: bytes
    weight: float
    items: int
    imported_ms: int
    def __init__(self, encoder_id: _Optional[str] = ..., vector: _Optional[bytes] = ..., weight: _Optional[float] = ..., items: _Optional[int] = ..., imported_ms: _Optional[int] = ...) -> None: ...

class StoredUserVector(_message.Message):
    __slots__ = ("release", "vector")
    RELEASE_FIELD_NUMBER: _ClassVar[int]
    VECTOR_FIELD_NUMBER: _ClassVar[int]
    release: str
    vector: bytes
    def __init__(self, release: _Optional[str] = ..., vector: _Optional[bytes] = ...) -> None: ...
