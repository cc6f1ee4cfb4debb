"""The module `_bz2`, which `bz2` of the standard library is based on, in Python: the sandbox's interpreter is built
without it. It decompresses; it does not compress.

The format: https://github.com/dsnet/compress/blob/master/doc/bzip2-format.pdf.
"""

from collections.abc import Iterator

_BLOCK, _END = 0x314159265359, 0x177245385090
_GROUP = 50
"""Number of symbols that are coded with one table."""
_SHORT, _LONGEST = 10, 20
"""Lengths of codes that are looked up at once, and of the longest codes."""
_MARKS = [(mark << shift >> 8 & 0xFFFFFFFFFF).to_bytes(5, "big") for mark in (_BLOCK, _END) for shift in range(8)]
"""The bytes within the marks, which may begin at any bit."""


class _NeedsInput(Exception):
    """The data ends within a block."""


def _crc_table() -> list[int]:
    table = []
    for byte in range(256):
        value = byte << 24
        for _ in range(8):
            value = value << 1 ^ 0x04C11DB7 if value & 0x80000000 else value << 1
        table.append(value & 0xFFFFFFFF)
    return table


_CRC = _crc_table()


class _Bits:
    """Reads bits, the most significant first."""

    def __init__(self, data: bytes, at: int) -> None:
        self._data, self.at, self.size = data, at, 8 * len(data)

    def ahead(self, window: int, left: int) -> tuple[int, int]:
        """Returns a window of `left` bits with the next 64 added, and its size. After the end, bits are zero."""
        start = self.at // 8
        more = int.from_bytes(self._data[start : start + 9].ljust(9, b"\0"), "big")
        more = more >> 8 - self.at % 8 & 0xFFFFFFFFFFFFFFFF
        self.at += 64
        if self.at > self.size + 256:
            raise _NeedsInput
        return window << 64 | more, left + 64

    def has_end_of_block(self) -> bool:
        """Returns True if another block or the end follows after the head of a block."""
        start = self.at // 8
        return any(self._data.find(pattern, start) >= 0 for pattern in _MARKS)

    def read(self, count: int) -> int:
        end = self.at + count
        if end > self.size:
            raise _NeedsInput
        last = (end + 7) // 8
        whole = int.from_bytes(self._data[self.at // 8 : last], "big")
        self.at = end
        return whole >> 8 * last - end & (1 << count) - 1


def _fail(what: str) -> OSError:
    return OSError(f"Invalid data stream: {what}")


def _codes(lengths: list[int]) -> tuple[list[tuple[int, int]], dict[tuple[int, int], int]]:
    """Returns the symbols of a canonical Huffman code in two tables: by the next bits, with the code's length or 0 for
    a long code, and by length and code."""
    short, codes = [(0, 0)] * (1 << _SHORT), {}
    code = 0
    for length in range(1, _LONGEST + 1):
        for symbol, own in enumerate(lengths):
            if own != length:
                continue
            codes[length, code] = symbol
            if length <= _SHORT:
                free = _SHORT - length
                if code + 1 << free > len(short):
                    raise _fail("a table has too many codes")
                short[code << free : code + 1 << free] = [(symbol, length)] * (1 << free)
            code += 1
        code <<= 1
    return short, codes


def _lengths(bits: _Bits, count: int) -> list[int]:
    """Reads the lengths of the codes of a table, each as its difference from the one before."""
    length = bits.read(5)
    lengths = []
    for _ in range(count):
        while bits.read(1):
            length += -1 if bits.read(1) else 1
        if not 1 <= length <= _LONGEST:
            raise _fail("a code has a wrong length")
        lengths.append(length)
    return lengths


def _symbols(bits: _Bits, used: int) -> Iterator[int]:
    """Yields the symbols of a block: two digits of runs, then places in the list of recent bytes."""
    tables, groups = bits.read(3), bits.read(15)
    if not 2 <= tables <= 6 or not groups:
        raise _fail("a block has no tables")
    order = list(range(tables))
    selectors = []
    for _ in range(groups):
        place = 0
        while bits.read(1):
            place += 1
        if place >= tables:
            raise _fail("a block has a wrong table")
        order.insert(0, order.pop(place))
        selectors.append(order[0])
    codes = [_codes(_lengths(bits, used + 2)) for _ in range(tables)]
    window = left = 0
    for selector in selectors:
        short, long = codes[selector]
        for _ in range(_GROUP):
            if left < _LONGEST:
                window, left = bits.ahead(window, left)
            symbol, length = short[window >> left - _SHORT]
            if not length:
                length = _SHORT + 1
                while (length, window >> left - length) not in long:
                    length += 1
                    if length > _LONGEST:
                        raise _fail("a code is unknown")
                symbol = long[length, window >> left - length]
            left -= length
            window &= (1 << left) - 1
            if symbol == used + 1:
                bits.at -= left
                if bits.at > bits.size:
                    raise _NeedsInput
                return
            yield symbol
    raise _fail("a block has no end")


def _block(bits: _Bits, most: int) -> bytes:
    """Decompresses a block whose head has been read, up to its checksum."""
    origin = bits.read(24)
    ranges = bits.read(16)
    recent = []
    for high in range(16):
        if ranges >> 15 - high & 1:
            lows = bits.read(16)
            recent += [16 * high + low for low in range(16) if lows >> 15 - low & 1]
    last = bytearray()
    run, digit = 0, 1
    for symbol in _symbols(bits, len(recent)):
        if symbol < 2:
            run += digit << symbol
            digit <<= 1
            if run > most:
                raise _fail("a block is too large")
            continue
        last += bytes(recent[0:1]) * run
        run, digit = 0, 1
        recent.insert(0, recent.pop(symbol - 1))
        last.append(recent[0])
    last += bytes(recent[0:1]) * run
    if len(last) > most or origin >= len(last):
        raise _fail("a block is too large, or has no origin")
    return _unrun(_unsorted(bytes(last), origin))


def _unsorted(last: bytes, origin: int) -> bytes:
    """Returns the text whose sorted rotations end with these bytes (Burrows and Wheeler)."""
    after = sorted(range(len(last)), key=last.__getitem__)
    out = bytearray(len(last))
    at = after[origin]
    for number in range(len(last)):
        out[number] = last[at]
        at = after[at]
    return bytes(out)


def _unrun(data: bytes) -> bytes:
    """Returns the bytes in which four equal ones are followed by the number of further ones."""
    out = bytearray()
    at = same = 0
    before = -1
    while at < len(data):
        byte = data[at]
        at += 1
        same = same + 1 if byte == before else 1
        before = byte
        out.append(byte)
        if same == 4:
            if at < len(data):
                out += bytes([byte]) * data[at]
            at += 1
            before, same = -1, 0
    return bytes(out)


def _checksum(data: bytes) -> int:
    value = 0xFFFFFFFF
    for byte in data:
        value = (value << 8 ^ _CRC[value >> 24 ^ byte]) & 0xFFFFFFFF
    return value ^ 0xFFFFFFFF


class BZ2Decompressor:
    """See `bz2.BZ2Decompressor`."""

    def __init__(self) -> None:
        self.eof = False
        self.needs_input = True
        self.unused_data = b""
        self._data = b""
        self._at = 0
        self._most = 0
        self._all = 0
        self._made = b""
        self._is_over = False

    def decompress(self, data: bytes, max_length: int = -1) -> bytes:
        """See `bz2.BZ2Decompressor.decompress`."""
        if self.eof:
            raise EOFError("End of stream already reached")
        self._data += bytes(data)
        while not self._is_over and (max_length < 0 or len(self._made) < max_length):
            bits = _Bits(self._data, self._at)
            try:
                self._next(bits)
            except _NeedsInput:
                break
            # The bytes that were read are not needed any more.
            self._data, self._at = self._data[bits.at // 8 :], bits.at % 8
        size = len(self._made) if max_length < 0 else max_length
        found, self._made = self._made[:size], self._made[size:]
        self.eof = self._is_over and not self._made
        if self.eof:
            self.unused_data = self._data
        self.needs_input = not self._made and not self.eof
        return found

    def _next(self, bits: _Bits) -> None:
        if not self._most:
            head = bits.read(32)
            level = (head & 255) - ord("0")
            if head >> 8 != int.from_bytes(b"BZh", "big") or not 1 <= level <= 9:
                raise _fail("it has no head")
            self._most = level * 100_000
            return
        kind, checksum = bits.read(48), bits.read(32)
        if kind == _END:
            if checksum != self._all:
                raise _fail("the checksum is wrong")
            bits.at = (bits.at + 7) // 8 * 8
            self._is_over = True
            return
        if kind != _BLOCK or bits.read(1):
            raise _fail("a block has no head")
        if not bits.has_end_of_block():
            raise _NeedsInput
        made = _block(bits, self._most)
        if _checksum(made) != checksum:
            raise _fail("the checksum of a block is wrong")
        self._all = ((self._all << 1 | self._all >> 31) & 0xFFFFFFFF) ^ checksum
        self._made += made


class BZ2Compressor:
    """See `bz2.BZ2Compressor`. It cannot be made here."""

    def __init__(self, compresslevel: int = 9, /) -> None:
        raise NotImplementedError("the sandbox cannot compress with bz2: use zlib or gzip")
