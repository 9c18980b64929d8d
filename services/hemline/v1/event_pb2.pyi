from hemline.v1 import common_pb2 as _common_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Event(_message.Message):
    __slots__ = ("event_id", "user_id", "item_id", "kind", "occurred_ms", "session_id", "request_id", "position")
    EVENT_ID_FIELD_NUMBER: _ClassVar[int]
    USER_ID_FIELD_NUMBER: _ClassVar[int]
    ITEM_ID_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    OCCURRED_MS_FIELD_NUMBER: _ClassVar[int]
    SESSION_ID_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    POSITION_FIELD_NUMBER: _ClassVar[int]
    event_id: str
    user_id: str
    item_id: str
    kind: _common_pb2.EventKind
    occurred_ms: int
    session_id: str
    request_id: str
    position: int
    def __init__(self, event_id: _Optional[str] = ..., user_id: _Optional[str] = ..., item_id: _Optional[str] = ..., kind: _Optional[_Union[_common_pb2.EventKind, str]] = ..., occurred_ms: _Optional[int] = ..., session_id: _Optional[str] = ..., request_id: _Optional[str] = ..., position: _Optional[int] = ...) -> None: ...

class RecordEventRequest(_message.Message):
    __slots__ = ("event",)
    EVENT_FIELD_NUMBER: _ClassVar[int]
    event: Event
    def __init__(self, event: _Optional[_Union[Event, _Mapping]] = ...) -> None: ...

class RecordEventResponse(_message.Message):
    __slots__ = ("event_id", "offset")
    EVENT_ID_FIELD_NUMBER: _ClassVar[int]
    OFFSET_FIELD_NUMBER: _ClassVar[int]
    event_id: str
    offset: int
    def __init__(self, event_id: _Optional[str] = ..., offset: _Optional[int] = ...) -> None: ...

class RecordEventsRequest(_message.Message):
    __slots__ = ("event",)
    EVENT_FIELD_NUMBER: _ClassVar[int]
    event: Event
    def __init__(self, event: _Optional[_Union[Event, _Mapping]] = ...) -> None: ...

class RecordEventsResponse(_message.Message):
    __slots__ = ("accepted", "rejected", "errors")
    ACCEPTED_FIELD_NUMBER: _ClassVar[int]
    REJECTED_FIELD_NUMBER: _ClassVar[int]
    ERRORS_FIELD_NUMBER: _ClassVar[int]
    accepted: int
    rejected: int
    errors: _containers.RepeatedCompositeFieldContainer[EventError]
    def __init__(self, accepted: _Optional[int] = ..., rejected: _Optional[int] = ..., errors: _Optional[_Iterable[_Union[EventError, _Mapping]]] = ...) -> None: ...

class EventError(_message.Message):
    __slots__ = ("index", "event_id", "field", "message")
    INDEX_FIELD_NUMBER: _ClassVar[int]
    EVENT_ID_FIELD_NUMBER: _ClassVar[int]
    FIELD_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    index: int
    event_id: str
    field: str
    message: str
    def __init__(self, index: _Optional[int] = ..., event_id: _Optional[str] = ..., field: _Optional[str] = ..., message: _Optional[str] = ...) -> None: ...

class LoggedEvent(_message.Message):
    __slots__ = ("event", "accepted_ms")
    EVENT_FIELD_NUMBER: _ClassVar[int]
    ACCEPTED_MS_FIELD_NUMBER: _ClassVar[int]
    event: Event
    accepted_ms: int
    def __init__(self, event: _Optional[_Union[Event, _Mapping]] = ..., accepted_ms: _Optional[int] = ...) -> None: ...

class LoggedImport(_message.Message):
    __slots__ = ("import_id", "user_id", "encoder_id", "vector", "weight", "items", "accepted_ms", "replace")
    IMPORT_ID_FIELD_NUMBER: _ClassVar[int]
    USER_ID_FIELD_NUMBER: _ClassVar[int]
    ENCODER_ID_FIELD_NUMBER: _ClassVar[int]
    VECTOR_FIELD_NUMBER: _ClassVar[int]
    WEIGHT_FIELD_NUMBER: _ClassVar[int]
    ITEMS_FIELD_NUMBER: _ClassVar[int]
    ACCEPTED_MS_FIELD_NUMBER: _ClassVar[int]
    REPLACE_FIELD_NUMBER: _ClassVar[int]
    import_id: str
    user_id: str
    encoder_id: str
    vector: bytes
    weight: float
    items: int
    accepted_ms: int
    replace: bool
    def __init__(self, import_id: _Optional[str] = ..., user_id: _Optional[str] = ..., encoder_id: _Optional[str] = ..., vector: _Optional[bytes] = ..., weight: _Optional[float] = ..., items: _Optional[int] = ..., accepted_ms: _Optional[int] = ..., replace: _Optional[bool] = ...) -> None: ...

class EventRecord(_message.Message):
    __slots__ = ("event", "history_import")
    EVENT_FIELD_NUMBER: _ClassVar[int]
    HISTORY_IMPORT_FIELD_NUMBER: _ClassVar[int]
    event: LoggedEvent
    history_import: LoggedImport
    def __init__(self, event: _Optional[_Union[LoggedEvent, _Mapping]] = ..., history_import: _Optional[_Union[LoggedImport, _Mapping]] = ...) -> None: ...

class Exposure(_message.Message):
    __slots__ = ("request_id", "user_id", "release", "arm", "surface", "item_ids", "scores", "degraded_stages", "answered_ms")
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    USER_ID_FIELD_NUMBER: _ClassVar[int]
    RELEASE_FIELD_NUMBER: _ClassVar[int]
    ARM_FIELD_NUMBER: _ClassVar[int]
    SURFACE_FIELD_NUMBER: _ClassVar[int]
    ITEM_IDS_FIELD_NUMBER: _ClassVar[int]
    SCORES_FIELD_NUMBER: _ClassVar[int]
    DEGRADED_STAGES_FIELD_NUMBER: _ClassVar[int]
    ANSWERED_MS_FIELD_NUMBER: _ClassVar[int]
    request_id: str
    user_id: str
    release: str
    arm: str
    surface: str
    item_ids: _containers.RepeatedScalarFieldContainer[str]
    scores: _containers.RepeatedScalarFieldContainer[float]
    degraded_stages: _containers.RepeatedScalarFieldContainer[str]
    answered_ms: int
    def __init__(self, request_id: _Optional[str] = ..., user_id: _Optional[str] = ..., release: _Optional[str] = ..., arm: _Optional[str] = ..., surface: _Optional[str] = ..., item_ids: _Optional[_Iterable[str]] = ..., scores: _Optional[_Iterable[float]] = ..., degraded_stages: _Optional[_Iterable[str]] = ..., answered_ms: _Optional[int] = ...) -> None: ...

class DeadLetter(_message.Message):
    __slots__ = ("topic", "partition", "offset", "value", "reason")
    TOPIC_FIELD_NUMBER: _ClassVar[int]
    PARTITION_FIELD_NUMBER: _ClassVar[int]
    OFFSET_FIELD_NUMBER: _ClassVar[int]
    VALUE_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    topic: str
    partition: int
    offset: int
    value: bytes
    reason: str
    def __init__(self, topic: _Optional[str] = ..., partition: _Optional[int] = ..., offset: _Optional[int] = ..., value: _Optional[bytes] = ..., reason: _Optional[str] = ...) -> None: ...
