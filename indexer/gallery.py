"""A gallery, on disk or in an object store: where its parts are, which version is current, and who may publish now.

    table/           the Delta table `photos`, one row a photo
    index/N/         search files of table version N; never changed once written; index.json is written last
    runs/ID/         manifest and segments of an unfinished run
    accounts/ID.json what each finished run did, and its list of rejections

Reading a version needs neither Delta nor pyarrow.dataset.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import rfc8785

from foundation.errors import AfterfactError, nearest
from foundation.files import digest_bytes, write_whole
from foundation.gallery_place import galleries_of
from foundation.store_path import Place, StorePath
from indexer.job import require_gallery_name
from indexer.models import Model

if TYPE_CHECKING:
    import filelock

INDEX_FORMAT = 2
FACES = "faces.faiss"
LABELS = "labels.arrow"
CALIBRATION = "calibration.json"
CALIBRATION_GROUPS = "calibration-groups.json"


class GalleryError(AfterfactError):
    """A gallery is absent, broken, of another model, or in use."""


@dataclass(frozen=True)
class Version:
    """One published version. about: index.json's content."""

    number: int
    folder: Place
    about: dict[str, Any]

    @property
    def model_digest(self) -> str:
        return str(self.about["model"]["digest"])

    @property
    def limits(self) -> dict[str, float] | None:
        """The limits of quality that the gallery began with or was requalified with; None where an older Afterfact
        made it, which did not remember them."""
        return self.about.get("limits")

    @property
    def model(self) -> Model:
        """What its faces were embedded with, and probes therefore have to be. Raises ModelError."""
        return Model.from_json(self.about["model"])


class Gallery:
    """The gallery `name` of the data home. Making the object reads where galleries lie and touches nothing.

    cache: a folder of this machine's in the data home, for what belongs to a gallery that lies in a store.
    """

    def __init__(self, home: Path, name: str) -> None:
        self.name = require_gallery_name(name)
        self.home = home
        self.folder = galleries_of(home) / self.name
        self.cache = home / "cache" / self.name
        self.table = self.folder / "table"
        self.index = self.folder / "index"
        self.runs = self.folder / "runs"
        self.accounts = self.folder / "accounts"

    def exists(self) -> bool:
        return self.folder.is_dir()

    def require(self) -> Gallery:
        """Returns self. Raises GalleryError naming the nearest gallery where this one is absent."""
        if not self.exists():
            there = gallery_names(self.home)
            where = self.folder.parent if isinstance(self.folder, StorePath) else self.home
            raise GalleryError(
                f"no gallery {self.name!r} in {where}{nearest(self.name, there)} "
                f"(galleries: {', '.join(there) or 'none yet; afterfact index makes one'})"
            )
        return self

    def make_folders(self) -> None:
        for folder in (self.folder, self.index, self.runs, self.accounts):
            folder.mkdir(parents=True, exist_ok=True)

    def make_cache(self) -> Path:
        """Makes the cache folder, which nobody else may enter, and returns it."""
        for folder in (self.cache.parent, self.cache):
            folder.mkdir(mode=0o700, exist_ok=True)
        return self.cache

    def publisher_lock(self) -> filelock.BaseFileLock:
        """Returns the lock that a run holds from plan to publish; the system drops it when its holder dies.

        It is between the runs of this data home. Between those of several homes over one store, the commit decides.
        """
        import filelock  # a search, which takes no lock, need not wait for it

        folder = self.folder
        if isinstance(folder, StorePath):
            folder = self.make_cache()
        return filelock.FileLock(folder / "publisher.lock", timeout=0)

    @contextmanager
    def only_publisher(self) -> Iterator[None]:
        """Holds the publisher's lock. Raises GalleryError where another holds it.

        What a client of the gallery's store raises meanwhile becomes a StoreError.
        """
        import filelock

        try:
            with self.publisher_lock():
                yield
        except filelock.Timeout:
            raise GalleryError(
                f"another run is at work on gallery {self.name!r}; wait for it to end, then run the same command again"
            ) from None
        except OSError as error:
            if isinstance(self.folder, StorePath):
                self.folder.raise_if_told(error)
            raise

    def version_numbers(self) -> list[int]:
        """Returns the published versions, oldest first."""
        folders = (path.parent.name for path in self.index.glob("*/index.json"))
        return sorted(int(name) for name in folders if name.isdigit())

    def version(self, number: int | None = None) -> Version:
        """Returns a published version, the newest where none is named. Raises GalleryError."""
        self.require()
        numbers = self.version_numbers()
        if not numbers:
            raise GalleryError(f"gallery {self.name!r} has no published version yet; run afterfact index")
        number = numbers[-1] if number is None else number
        if number not in numbers:
            raise GalleryError(f"gallery {self.name!r} has no version {number}; it has {numbers}")
        folder = self.index / str(number)
        about = read_sealed(folder / "index.json")
        if about.get("format") != INDEX_FORMAT:
            raise GalleryError(
                f"{folder / 'index.json'} is of format {about.get('format')} and this version of Afterfact reads "
                f"{INDEX_FORMAT}; index the archive into a new gallery"
            )
        if about.get("version") != number or about.get("gallery") != self.name:
            raise GalleryError(
                f"{folder / 'index.json'} is of version {about.get('version')}, gallery {about.get('gallery')!r}; "
                f"expected {number}, {self.name!r}: restore it from a backup"
            )
        return Version(number, folder, about)


def gallery_names(home: Path) -> list[str]:
    """Returns the galleries in a data home."""
    folder = galleries_of(home)
    return sorted(one.name for one in folder.iterdir() if one.is_dir()) if folder.is_dir() else []


def write_sealed(path: Place, content: dict[str, Any]) -> dict[str, Any]:
    """Writes content as JSON with its seal, and returns both."""
    sealed = seal(content)
    write_whole(path, sealed_text(sealed).encode())
    return sealed


def seal(content: dict[str, Any]) -> dict[str, Any]:
    """Returns content with `seal`, the SHA-256 of its canonical form (RFC 8785)."""
    return {**content, "seal": digest_bytes(rfc8785.dumps(content))}


def sealed_text(sealed: dict[str, Any]) -> str:
    """Returns the text that a sealed file holds, to the last space."""
    return json.dumps(sealed, indent=1, ensure_ascii=False) + "\n"


def read_sealed(path: Place) -> dict[str, Any]:
    """Returns a sealed file's content. Raises GalleryError where it is unreadable or its seal does not fit."""
    try:
        sealed = json.loads(path.read_text(encoding="utf-8"))
        content = {name: value for name, value in sealed.items() if name != "seal"}
        whole = sealed["seal"] == digest_bytes(rfc8785.dumps(content))
    except (OSError, ValueError, KeyError, AttributeError) as error:
        raise GalleryError(f"{path} cannot be read ({type(error).__name__}); restore it from a backup") from error
    if not whole:
        raise GalleryError(f"{path} is not as it was written (its seal does not fit); restore it from a backup")
    return sealed
