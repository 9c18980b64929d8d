from hemline.v1 import common_pb2 as _common_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class UpsertItemsRequest(_message.Message):
    __slots__ = ("item", "image", "content_vector", "encoder_id")
    ITEM_FIELD_NUMBER: _ClassVar[int]
    IMAGE_FIELD_NUMBER: _ClassVar[int]
    CONTENT_VECTOR_FIELD_NUMBER: _ClassVar[int]
    ENCODER_ID_FIELD_NUMBER: _ClassVar[int]
    item: _common_pb2.Item
    image: bytes
    content_vector: bytes
    encoder_id: str
    def __init__(self, item: _Optional[_Union[_common_pb2.Item, _Mapping]] = ..., image: _Optional[bytes] = ..., content_vector: _Optional[bytes] = ..., encoder_id: _Optional[str] = ...) -> None: ...

class UpsertItemsResponse(_message.Message):
    __slots__ = ("accepted", "rejected", "errors")
    ACCEPTED_FIELD_NUMBER: _ClassVar[int]
    REJECTED_FIELD_NUMBER: _ClassVar[int]
    ERRORS_FIELD_NUMBER: _ClassVar[int]
    accepted: int
    rejected: int
    errors: _containers.RepeatedCompositeFieldContainer[ItemError]
    def __init__(self, accepted: _Optional[int] = ..., rejected: _Optional[int] = ..., errors: _Optional[_Iterable[_Union[ItemError, _Mapping]]] = ...) -> None: ...

class ItemError(_message.Message):
    __slots__ = ("index", "item_id", "field", "message")
    INDEX_FIELD_NUMBER: _ClassVar[int]
    ITEM_ID_FIELD_NUMBER: _ClassVar[int]
    FIELD_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    index: int
    item_id: str
    field: str
    message: str
    def __init__(self, index: _Optional[int] = ..., item_id: _Optional[str] = ..., field: _Optional[str] = ..., message: _Optional[str] = ...) -> None: ...

class DeleteItemsRequest(_message.Message):
    __slots__ = ("item_ids",)
    ITEM_IDS_FIELD_NUMBER: _ClassVar[int]
    item_ids: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, item_ids: _Optional[_Iterable[str]] = ...) -> None: ...

class DeleteItemsResponse(_message.Message):
    __slots__ = ("deleted", "unknown_item_ids")
    DELETED_FIELD_NUMBER: _ClassVar[int]
    UNKNOWN_ITEM_IDS_FIELD_NUMBER: _ClassVar[int]
    deleted: int
    unknown_item_ids: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, deleted: _Optional[int] = ..., unknown_item_ids: _Optional[_Iterable[str]] = ...) -> None: ...

class GetItemsRequest(_message.Message):
    __slots__ = ("item_ids", "include_images")
    ITEM_IDS_FIELD_NUMBER: _ClassVar[int]
    INCLUDE_IMAGES_FIELD_NUMBER: _ClassVar[int]
    item_ids: _containers.RepeatedScalarFieldContainer[str]
    include_images: bool
    def __init__(self, item_ids: _Optional[_Iterable[str]] = ..., include_images: _Optional[bool] = ...) -> None: ...

class GetItemsResponse(_message.Message):
    __slots__ = ("items", "unknown_item_ids", "release")
    ITEMS_FIELD_NUMBER: _ClassVar[int]
    UNKNOWN_ITEM_IDS_FIELD_NUMBER: _ClassVar[int]
    RELEASE_FIELD_NUMBER: _ClassVar[int]
    items: _containers.RepeatedCompositeFieldContainer[CatalogItem]
    unknown_item_ids: _containers.RepeatedScalarFieldContainer[str]
    release: str
    def __init__(self, items: _Optional[_Iterable[_Union[CatalogItem, _Mapping]]] = ..., unknown_item_ids: _Optional[_Iterable[str]] = ..., release: _Optional[str] = ...) -> None: ...

class CatalogueRecord(_message.Message):
    __slots__ = ("item", "image", "content_vector", "encoder_id", "deleted", "accepted_ms")
    ITEM_FIELD_NUMBER: _ClassVar[int]
    IMAGE_FIELD_NUMBER: _ClassVar[int]
    CONTENT_VECTOR_FIELD_NUMBER: _ClassVar[int]
    ENCODER_ID_FIELD_NUMBER: _ClassVar[int]
    DELETED_FIELD_NUMBER: _ClassVar[int]
    ACCEPTED_MS_FIELD_NUMBER: _ClassVar[int]
    item: _common_pb2.Item
    image: bytes
    content_vector: bytes
    encoder_id: str
    deleted: bool
    accepted_ms: int
    def __init__(self, item: _Optional[_Union[_common_pb2.Item, _Mapping]] = ..., image: _Optional[bytes] = ..., content_vector: _Optional[bytes] = ..., encoder_id: _Optional[str] = ..., deleted: _Optional[bool] = ..., accepted_ms: _Optional[int] = ...) -> None: ...

class CatalogItem(_message.Message):
    __slots__ = ("item", "image")
    ITEM_FIELD_NUMBER: _ClassVar[int]
    IMAGE_FIELD_NUMBER: _ClassVar[int]
    item: _common_pb2.Item
    image: bytes
    def __init__(self, item: _Optional[_Union[_common_pb2.Item, _Mapping]] = ..., image: _Optional[bytes] = ...) -> None: ...
