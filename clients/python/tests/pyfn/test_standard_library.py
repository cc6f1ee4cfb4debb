"""Parts of the standard library that the sandbox's interpreter lacks or does in another way."""

from __future__ import annotations

import bz2
import io
import os
import random
import tarfile

import pytest

from fabric_client import Fabric

TEXT = b"".join(b"%d,%d\n" % (n, n * n % 97) for n in range(20_000))


@pytest.mark.parametrize(
    "content",
    [b"", b"a", b"aaaa", b"a" * 100_000, random.Random(1).randbytes(30_000), TEXT],
    ids=["empty", "one", "four", "run", "noise", "text"],
)
def test_bz2_decompresses(fab: Fabric, content: bytes) -> None:
    packed = bz2.compress(content, 1) + bz2.compress(b"more")
    assert fab.function(lambda data: bz2.decompress(data)).remote(packed) == content + b"more"


def test_bz2_is_read_in_pieces_and_by_tarfile(fab: Fabric) -> None:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w:bz2") as archive:
        about = tarfile.TarInfo("a.txt")
        about.size = len(TEXT)
        archive.addfile(about, io.BytesIO(TEXT))

    @fab.function
    def read(packed: bytes) -> tuple[bytes, bytes]:
        with tarfile.open(fileobj=io.BytesIO(packed)) as archive:
            member = archive.extractfile("a.txt")
            whole = member.read() if member else b""
        pieces, one = [], bz2.BZ2Decompressor()
        for start in range(0, len(packed), 1000):
            piece = one.decompress(packed[start : start + 1000], 700)
            pieces.append(piece)
            while piece and not one.eof:
                piece = one.decompress(b"", 700)
                pieces.append(piece)
        return whole, b"".join(pieces)

    packed = file.getvalue()
    assert read.remote(packed) == (TEXT, bz2.decompress(packed))


def test_damaged_bz2_is_an_error_and_compressing_too(fab: Fabric) -> None:
    packed = bytearray(bz2.compress(TEXT))
    packed[len(packed) // 2] ^= 1
    with pytest.raises(OSError, match="Invalid data stream"):
        fab.function(lambda data: bz2.decompress(data)).remote(bytes(packed))
    with pytest.raises(ValueError, match="ended before"):
        fab.function(lambda data: bz2.decompress(data)).remote(bz2.compress(TEXT)[:-20])
    with pytest.raises(NotImplementedError, match="use zlib or gzip"):
        fab.function(lambda data: bz2.compress(data)).remote(b"x")


def test_temporary_files_need_a_volume_and_are_written_whole(fab: Fabric) -> None:
    @fab.function(grants={"volumes": [{"name": "scratch", "path": "/tmp", "write": True}]})
    def sizes() -> list[int]:
        import tempfile

        with tempfile.TemporaryDirectory() as folder, tempfile.NamedTemporaryFile(dir=folder) as file:
            written = os.write(file.fileno(), b"x" * 200_000)
            return [written, os.path.getsize(file.name)]

    assert sizes.remote() == [200_000, 200_000]
