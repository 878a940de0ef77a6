"""Testers' templates and finalised galleries as bytes: with their model's digest, and a digest of the whole.

The digest finds damage and rubbish. It is no secret and no signature: whoever holds such bytes can read the embeddings
in them, and compare them without this interface.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from foundation.errors import InputError
from foundation.files import digest_bytes
from indexer.models import Model

_DIGEST_BYTES = 64


@dataclass(frozen=True)
class OwnGallery:
    """A finalised gallery. ids: the tester's own, one a face. faces: float32 (n, dimension). digest: of its bytes."""

    ids: list[str]
    faces: np.ndarray
    digest: str


def template_bytes(embedding: np.ndarray, model: Model) -> bytes:
    """Returns the template of an embedding, float32 (dimension,)."""
    return _sealed("template", model, embedding.astype("<f4").tobytes())


def read_template(content: object, model: Model, what: str) -> np.ndarray:
    """Returns the embedding in a template, float32 (dimension,). what: names it in errors. Raises InputError for what
    is none, is damaged, or is another model's."""
    payload = _opened(content, "template", model, what)
    embedding = np.frombuffer(payload, dtype="<f4") if len(payload) == 4 * model.dimension else np.empty(0)
    if len(embedding) != model.dimension or not np.isfinite(embedding).all():
        raise InputError(f"{what} does not hold {model.dimension} numbers; make it anew with create_templates")
    return embedding


def gallery_bytes(ids: Sequence[str], faces: np.ndarray, model: Model) -> bytes:
    """Returns a finalised gallery. ids: one a row of faces, float32 (n, dimension)."""
    named = json.dumps(list(ids), ensure_ascii=True).encode()
    return _sealed("gallery", model, named + b"\n" + faces.astype("<f4").tobytes())


def read_own_gallery(content: bytes, model: Model, what: str) -> OwnGallery:
    """Returns a finalised gallery. Raises InputError as read_template does."""
    named, _, faces = _opened(content, "gallery", model, what).partition(b"\n")
    try:
        ids = json.loads(named)
        rows = np.frombuffer(faces, dtype="<f4").reshape(len(ids), model.dimension)
    except (ValueError, TypeError):
        raise InputError(f"{what} is not what finalise_gallery writes; finalise the gallery anew") from None
    return OwnGallery(ids, rows, digest_bytes(content))


@functools.cache
def _digest(model: Model) -> str:
    """Returns the model's digest, which takes longer to make than a template to read."""
    return model.digest


def _sealed(kind: str, model: Model, payload: bytes) -> bytes:
    body = f"afterfact {kind} 1 {_digest(model)}\n".encode() + payload
    return body + digest_bytes(body).encode()


def _opened(content: object, kind: str, model: Model, what: str) -> bytes:
    if not isinstance(content, bytes):
        raise InputError(f"{what} is {type(content).__name__} and no {kind}; give the bytes that this interface made")
    head, _, payload = content[:-_DIGEST_BYTES].partition(b"\n")
    words = head[:200].decode("ascii", "replace").split(" ")
    if len(words) != 4 or words[:3] != ["afterfact", kind, "1"]:
        raise InputError(f"{what}, of {len(content):,} bytes, is no {kind}; give the bytes that this interface made")
    if digest_bytes(content[:-_DIGEST_BYTES]).encode() != content[-_DIGEST_BYTES:]:
        raise InputError(f"{what} is damaged, its digest does not fit; make it anew, or take it from a whole copy")
    if words[3] != _digest(model):
        raise InputError(
            f"{what} is of model {words[3][:12]} and this test's is {_digest(model)[:12]}: their distances mean "
            "nothing to each other; make all templates of a test with one model"
        )
    return payload
