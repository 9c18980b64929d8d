"""What `bench retrieval` compares: our indexes, and others' with the same vectors, one thread each.

Others come with the extra `bench` (hnswlib, usearch, Qdrant's local mode, Milvus Lite); what is not
installed is left out and said.
"""

from __future__ import annotations

import importlib.util
import shutil
import tempfile
import weakref
from typing import Any, Protocol, get_args

import numpy as np
import numpy.typing as npt

from hemline.filters import Mask
from hemline.retrieval.approximate import EF_CONSTRUCTION, LINKS, AnnKind, ApproximateIndex
from hemline.retrieval.faiss_seam import Flat, bits_of
from hemline.retrieval.interface import Search
from hemline.retrieval.kinds import BRIEF, CpuKind, IndexSettings, build_index
from hemline.vectors import F32

Ids = npt.NDArray[np.integer]


class Contender(Protocol):
    """name: as in the table. filters: whether it can leave items out. keeps: whether it searches
    the vectors it is given and not a copy. effort: how much an approximate one looks at, efSearch
    or lists; 0: what it does by itself, and the others always."""

    name: str
    filters: bool
    keeps: bool
    effort: int

    def search(self, queries: F32, k: int, allowed: Mask | None) -> list[Ids]:
        """For each query (b, d) the k nearest items, best first."""


class Ours:
    """One of our indexes, as the retrieval has it."""

    filters = True
    keeps = True

    def __init__(self, vectors: F32, kind: CpuKind) -> None:
        self.name = f"hemline {kind}"
        self._all = np.ones(len(vectors), dtype=bool)
        brief = 0 if kind in get_args(AnnKind) else BRIEF  # an approximate one whatever the size
        self._built = build_index(vectors, IndexSettings(kind, brief=brief))

    @property
    def effort(self) -> int:
        """Of an approximate one; 0 of the others."""
        index = self._built.index
        return index.effort if isinstance(index, ApproximateIndex) else 0

    @effort.setter
    def effort(self, effort: int) -> None:
        if isinstance(self._built.index, ApproximateIndex):
            self._built.index.effort = effort

    def search(self, queries: F32, k: int, allowed: Mask | None) -> list[Ids]:
        mask = self._all if allowed is None else allowed
        matching = int(np.count_nonzero(mask))
        most = min(k, matching)
        batches = self._built.batches
        if batches is not None and len(queries) > 1 and batches.suits(k, matching):
            searches = [Search(query, most, mask, matching) for query in queries]
            return [rows for rows, _ in batches.search_batch(searches)]
        return [self._built.index.search(query, most, mask, matching)[0] for query in queries]


class FaissFlat:
    name = "faiss IndexFlatIP"
    filters = True
    keeps = False
    effort = 0

    def __init__(self, vectors: F32) -> None:
        self._flat = Flat(vectors)

    def search(self, queries: F32, k: int, allowed: Mask | None) -> list[Ids]:
        bits = None if allowed is None else bits_of(allowed, int(np.count_nonzero(allowed)))
        _, found = self._flat.search(queries, k, bits)
        return [row[row >= 0] for row in found]


class Hnswlib:
    name = "hnswlib"
    filters = False  # by a call into Python for each item it meets
    keeps = False

    def __init__(self, vectors: F32) -> None:
        import hnswlib

        self._index: Any = hnswlib.Index(space="ip", dim=vectors.shape[1])
        self._index.init_index(len(vectors), ef_construction=EF_CONSTRUCTION, M=LINKS)
        self._index.set_num_threads(1)
        self._index.add_items(vectors, num_threads=1)
        self.effort = 0

    def search(self, queries: F32, k: int, allowed: Mask | None) -> list[Ids]:
        self._index.set_ef(self.effort or max(128, 3 * k))
        found, _ = self._index.knn_query(queries, k=k, num_threads=1)
        return list(found)


class Usearch:
    name = "usearch"
    filters = False
    keeps = False

    def __init__(self, vectors: F32) -> None:
        from usearch.index import Index

        self._index: Any = Index(
            ndim=vectors.shape[1],
            metric="ip",
            dtype="f32",
            connectivity=LINKS,
            expansion_add=EF_CONSTRUCTION,
        )
        self._index.add(np.arange(len(vectors)), vectors, threads=1)
        self.effort = 0

    def search(self, queries: F32, k: int, allowed: Mask | None) -> list[Ids]:
        self._index.expansion_search = self.effort or max(128, 3 * k)
        found = self._index.search(queries, k, threads=1)
        return [np.asarray(found.keys)] if len(queries) == 1 else list(np.asarray(found.keys))


class QdrantLocal:
    """Its filters look at a payload; ours is one number, of which a range is allowed."""

    name = "qdrant local"
    filters = True
    keeps = False
    effort = 0

    def __init__(self, vectors: F32, place: npt.NDArray[np.int64]) -> None:
        """place: int (n,), where each item stands among 1,000,000 for filters."""
        from qdrant_client import QdrantClient, models

        self._models: Any = models
        self._client: Any = QdrantClient(":memory:")
        dot = models.VectorParams(size=vectors.shape[1], distance=models.Distance.DOT)
        self._client.create_collection("items", vectors_config=dot)
        self._client.upload_collection(
            "items",
            vectors=vectors,
            payload=[{"place": int(p)} for p in place],
            ids=range(len(vectors)),
        )
        self._place = place

    def search(self, queries: F32, k: int, allowed: Mask | None) -> list[Ids]:
        models, condition = self._models, None
        if allowed is not None:
            below = models.Range(lte=int(self._place[allowed].max()))
            condition = models.Filter(must=[models.FieldCondition(key="place", range=below)])
        return [
            np.array(
                [
                    point.id
                    for point in self._client.query_points(
                        "items", query=query, limit=k, query_filter=condition
                    ).points
                ]
            )
            for query in queries
        ]


class MilvusLite:
    """Its own flat index, in this process, without a server before it: what answers its filters
    exactly, as its graphs do not. The filter is a range of one number."""

    name = "milvus lite"
    filters = True
    keeps = False
    effort = 0

    def __init__(self, vectors: F32, place: npt.NDArray[np.int64]) -> None:
        """place: int (n,), where each item stands among all for filters."""
        import milvus_lite as milvus

        fields = [
            milvus.FieldSchema(name="id", dtype=milvus.DataType.INT64, is_primary=True),
            milvus.FieldSchema(
                name="vector", dtype=milvus.DataType.FLOAT_VECTOR, dim=vectors.shape[1]
            ),
            milvus.FieldSchema(name="place", dtype=milvus.DataType.INT64),
        ]
        folder = tempfile.mkdtemp(prefix="hemline-bench-")
        database: Any = milvus.MilvusLite(folder)
        weakref.finalize(self, _closed, database, folder)
        schema = milvus.CollectionSchema(fields=fields)
        self._items: Any = database.create_collection("items", schema)
        for start in range(0, len(vectors), 10_000):
            rows = zip(vectors[start : start + 10_000], place[start : start + 10_000], strict=True)
            self._items.insert(
                [
                    {"id": number, "vector": vector.tolist(), "place": int(stands)}
                    for number, (vector, stands) in enumerate(rows, start)
                ]
            )
        self._items.flush()
        flat = {"index_type": "FLAT", "metric_type": "IP", "params": {}}
        self._items.create_index("vector", flat)
        self._items.load()
        self._place = place

    def search(self, queries: F32, k: int, allowed: Mask | None) -> list[Ids]:
        condition = None if allowed is None else f"place <= {self._place[allowed].max()}"
        found = self._items.search(
            queries.tolist(), top_k=k, metric_type="IP", expr=condition, output_fields=[]
        )
        return [np.array([hit["id"] for hit in hits]) for hits in found]


def _closed(database: Any, folder: str) -> None:
    database.close()
    shutil.rmtree(folder)


def missing() -> list[str]:
    """The others that are not installed."""
    modules = {
        "hnswlib": "hnswlib",
        "usearch": "usearch",
        "qdrant": "qdrant_client",
        "milvus": "milvus_lite",
    }
    return [name for name, module in modules.items() if importlib.util.find_spec(module) is None]
