"""What one index job is asked to do, validated before anything starts."""

from __future__ import annotations

import re
from dataclasses import asdict, dataclass, field, fields
from functools import cached_property
from pathlib import Path
from typing import Any

import rfc8785

from foundation.errors import InputError
from foundation.files import digest_bytes
from foundation.settings import read_yaml, refuse_unknown_keys
from indexer.containers import is_container
from indexer.embedder_file import GivenEmbedder, given_embedder
from indexer.face import default_detector
from indexer.limits import Limits
from indexer.locations import Source, folder_of, parse_source, readable, suffix_of, whole

GALLERY_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,62}")
LIST_SUFFIXES = (".csv", ".parquet")
SEGMENT_PHOTOS = 512
SMALLEST_SEGMENT = 16
SEGMENTS_A_WORKER = 8  # fewer leave a worker idle at the end of a small archive


def require_sizes(segment_photos: int, workers: int) -> None:
    """Raises InputError for photos a segment, or workers, that are no number of them."""
    for name, value, largest in (("segment_photos", segment_photos, 100_000), ("workers", workers, 1024)):
        if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= largest:
            raise InputError(f"{name} is {value!r}; give a whole number from 0 (chosen for you) to {largest:,}")


def require_gallery_name(name: str) -> str:
    """Returns name. Raises InputError where it could not be a folder's name everywhere."""
    if not isinstance(name, str) or not GALLERY_NAME.fullmatch(name):
        raise InputError(
            f"gallery name {name!r} is not allowed; use 1 to 63 of a-z, 0-9, '-' and '_', a letter or digit first"
        )
    return name


@dataclass(frozen=True)
class IndexJob:
    """One archive into one gallery.

    archive: a folder, a .zip or .tar file, or a CSV or Parquet list with a column `photo`, here or in an object store.
    root: the folder that relative photos start from and that no photo may lead out of; the archive's own folder unless
    given. folder_subjects: in a folder, zip or tar file, `subject/photo` names the subject. embedder: the file of
    another embedder than the built-in one. mirrored: see indexer.models.Model. segment_photos: photos a segment, 0 for
    a size that suits the archive. workers: processes, 0 for one a core.
    limit_rejected: highest share of looked-at photos that may be rejected before the exit code says so, 0 to 1.
    Raises InputError.
    """

    gallery: str
    archive: Source
    root: Source | None = None
    folder_subjects: bool = False
    rehash: bool = False
    retry_rejected: bool = False
    embedder: Path | None = None
    mirrored: bool = False
    limit_rejected: float | None = None
    segment_photos: int = 0
    workers: int = 0
    limits: Limits = field(default_factory=Limits)

    def __post_init__(self) -> None:
        require_gallery_name(self.gallery)
        if isinstance(self.archive, Path) and not self.archive.exists():
            raise InputError(
                f"archive {self.archive} does not exist; name a folder, a .zip or .tar file, or a CSV or Parquet list"
            )
        if isinstance(self.root, Path) and not self.root.is_dir():
            raise InputError(f"root {self.root} is not a folder; name the folder that the list's photos start from")
        if self.root is not None and not self.is_list:  # its photos would be sought below the root, and all be missing
            raise InputError(
                f"root {self.root} goes with a list of photos; {self.archive} is none and holds its photos itself: "
                "leave root out"
            )
        if self.folder_subjects and self.is_list:
            raise InputError(
                f"folder_subjects goes with a folder, zip or tar file; {self.archive} is a list with its own subjects"
            )
        for name, path in (("archive", whole(self.archive)), ("root", self.archive_root)):
            if readable(str(path)) != str(path):
                raise InputError(f"{name} {readable(str(path))} is not UTF-8; rename it")
        require_sizes(self.segment_photos, self.workers)
        if self.embedder is not None:
            _ = self.given  # what is wrong with it is told before anything begins

    @cached_property
    def given(self) -> GivenEmbedder:
        """What the photos are embedded with."""
        return given_embedder(self.embedder, self.mirrored)

    @property
    def is_folder(self) -> bool:
        """Whether the archive is a folder, or in a store whatever is no zip or tar file and no list by its name."""
        if isinstance(self.archive, Path):
            return self.archive.is_dir()
        return suffix_of(self.archive) not in LIST_SUFFIXES and not is_container(self.archive)

    @property
    def is_list(self) -> bool:
        """Whether the archive names its photos, which then lie elsewhere."""
        return not self.is_folder and not is_container(self.archive)

    @property
    def archive_root(self) -> Source:
        """The folder, links resolved, or the prefix that every photo must lie in."""
        if self.root is not None:
            return whole(self.root)
        if self.is_folder:
            return whole(self.archive)
        # A link may lead to a container anywhere, as it may to a folder; a list's photos start from where it is named.
        return folder_of(whole(self.archive) if is_container(self.archive) else self.archive)

    @property
    def settings_digest(self) -> str:
        """SHA-256 of whatever decides what a segment holds, besides its photos and the model."""
        return settings_digest(self.limits)

    @property
    def digest(self) -> str:
        """SHA-256 of what makes two calls the same job, so that the second goes on where the first stopped."""
        return _digest(
            {
                "gallery": self.gallery,
                "archive": str(whole(self.archive)),
                "root": str(self.archive_root),
                "folder_subjects": self.folder_subjects,
                "rehash": self.rehash,
                "retry_rejected": self.retry_rejected,
                "settings": self.settings_digest,
                "model": self.given.model.digest,
            }
        )


def _digest(value: dict[str, Any]) -> str:
    return digest_bytes(rfc8785.dumps(value))


def settings_digest(limits: Limits) -> str:
    """Returns IndexJob.settings_digest for these limits and this installation's detector."""
    return _digest({"limits": asdict(limits), "detector": default_detector().name})


def read_limits(job_file: Path) -> Limits:
    """Returns the limits of a job file; whether its archive is there does not matter. Raises InputError."""
    return Limits.from_settings(_limits_in(_read_settings(job_file)))


def _read_settings(job_file: Path) -> dict[str, Any]:
    settings = read_yaml(job_file)
    refuse_unknown_keys(settings, (one.name for one in fields(IndexJob)), str(job_file))
    return settings


def _limits_in(settings: dict[str, Any]) -> dict[str, Any]:
    limits = settings.get("limits") or {}
    if not isinstance(limits, dict):
        raise InputError(f"limits is {limits!r}; give 'name: number' lines below it")
    return limits


def read_job(job_file: Path | None, flags: dict[str, Any]) -> IndexJob:
    """Returns the job in a YAML file with the given flags laid over it (None: not given).

    Paths in the file start from the file's folder. Raises InputError.
    """
    settings: dict[str, Any] = {}
    if job_file is not None:
        settings = _read_settings(job_file)
        for name in ("archive", "root", "embedder"):
            if settings.get(name) is not None:
                source = parse_source(str(settings[name]), name)
                settings[name] = job_file.parent / source.expanduser() if isinstance(source, Path) else source
    limits = _limits_in(settings)
    settings.update({name: value for name, value in flags.items() if value is not None})
    settings["limits"] = {**limits, **(flags.get("limits") or {})}
    for name in ("gallery", "archive"):
        if not settings.get(name):
            raise InputError(f"no {name}: give --{name}, or a job file with the line '{name}: ...'")
    for name in ("archive", "root", "embedder"):
        if settings.get(name) is not None:
            settings[name] = parse_source(settings[name], name)
    if isinstance(settings.get("embedder"), str):
        raise InputError(f"embedder {settings['embedder']} is in a store; copy it here and name the file")
    for name in ("folder_subjects", "rehash", "retry_rejected", "mirrored"):
        if not isinstance(settings.get(name, False), bool):
            raise InputError(f"{name} is {settings[name]!r}; give true or false")
    if settings.get("limit_rejected") is not None:
        settings["limit_rejected"] = parse_share(settings["limit_rejected"])
    return IndexJob(**{**settings, "limits": Limits.from_settings(settings["limits"])})


def parse_share(value: object, name: str = "limit_rejected") -> float:
    """Returns 0.05 for "5%" or 0.05. Raises InputError outside 0 to 1, which names what it is of."""
    text = str(value).strip()
    try:
        share = float(text[:-1]) / 100 if text.endswith("%") else float(text)
    except ValueError:
        share = -1.0
    if not 0 <= share <= 1:
        raise InputError(f"{name} is {text!r}; give a share such as 5% or 0.05")
    return share


def segment_size(photos: int, workers: int, asked: int) -> int:
    """Returns how many photos a segment holds: as asked, else at most 512, and several segments a worker."""
    if asked:
        return asked
    return max(SMALLEST_SEGMENT, min(SEGMENT_PHOTOS, -(-photos // (SEGMENTS_A_WORKER * max(1, workers)))))
