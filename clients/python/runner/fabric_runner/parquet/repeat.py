"""Copies of earlier bytes, as all compressions of the family of LZ77 have them."""


def repeat(out: bytearray, offset: int, length: int) -> None:
    """Appends `length` bytes that begin `offset` before the end. They may overlap with their copy.

    Raises:
        ValueError: if they begin before the first byte.
    """
    start = len(out) - offset
    if offset < 1 or start < 0:
        raise ValueError("a compressed page refers to bytes before its beginning")
    piece = out[start : start + length]
    while len(piece) < length:
        piece += piece[: length - len(piece)]
    out += piece
