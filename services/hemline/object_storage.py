"""Read one object by URL: https://, http://, file://, or s3://BUCKET/KEY of any S3-like store.

s3:// is a GET signed with AWS Signature Version 4, which is all that reading takes, so no SDK is
needed. It reads the variables every S3 tool knows: AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY,
AWS_SESSION_TOKEN, AWS_REGION, and AWS_ENDPOINT_URL for a store that is not Amazon's. Without an
access key the request is not signed, for buckets anyone may read.
"""

from __future__ import annotations

import hashlib
import hmac
import http.client
import os
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import IO

from hemline.errors import InvalidInputError, NotFoundError, UnavailableError

TIMEOUT_S = 20.0
_EMPTY_SHA256 = hashlib.sha256(b"").hexdigest()


@contextmanager
def open_object(url: str, environment: Mapping[str, str] = os.environ) -> Iterator[IO[bytes]]:
    """The bytes at `url`, to be read as they arrive.

    Raises InvalidInputError for another kind of URL or one that the store refuses, NotFoundError
    when there is no such object, UnavailableError when the store does not answer or breaks off
    (also while reading).
    """
    kind = urllib.parse.urlsplit(url).scheme
    if kind not in ("https", "http", "s3", "file"):
        raise InvalidInputError(
            "url", f"{url!r} begins with neither https://, http://, s3:// nor file://"
        )
    request = s3_request(url, environment) if kind == "s3" else urllib.request.Request(url)
    try:
        with urllib.request.urlopen(request, timeout=TIMEOUT_S) as response:
            yield response
    except urllib.error.HTTPError as error:
        error.close()
        if error.code in (404, 410):
            raise NotFoundError(f"{url} does not exist (HTTP {error.code})") from error
        answer = f"{url} answered HTTP {error.code} {error.reason}"
        if 400 <= error.code < 500 and error.code not in (408, 429):  # the same again next time
            raise InvalidInputError("url", f"{answer}; check it and the credentials") from error
        raise UnavailableError(answer) from error
    except urllib.error.URLError as error:
        if isinstance(error.reason, FileNotFoundError | IsADirectoryError):
            raise NotFoundError(f"{url} does not exist") from error
        raise UnavailableError(f"{url} cannot be read: {error.reason}") from error
    except http.client.HTTPException as error:
        raise UnavailableError(f"{url} broke off: {error!r}") from error
    except (TimeoutError, ConnectionError) as error:
        raise UnavailableError(f"{url} broke off: {error}") from error


def s3_request(
    url: str, environment: Mapping[str, str], now: float | None = None
) -> urllib.request.Request:
    """The request that reads s3://BUCKET/KEY, signed if the environment has an access key.

    now: Unix time in seconds. A store of AWS_ENDPOINT_URL is asked with the bucket in the path.
    """
    parts = urllib.parse.urlsplit(url)
    if not parts.netloc or not parts.path.strip("/"):
        raise InvalidInputError("url", f"{url!r} is not s3://BUCKET/KEY")
    region = environment.get("AWS_REGION") or environment.get("AWS_DEFAULT_REGION") or "us-east-1"
    endpoint = environment.get("AWS_ENDPOINT_URL", "").rstrip("/")
    key = urllib.parse.quote(parts.path)
    if endpoint:
        target = f"{endpoint}/{parts.netloc}{key}"
    else:
        target = f"https://{parts.netloc}.s3.{region}.amazonaws.com{key}"
    headers: dict[str, str] = {}
    if environment.get("AWS_ACCESS_KEY_ID"):
        headers = signed_headers(target, environment, region, time.time() if now is None else now)
    return urllib.request.Request(target, headers=headers)


def signed_headers(
    target: str,
    environment: Mapping[str, str],
    region: str,
    now: float,
    more: Mapping[str, str] | None = None,
) -> dict[str, str]:
    """Headers of a GET without body, as "Authenticating Requests (AWS Signature Version 4)" in the
    Amazon S3 API Reference has them. more: further headers to sign, in lower case."""
    secret = environment.get("AWS_SECRET_ACCESS_KEY")
    if not secret:
        raise InvalidInputError("AWS_SECRET_ACCESS_KEY", "is not set, but AWS_ACCESS_KEY_ID is")
    parts = urllib.parse.urlsplit(target)
    stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(now))
    headers = {"x-amz-content-sha256": _EMPTY_SHA256, "x-amz-date": stamp, **(more or {})}
    if environment.get("AWS_SESSION_TOKEN"):
        headers["x-amz-security-token"] = environment["AWS_SESSION_TOKEN"]
    signed = {"host": parts.netloc, **headers}
    names = ";".join(sorted(signed))
    canonical = "\n".join(
        ["GET", parts.path, parts.query]
        + [f"{name}:{signed[name].strip()}" for name in sorted(signed)]
        + ["", names, _EMPTY_SHA256]
    )
    scope = f"{stamp[:8]}/{region}/s3/aws4_request"
    digest = hashlib.sha256(canonical.encode()).hexdigest()
    to_sign = f"AWS4-HMAC-SHA256\n{stamp}\n{scope}\n{digest}"
    signing_key = f"AWS4{secret}".encode()
    for part in scope.split("/"):
        signing_key = hmac.digest(signing_key, part.encode(), "sha256")
    signature = hmac.digest(signing_key, to_sign.encode(), "sha256").hex()
    headers["Authorization"] = (
        f"AWS4-HMAC-SHA256 Credential={environment['AWS_ACCESS_KEY_ID']}/{scope},"
        f"SignedHeaders={names},Signature={signature}"
    )
    return headers
