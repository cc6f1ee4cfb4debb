"""Decompresses Zstandard frames without a dictionary: RFC 8878. Section numbers below are those of the RFC."""

from dataclasses import dataclass

from .repeat import repeat

_MAGIC, _SKIPPABLE = 0xFD2FB528, 0x184D2A50
_BLOCK = 128 << 10
"""Maximum size of a block (3.1.1.2.4)."""

# Codes of literal lengths and match lengths (3.1.1.3.2.1.1): first value and number of more bits.
_LITERALS = [(n, 0) for n in range(16)]
_LITERALS += [(16, 1), (18, 1), (20, 1), (22, 1), (24, 2), (28, 2), (32, 3), (40, 3), (48, 4), (64, 6)]
_LITERALS += [(1 << n, n) for n in range(7, 17)]
_MATCHES = [(n + 3, 0) for n in range(32)]
_MATCHES += [(35, 1), (37, 1), (39, 1), (41, 1), (43, 2), (47, 2), (51, 3), (59, 3), (67, 4), (83, 4), (99, 5)]
_MATCHES += [((1 << n) + 3, n) for n in range(7, 17)]
_OFFSETS = [(1 << n, n) for n in range(32)]

# Distributions that are used if a block has none (3.1.1.3.2.2).
_LITERALS_DEFAULT = [4, 3] + [2] * 11 + [1] * 3 + [2] * 9 + [3, 2] + [1] * 5 + [-1] * 4
_MATCHES_DEFAULT = [1, 4, 3] + [2] * 6 + [1] * 37 + [-1] * 7
_OFFSETS_DEFAULT = [1] * 6 + [2] * 3 + [1] * 15 + [-1] * 5


class _Backward:
    """Reads bits from the end of bytes to their beginning. The highest bit that is set marks the end."""

    def __init__(self, data: bytes) -> None:
        if not data or not data[-1]:
            raise ValueError("a compressed page has no end mark")
        self._data = data
        self._at = len(data) - 1
        self._left = data[-1].bit_length() - 1
        self._bits = data[-1] & (1 << self._left) - 1
        #: True if more bits were read than there are. The missing ones are zero.
        self.is_over = False

    @property
    def is_empty(self) -> bool:
        return self._at == 0 and self._left == 0

    def read(self, count: int) -> int:
        while self._left < count:
            if self._at == 0:
                self._bits <<= count - self._left
                self._left = count
                self.is_over = True
                break
            start = max(self._at - 6, 0)
            size = 8 * (self._at - start)
            self._bits = self._bits << size | int.from_bytes(self._data[start : self._at], "little")
            self._at = start
            self._left += size
        self._left -= count
        value = self._bits >> self._left
        self._bits &= (1 << self._left) - 1
        return value


@dataclass
class _Table:
    """A table of finite state entropy (4.1): for each state its symbol, and the next state's bits and first value."""

    accuracy: int
    symbols: list[int]
    bits: list[int]
    bases: list[int]


def _table(accuracy: int, counts: list[int]) -> _Table:
    """Returns the table of a distribution (4.1.1)."""
    size = 1 << accuracy
    if accuracy > 9 or sum(map(abs, counts)) != size:
        raise ValueError("a compressed page has a wrong distribution")
    symbols = [0] * size
    top = size
    for symbol, count in enumerate(counts):
        if count == -1:
            top -= 1
            symbols[top] = symbol
    step, at = (size >> 1) + (size >> 3) + 3, 0
    for symbol, count in enumerate(counts):
        for _ in range(max(count, 0)):
            symbols[at] = symbol
            at = (at + step) & (size - 1)
            while at >= top:
                at = (at + step) & (size - 1)
    following = [abs(count) for count in counts]
    bits, bases = [], []
    for symbol in symbols:
        state = following[symbol]
        following[symbol] += 1
        width = accuracy - (state.bit_length() - 1)
        bits.append(width)
        bases.append((state << width) - size)
    return _Table(accuracy, symbols, bits, bases)


def _distribution(data: bytes, at: int, most: int) -> tuple[_Table, int]:
    """Reads a distribution (4.1.1). Returns its table and the position after it."""
    whole = int.from_bytes(data[at : at + 256], "little")
    accuracy = (whole & 15) + 5
    if accuracy > most:
        raise ValueError("a compressed page has a wrong distribution")
    position, left = 4, 1 << accuracy
    counts: list[int] = []
    while left > 0 and len(counts) < 256:
        width = (left + 1).bit_length()
        value = whole >> position & (1 << width) - 1
        position += width
        low = (1 << width - 1) - 1
        threshold = (1 << width) - 1 - (left + 1)
        if value & low < threshold:
            position -= 1
            value &= low
        elif value > low:
            value -= threshold
        counts.append(value - 1)
        left -= abs(value - 1)
        more = 3 if value == 1 else 0
        while more == 3:
            more = whole >> position & 3
            position += 2
            counts += [0] * more
    return _table(accuracy, counts), at + (position + 7) // 8


class _Huffman:
    """A table of Huffman codes (4.2): the symbol and the number of bits of the code for each prefix of `width` bits."""

    def __init__(self, weights: list[int]) -> None:
        total = sum(1 << weight >> 1 for weight in weights)
        self.width = total.bit_length()
        last = (1 << self.width) - total
        if not total or last & last - 1 or self.width > 11:
            raise ValueError("a compressed page has wrong Huffman codes")
        weights = [*weights, last.bit_length()]
        self.symbols: list[int] = []
        self.lengths: list[int] = []
        for weight in range(1, self.width + 1):
            for symbol, own in enumerate(weights):
                if own == weight:
                    self.symbols += [symbol] * (1 << weight - 1)
                    self.lengths += [self.width + 1 - weight] * (1 << weight - 1)

    def decode(self, data: bytes, count: int) -> bytes:
        """Returns `count` symbols of a stream."""
        if not data or not data[-1]:
            raise ValueError("a compressed page has no end mark")
        width, symbols, lengths = self.width, self.symbols, self.lengths
        left = data[-1].bit_length() - 1
        bits, at = data[-1] & (1 << left) - 1, len(data) - 1
        out = bytearray(count)
        for number in range(count):
            if left < width and at:
                start = at - 6 if at > 6 else 0
                bits = bits << 8 * (at - start) | int.from_bytes(data[start:at], "little")
                left += 8 * (at - start)
                at = start
            prefix = bits >> left - width if left >= width else bits << width - left
            out[number] = symbols[prefix]
            left -= lengths[prefix]
            if left < 0:
                raise ValueError("a compressed page ends too early")
            bits &= (1 << left) - 1
        return bytes(out)


def _weights(data: bytes, at: int) -> tuple[list[int], int]:
    """Reads the weights of Huffman codes (4.2.1). Returns them and the position after them."""
    head = data[at]
    at += 1
    if head >= 128:
        count = head - 127
        end = at + (count + 1) // 2
        return [half for byte in data[at:end] for half in (byte >> 4, byte & 15)][:count], end
    end = at + head
    table, at = _distribution(data[:end], at, 6)
    bits = _Backward(data[at:end])
    states = [bits.read(table.accuracy), bits.read(table.accuracy)]
    weights: list[int] = []
    turn = 0
    # Both states take turns, until one needs more bits than there are. The other one then has the last symbol.
    while len(weights) < 255:
        state = states[turn]
        weights.append(table.symbols[state])
        states[turn] = table.bases[state] + bits.read(table.bits[state])
        turn = 1 - turn
        if bits.is_over:
            weights.append(table.symbols[states[turn]])
            break
    return weights, end


class _Frame:
    """The state that the blocks of a frame share."""

    def __init__(self) -> None:
        self.out = bytearray()
        self._huffman: _Huffman | None = None
        self._tables: list[_Table | None] = [None, None, None]
        self._offsets = [1, 4, 8]

    def block(self, data: bytes) -> None:
        """Decompresses a block (3.1.1.3)."""
        literals, at = self._literals(data)
        count = data[at]
        at += 1
        if count == 255:
            count = int.from_bytes(data[at : at + 2], "little") + 0x7F00
            at += 2
        elif count >= 128:
            count = (count - 128 << 8) + data[at]
            at += 1
        if count == 0:
            self.out += literals
        else:
            self._sequences(data, at, count, literals)

    def _literals(self, data: bytes) -> tuple[bytes, int]:
        """Returns the literals of a block (3.1.1.3.1) and the position after them."""
        kind, form = data[0] & 3, data[0] >> 2 & 3
        if kind < 2:
            head = (1, 2, 1, 3)[form]
            size = int.from_bytes(data[:head], "little") >> (3 if head == 1 else 4)
            _check(size)
            return (data[head : head + size], head + size) if kind == 0 else (data[head : head + 1] * size, head + 1)
        head, width = ((3, 10), (3, 10), (4, 14), (5, 18))[form]
        sizes = int.from_bytes(data[:head], "little") >> 4
        size, packed = sizes & (1 << width) - 1, sizes >> width
        _check(size)
        end, at = head + packed, head
        if kind == 2:
            weights, at = _weights(data, at)
            self._huffman = _Huffman(weights)
        if self._huffman is None:
            raise ValueError("a compressed page has no Huffman codes")
        if form == 0:
            return self._huffman.decode(data[at:end], size), end
        # Four streams; the sizes of three are before them.
        each = (size + 3) // 4
        starts = [at + 6]
        for number in range(3):
            starts.append(starts[-1] + int.from_bytes(data[at + 2 * number : at + 2 * number + 2], "little"))
        parts = zip(starts, [*starts[1:], end], [each] * 3 + [size - 3 * each], strict=True)
        return b"".join(self._huffman.decode(data[first:last], number) for first, last, number in parts), end

    def _sequences(self, data: bytes, at: int, count: int, literals: bytes) -> None:
        """Runs the sequences of a block (3.1.1.3.2): copies of literals and of earlier bytes."""
        modes = data[at]
        at += 1
        known = ((6, _LITERALS_DEFAULT, 9), (5, _OFFSETS_DEFAULT, 8), (6, _MATCHES_DEFAULT, 9))
        for number, (accuracy, default, most) in enumerate(known):
            mode = modes >> 6 - 2 * number & 3
            if mode == 0:
                self._tables[number] = _table(accuracy, default)
            elif mode == 1:
                self._tables[number] = _Table(0, [data[at]], [0], [0])
                at += 1
            elif mode == 2:
                self._tables[number], at = _distribution(data, at, most)
        lengths, offsets, matches = self._tables
        if lengths is None or offsets is None or matches is None:
            raise ValueError("a compressed page has no distribution")
        bits = _Backward(data[at:])
        read, out, taken = bits.read, self.out, 0
        length_state, offset_state, match_state = (read(table.accuracy) for table in (lengths, offsets, matches))
        for number in range(count):
            offset_base, width = _OFFSETS[offsets.symbols[offset_state]]
            value = offset_base + read(width)
            match, width = _MATCHES[matches.symbols[match_state]]
            match += read(width)
            length, width = _LITERALS[lengths.symbols[length_state]]
            length += read(width)
            if number < count - 1:
                length_state = lengths.bases[length_state] + read(lengths.bits[length_state])
                match_state = matches.bases[match_state] + read(matches.bits[match_state])
                offset_state = offsets.bases[offset_state] + read(offsets.bits[offset_state])
            out += literals[taken : taken + length]
            taken += length
            repeat(out, self._offset(value, length), match)
        if bits.is_over or not bits.is_empty or taken > len(literals):
            raise ValueError("the sequences of a compressed page are wrong")
        out += literals[taken:]

    def _offset(self, value: int, length: int) -> int:
        """Returns the offset of a match. The smallest values repeat one of the last three (3.1.1.5)."""
        if value > 3:
            self._offsets = [value - 3, *self._offsets[:2]]
            return value - 3
        first, second, third = self._offsets
        match value - 1 + (length == 0):
            case 0:
                return first
            case 1:
                self._offsets = [second, first, third]
            case 2:
                self._offsets = [third, first, second]
            case _:
                self._offsets = [first - 1, first, second]
        return self._offsets[0]


def _check(size: int) -> None:
    if size > _BLOCK:
        raise ValueError("a block of a compressed page is too large")


def decompress(data: bytes, most: int) -> bytes:
    """Returns the content of all frames, at most `most` bytes and a block.

    Raises:
        ValueError: for content that is damaged, larger or compressed with a dictionary.
    """
    found = []
    at = 0
    while at < len(data):
        magic = int.from_bytes(data[at : at + 4], "little")
        at += 4
        if magic & ~15 == _SKIPPABLE:
            at += 4 + int.from_bytes(data[at : at + 4], "little")
            continue
        if magic != _MAGIC:
            raise ValueError("a compressed page is not in the format of Zstandard")
        content, at = _frame(data, at, most)
        found.append(content)
    return b"".join(found)


def _frame(data: bytes, at: int, most: int) -> tuple[bytes, int]:
    """Returns the content of a frame (3.1.1) and the position after it."""
    about = data[at]
    is_single = about >> 5 & 1
    at += 1 if is_single else 2
    identity = (0, 1, 2, 4)[about & 3]
    if any(data[at : at + identity]):
        raise ValueError("a page is compressed with a dictionary of Zstandard, which is not known here")
    at += identity + (is_single, 2, 4, 8)[about >> 6]
    frame = _Frame()
    is_last = False
    while not is_last:
        head = int.from_bytes(data[at : at + 3], "little")
        at += 3
        is_last, kind, size = bool(head & 1), head >> 1 & 3, head >> 3
        _check(size)
        if kind == 1:
            frame.out += data[at : at + 1] * size
            at += 1
            continue
        body = data[at : at + size]
        if kind == 3 or len(body) != size:
            raise ValueError("a block of a compressed page is damaged")
        at += size
        if kind == 0:
            frame.out += body
        else:
            frame.block(body)
        if len(frame.out) > most:
            raise ValueError("a compressed page is larger than it says")
    return bytes(frame.out), at + 4 * (about >> 2 & 1)
