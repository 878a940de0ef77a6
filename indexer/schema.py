"""The columns of a gallery's table, and of what a run keeps on its way there."""

from __future__ import annotations

import pyarrow as pa

# What the archive's list says of a photo. Text stays as given: a date is not moved to a zone it never named.
LISTED = pa.schema(
    [
        ("location", pa.string()),  # file:// URI, percent-encoded: what a photo is told apart by
        ("photo", pa.string()),  # the path as listed, for people
        ("bytes", pa.int64()),  # -1 where the file was missing when it was listed
        ("modified", pa.int64()),  # nanoseconds since 1970
        ("place", pa.string()),  # of a container's member: where its bytes are, as in indexer.containers; else null
        ("subject", pa.string()),
        ("encounter", pa.string()),
        ("taken", pa.string()),
        ("disposition", pa.string()),
        ("further", pa.string()),  # the list's other columns, as one JSON object
    ]
)

DESCRIBING = ("photo", "subject", "encounter", "taken", "disposition", "further")

# What indexing found out. Boxes are pixels of the upright photo; measures as in indexer.quality.Quality.
FOUND = pa.schema(
    [
        ("photo_digest", pa.string()),  # SHA-256, hexadecimal
        ("outcome", pa.string()),
        ("detail", pa.string()),
        ("width", pa.int32()),
        ("height", pa.int32()),
        ("faces", pa.int32()),
        ("box_left", pa.int32()),
        ("box_top", pa.int32()),
        ("box_right", pa.int32()),
        ("box_bottom", pa.int32()),
        ("score", pa.float32()),
        ("eye_distance", pa.float32()),
        ("yaw", pa.float32()),
        ("roll", pa.float32()),
        ("brightness", pa.float32()),
        ("sharpness", pa.float32()),
        ("embedding", pa.list_(pa.float32())),  # of the widest face, as the row's model has it; see outcomes.EMBEDDED
    ]
)

SETTLED = pa.schema(
    [
        ("duplicate_of", pa.string()),  # location of the photo with the same bytes
        ("row", pa.string()),  # opaque id, stable for the row's life
        ("run", pa.string()),
        ("model", pa.string()),  # digest
    ]
)

PHOTOS = pa.schema([*LISTED, *FOUND, *SETTLED])

# One label a face of the search index, in its order.
LABELS = pa.schema(
    [PHOTOS.field(name) for name in ("row", "location", "place", "photo", "photo_digest")]
    + [PHOTOS.field(name) for name in ("subject", "encounter", "taken", "disposition")]
    + [PHOTOS.field(name) for name in ("box_left", "box_top", "box_right", "box_bottom")]
)
