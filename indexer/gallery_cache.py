"""The search files of a gallery that lies in an object store, kept in the data home by their digests.

They hold faces, as the gallery does: they are dropped as soon as their version is gone or is no more the present one.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from foundation.files import fetch_file
from foundation.store_path import StorePath
from indexer.gallery import Gallery, GalleryError, Version

BEATS = "beats-"  # begins the name of the folder for the signs that a run's workers give
TAKEN = "taken-"  # begins the name of the folder by which a run's workers share out the segments


def present_files(gallery: Gallery, version: Version) -> dict[str, Path]:
    """Returns where on this machine a version's search files are, by name; fetched first where the gallery is in a
    store, and everything else that was fetched of this gallery dropped.

    Raises GalleryError where a file is not as it was written, StoreError where the store does not give it.
    """
    if isinstance(version.folder, Path):
        return {name: version.folder / name for name in version.about["files"]}
    files = {name: gallery.cache / stated["digest"] for name, stated in version.about["files"].items()}
    if not all(path.is_file() for path in files.values()):
        import filelock  # a search whose files are there need not wait for it

        with filelock.FileLock(gallery.make_cache() / "fetch.lock"):  # ten searches at once fetch once
            for name, path in files.items():
                if not path.is_file():
                    _fetch(version, name, path)
    _drop(gallery, keep={path.name for path in files.values()})
    return files


def drop_files(gallery: Gallery) -> None:
    """Drops all that was fetched of a gallery, whose versions are gone."""
    _drop(gallery, keep=set())


@contextmanager
def files_to_check(gallery: Gallery, version: Version) -> Iterator[Path]:
    """Gives a folder on this machine with a version's search files as they are now, and nothing kept of it."""
    if isinstance(version.folder, Path):
        yield version.folder
        return
    with work_folder(gallery) as folder:
        for name in version.about["files"]:
            _fetch(version, name, folder / name)
        yield folder


@contextmanager
def work_folder(gallery: Gallery) -> Iterator[Path]:
    """Gives an empty folder of this machine's in the data home, for as long as it is needed."""
    with TemporaryDirectory(dir=gallery.make_cache(), prefix="work-", ignore_cleanup_errors=True) as folder:
        yield Path(folder)


def _fetch(version: Version, name: str, target: Path) -> None:
    assert isinstance(version.folder, StorePath)
    source = version.folder / name
    if not fetch_file(source, target, version.about["files"][name]["digest"]):
        raise GalleryError(f"{source} is not as it was written (its digest does not fit); run afterfact gallery verify")


def _drop(gallery: Gallery, keep: set[str]) -> None:
    if not gallery.cache.is_dir():
        return
    for one in gallery.cache.iterdir():
        if len(one.name) == 64 and one.name not in keep:
            one.unlink(missing_ok=True)


def clear_work_folders(gallery: Gallery) -> None:
    """Removes what runs leave in the cache besides search files. Only for the holder of the publisher's lock."""
    for pattern in ("work-*", f"{BEATS}*", f"{TAKEN}*"):
        for one in gallery.cache.glob(pattern):
            shutil.rmtree(one, ignore_errors=True)
