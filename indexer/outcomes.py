"""What can become of a photo, each with the sentence that users read."""

from __future__ import annotations

from enum import StrEnum


class Outcome(StrEnum):
    """How a photo ended. Every planned photo ends as exactly one of these, or as held or updated."""

    ENROLLED = "ENROLLED"
    DUPLICATE = "DUPLICATE"
    UNREADABLE_IMAGE = "UNREADABLE_IMAGE"
    IMAGE_TOO_LARGE = "IMAGE_TOO_LARGE"
    DECODER_CRASH = "DECODER_CRASH"
    NO_FACE = "NO_FACE"
    MULTIPLE_FACES = "MULTIPLE_FACES"
    SMALL_FACE = "SMALL_FACE"
    EXTREME_POSE = "EXTREME_POSE"
    LOW_BRIGHTNESS = "LOW_BRIGHTNESS"
    HIGH_BRIGHTNESS = "HIGH_BRIGHTNESS"
    LOW_SHARPNESS = "LOW_SHARPNESS"
    LOW_CONFIDENCE = "LOW_CONFIDENCE"
    OUTSIDE_ARCHIVE = "OUTSIDE_ARCHIVE"
    MISSING_FILE = "MISSING_FILE"
    UNREADABLE_FILE = "UNREADABLE_FILE"
    PROBE_PHOTO = "PROBE_PHOTO"
    CHANGED_PHOTO = "CHANGED_PHOTO"


ABOUT = {
    Outcome.ENROLLED: "one face, good enough to search",
    Outcome.DUPLICATE: "the same bytes as another photo of the gallery",
    Outcome.UNREADABLE_IMAGE: "the file is not a whole image of a known format",
    Outcome.IMAGE_TOO_LARGE: "more pixels, bytes or memory than the job allows",
    Outcome.DECODER_CRASH: "the image made its decoder crash or run out of time",
    Outcome.NO_FACE: "no face was found",
    Outcome.MULTIPLE_FACES: "more than one face was found",
    Outcome.SMALL_FACE: "the face is too small to tell people apart",
    Outcome.EXTREME_POSE: "the face is turned too far away",
    Outcome.LOW_BRIGHTNESS: "the face is too dark",
    Outcome.HIGH_BRIGHTNESS: "the face is blown out",
    Outcome.LOW_SHARPNESS: "the face is too blurred",
    Outcome.LOW_CONFIDENCE: "the detector is not sure that this is a face",
    Outcome.OUTSIDE_ARCHIVE: "the path leads out of the archive's folder",
    Outcome.MISSING_FILE: "the list names a file that is not there",
    Outcome.UNREADABLE_FILE: "the file is there but cannot be read",
    Outcome.PROBE_PHOTO: "its bytes were a probe before any gallery here enrolled them, and a probe is never enrolled",
    Outcome.CHANGED_PHOTO: "it is not the photo any more that is to be embedded anew",
}

# The disk or the list may be right tomorrow: such a photo is looked at again by every run.
TRIED_AGAIN = frozenset({Outcome.MISSING_FILE, Outcome.UNREADABLE_FILE})

NOT_REJECTED = frozenset({Outcome.ENROLLED, Outcome.DUPLICATE})

# Rejected for a limit of quality: other limits may enrol such a photo without looking at it again.
BY_QUALITY = frozenset(
    {
        Outcome.LOW_CONFIDENCE,
        Outcome.SMALL_FACE,
        Outcome.EXTREME_POSE,
        Outcome.LOW_BRIGHTNESS,
        Outcome.HIGH_BRIGHTNESS,
        Outcome.LOW_SHARPNESS,
    }
)

# What a photo may end as and keep an embedding, of its widest face (docs/decisions/0015). Only ENROLLED is searched.
EMBEDDED = BY_QUALITY | {Outcome.ENROLLED, Outcome.MULTIPLE_FACES}


class Rejection(Exception):
    """A photo that cannot be enrolled, with its typed outcome. Part of the data, never the end of a job."""

    def __init__(self, outcome: Outcome, detail: str) -> None:
        super().__init__(f"{outcome}: {detail}")
        self.outcome = outcome
        self.detail = detail
