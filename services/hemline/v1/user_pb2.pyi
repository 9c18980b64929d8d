from hemline.v1 import common_pb2 as _common_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class ForeignItem(_message.Message):
    __slots__ = ("title", "image", "category", "price", "currency", "weight", "kind", "occurred_ms")
    TITLE_FIELD_NUMBER: _ClassVar[int]
    IMAGE_FIELD_NUMBER: _ClassVar[int]
    CATEGORY_FIELD_NUMBER: _ClassVar[int]
    PRICE_FIELD_NUMBER: _ClassVar[int]
    CURRENCY_FIELD_NUMBER: _ClassVar[int]
    WEIGHT_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    OCCURRED_MS_FIELD_NUMBER: _ClassVar[int]
    title: str
    image: bytes
    category: str
    price: float
    currency: str
    weight: float
    kind: _common_pb2.EventKind
    occurred_ms: int
    def __init__(self, title: _Optional[str] = ..., image: _Optional[bytes] = ..., category: _Optional[str] = ..., price: _Optional[float] = ..., currency: _Optional[str] = ..., weight: _Optional[float] = ..., kind: _Optional[_Union[_common_pb2.EventKind, str]] = ..., occurred_ms: _Optional[int] = ...) -> None: ...

class ImportHistoryRequest(_message.Message):
    __slots__ = ("user_id", "items", "import_id", "platform", "replace")
    USER_ID_FIELD_NUMBER: _ClassVar[int]
    ITEMS_FIELD_NUMBER: _ClassVar[int]
    IMPORT_ID_FIELD_NUMBER: _ClassVar[int]
    PLATFORM_FIELD_NUMBER: _ClassVar[int]
    REPLACE_FIELD_NUMBER: _ClassVar[int]
    user_id: str
    items: _containers.RepeatedCompositeFieldContainer[ForeignItem]
    import_id: str
    platform: str
    replace: bool
    def __init__(self, user_id: _Optional[str] = ..., items: _Optional[_Iterable[_Union[ForeignItem, _Mapping]]] = ..., import_id: _Optional[str] = ..., platform: _Optional[str] = ..., replace: _Optional[bool] = ...) -> None: ...

class ImportHistoryResponse(_message.Message):
    __slots__ = ("import_id", "accepted", "errors", "encoder_id", "offset")
    IMPORT_ID_FIELD_NUMBER: _ClassVar[int]
    ACCEPTED_FIELD_NUMBER: _ClassVar[int]
    ERRORS_FIELD_NUMBER: _ClassVar[int]
    ENCODER_ID_FIELD_NUMBER: _ClassVar[int]
    OFFSET_FIELD_NUMBER: _ClassVar[int]
    import_id: str
    accepted: int
    errors: _containers.RepeatedCompositeFieldContainer[ForeignItemError]
    encoder_id: str
    offset: int
    def __init__(self, import_id: _Optional[str] = ..., accepted: _Optional[int] = ..., errors: _Optional[_Iterable[_Union[ForeignItemError, _Mapping]]] = ..., encoder_id: _Optional[str] = ..., offset: _Optional[int] = ...) -> None: ...

class ForeignItemError(_message.Message):
    __slots__ = ("index", "field", "message")
    INDEX_FIELD_NUMBER: _ClassVar[int]
    FIELD_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    index: int
    field: str
    message: str
    def __init__(self, index: _Optional[int] = ..., field: _Optional[str] = ..., message: _Optional[str] = ...) -> None: ...

class GetUserRequest(_message.Message):
    __slots__ = ("user_id",)
    USER_ID_FIELD_NUMBER: _ClassVar[int]
    user_id: str
    def __init__(self, user_id: _Optional[str] = ...) -> None: ...

class GetUserResponse(_message.Message):
    __slots__ = ("user_id", "known", "history", "imported_items", "vector_release", "state_version")
    USER_ID_FIELD_NUMBER: _ClassVar[int]
    KNOWN_FIELD_NUMBER: _ClassVar[int]
    HISTORY_FIELD_NUMBER: _ClassVar[int]
    IMPORTED_ITEMS_FIELD_NUMBER: _ClassVar[int]
    VECTOR_RELEASE_FIELD_NUMBER: _ClassVar[int]
    STATE_VERSION_FIELD_NUMBER: _ClassVar[int]
    user_id: str
    known: bool
    history: _containers.RepeatedCompositeFieldContainer[HistoryEntry]
    imported_items: int
    vector_release: str
    state_version: int
    def __init__(self, user_id: _Optional[str] = ..., known: _Optional[bool] = ..., history: _Optional[_Iterable[_Union[HistoryEntry, _Mapping]]] = ..., imported_items: _Optional[int] = ..., vector_release: _Optional[str] = ..., state_version: _Optional[int] = ...) -> None: ...

class HistoryEntry(_message.Message):
    __slots__ = ("item_id", "kind", "occurred_ms")
    ITEM_ID_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    OCCURRED_MS_FIELD_NUMBER: _ClassVar[int]
    item_id: str
    kind: _common_pb2.EventKind
    occurred_ms: int
    def __init__(self, item_id: _Optional[str] = ..., kind: _Optional[_Union[_common_pb2.EventKind, str]] = ..., occurred_ms: _Optional[int] = ...) -> None: ...

class EraseUserRequest(_message.Message):
    __slots__ = ("user_id", "reason")
    USER_ID_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    user_id: str
    reason: str
    def __init__(self, user_id: _Optional[str] = ..., reason: _Optional[str] = ...) -> None: ...

class EraseUserResponse(_message.Message):
    __slots__ = ("receipt_id", "existed", "erased_ms", "erased_from", "user_id_sha256")
    RECEIPT_ID_FIELD_NUMBER: _ClassVar[int]
    EXISTED_FIELD_NUMBER: _ClassVar[int]
    ERASED_MS_FIELD_NUMBER: _ClassVar[int]
    ERASED_FROM_FIELD_NUMBER: _ClassVar[int]
    USER_ID_SHA256_FIELD_NUMBER: _ClassVar[int]
    receipt_id: str
    existed: bool
    erased_ms: int
    erased_from: _containers.RepeatedScalarFieldContainer[str]
    user_id_sha256: str
    def __init__(self, receipt_id: _Optional[str] = ..., existed: _Optional[bool] = ..., erased_ms: _Optional[int] = ..., erased_from: _Optional[_Iterable[str]] = ..., user_id_sha256: _Optional[str] = ...) -> None: ...
