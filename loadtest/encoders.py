"""How fast Triton answers one caller: latency alone and throughput with calls in flight.

    python loadtest/encoders.py --address 127.0.0.1:7111 --version 1 --clip-dim 128

Prints a table; the time is the client's, from the call to the vectors.
"""

from __future__ import annotations

import argparse
import asyncio
import io
import time
from collections.abc import Awaitable, Callable

import numpy as np
from PIL import Image

from hemline.triton import TritonEncoders
from hemline.vectors import normalise

TIMEOUT_S = 10.0
Call = Callable[[], Awaitable[object]]


async def in_flight(call: Call, workers: int, seconds: float) -> tuple[float, float, float]:
    """Calls a second, median and 99th percentile in ms, with so many calls in flight."""
    took: list[float] = []
    end = time.perf_counter() + seconds

    async def work() -> None:
        while (began := time.perf_counter()) < end:
            await call()
            took.append(1e3 * (time.perf_counter() - began))

    began = time.perf_counter()
    await asyncio.gather(*(work() for _ in range(workers)))
    rate = len(took) / (time.perf_counter() - began)
    return rate, float(np.percentile(took, 50)), float(np.percentile(took, 99))


def photo(width: int, height: int) -> bytes:
    """A JPEG with soft structure, about as large as a product photo of that size."""
    noise = np.random.default_rng(0).integers(0, 255, (height // 16, width // 16, 3), np.uint8)
    data = io.BytesIO()
    Image.fromarray(noise).resize((width, height), Image.Resampling.BICUBIC).save(data, "JPEG")
    return data.getvalue()


async def main(args: argparse.Namespace) -> None:
    encoders = TritonEncoders(args.address)
    profile = normalise(np.random.default_rng(0).normal(size=(1, args.clip_dim)))
    text, image = "Mother Earth Women Aug Bagru Red Kurtas, kurtas, topwear", photo(384, 512)
    calls: dict[str, Call] = {
        "user_tower, 1 row": lambda: encoders.user_vectors(profile, args.version, TIMEOUT_S),
        "clip_text, 1 text": lambda: encoders.text_vectors([text], args.version, TIMEOUT_S),
        "clip_image, 1 JPEG 384x512": lambda: encoders.image_vectors(
            [image], args.version, TIMEOUT_S
        ),
    }
    print(f"{'call':<28} {'in flight':>9} {'calls/s':>9} {'p50 ms':>8} {'p99 ms':>8}")
    for name, call in calls.items():
        for workers in (1, 16):
            await in_flight(call, workers, 0.2)
            rate, median, p99 = await in_flight(call, workers, args.seconds)
            print(f"{name:<28} {workers:>9} {rate:>9.0f} {median:>8.2f} {p99:>8.2f}")
    await encoders.close()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--address", default="127.0.0.1:7111")
    parser.add_argument("--version", type=int, default=1)
    parser.add_argument("--clip-dim", type=int, default=128)
    parser.add_argument("--seconds", type=float, default=5.0)
    asyncio.run(main(parser.parse_args()))
