"""What a TIFF's directory says of its own length, read before Pillow unpacks it value by value.

A photo of one row a strip has as many strips as rows. In a file of 50 MB there is room for six million, which Pillow
lists one by one while it opens the file, before anybody has seen the picture's size: half a minute.
"""

from __future__ import annotations

import struct

from indexer.outcomes import Outcome, Rejection

MOST_VALUES = 200_000  # a strip a row, three colours apart, at the longest side allowed, and as many lengths
_BYTES = frozenset({1, 2, 6, 7})  # types whose values are unpacked in one go
# After the byte order: version -> where the offset of the first directory is and how it, the number of entries, and an
# entry (tag, type, number of values, value or offset) are written. Pillow also reads a 42 that is turned round.
_CLASSIC = (4, "I", "H", "HHI4x")
_LAYOUTS = {42: _CLASSIC, 42 << 8: _CLASSIC, 43: (8, "Q", "Q", "HHQ8x")}


def require_short_directory(content: bytes) -> None:
    """Raises Rejection, IMAGE_TOO_LARGE, for a TIFF whose first directory lists more than MOST_VALUES values.

    Says nothing of other formats, nor of a TIFF that is broken: its decoder will.
    """
    order = {b"II": "<", b"MM": ">"}.get(content[:2])
    try:
        if order is None or (layout := _LAYOUTS.get(*struct.unpack_from(order + "H", content, 2))) is None:
            return
        where, offset_form, count_form, entry_form = layout
        (start,) = struct.unpack_from(order + offset_form, content, where)
        (entries,) = struct.unpack_from(order + count_form, content, start)
    except (struct.error, OverflowError):
        return
    start += struct.calcsize(order + count_form)
    size = struct.calcsize(order + entry_form)
    whole = content[start : start + entries * size]
    listed = struct.iter_unpack(order + entry_form, whole[: len(whole) // size * size])
    values = sum(number for _, kind, number in listed if kind not in _BYTES)
    if values > MOST_VALUES:
        raise Rejection(
            Outcome.IMAGE_TOO_LARGE,
            f"a TIFF with {values:,} strips, tiles and other values; the limit is {MOST_VALUES:,}",
        )
