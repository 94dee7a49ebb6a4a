"""Standard normals made inside a kernel: the portable stream of `kernels.normals`, and that of `counter_normals`."""

# mypy: disable-error-code="no-untyped-def"

from __future__ import annotations

from nautilus_metal.kernels.triton.language import ON_DEVICE, jit, libdevice, tl


@jit()
def philox_long(seed, row, block):
    """Philox 4x64 of ten rounds, as numpy counts: the first block is 1."""
    a = block.to(tl.uint64) + 1
    b = a * 0
    c = b
    d = b
    key_a = b + tl.cast(seed, tl.uint64)
    key_b = b + tl.cast(row, tl.uint64)
    for _ in tl.static_range(10):
        high_a = tl.umulhi(a, b * 0 + 0xD2E7470EE14C6C93)
        low_a = a * 0xD2E7470EE14C6C93
        high_c = tl.umulhi(c, b * 0 + 0xCA5A826395121157)
        low_c = c * 0xCA5A826395121157
        a = high_c ^ b ^ key_a
        b = low_c
        c = high_a ^ d ^ key_b
        d = low_a
        key_a += 0x9E3779B97F4A7C15
        key_b += 0xBB67AE8584CAA73B
    return a, b, c, d


@jit()
def philox_short(seed, row, block):
    """Philox 4x32 of ten rounds: the key is the seed, the counter is block and row."""
    place = block.to(tl.uint64)
    line = place * 0 + tl.cast(row, tl.uint64)
    key = place * 0 + tl.cast(seed, tl.uint64)
    a = place.to(tl.uint32)
    b = (place >> 32).to(tl.uint32)
    c = line.to(tl.uint32)
    d = (line >> 32).to(tl.uint32)
    key_a = key.to(tl.uint32)
    key_b = (key >> 32).to(tl.uint32)
    for _ in tl.static_range(10):
        first = a.to(tl.uint64) * 0xD2511F53
        second = c.to(tl.uint64) * 0xCD9E8D57
        a = (second >> 32).to(tl.uint32) ^ b ^ key_a
        b = second.to(tl.uint32)
        c = (first >> 32).to(tl.uint32) ^ d ^ key_b
        d = first.to(tl.uint32)
        key_a += 0x9E3779B9
        key_b += 0xBB67AE85
    return a, b, c, d


@jit()
def ratio(x, y):
    """A quotient, on the device to two units of the last place."""
    if ON_DEVICE:
        return libdevice.fast_dividef(x, y)
    else:
        return x / y


@jit()
def _logarithm(x):
    if ON_DEVICE:
        return libdevice.fast_logf(x)
    else:
        return tl.log(x)


@jit()
def quantile(q, p):
    """Wichura (1988), AS 241, PPND7; `q` is the probability less a half, `p` the smaller of it and its complement."""
    r = 0.180625 - q * q
    a = ((5.9109374720e1 * r + 1.5929113202e2) * r + 5.0434271938e1) * r + 3.3871327179
    b = ((6.7187563600e1 * r + 7.8757757664e1) * r + 1.7895169469e1) * r + 1.0
    root = tl.sqrt(-_logarithm(p))
    s = root - 1.6
    c = ((1.7023821103e-1 * s + 1.3067284816) * s + 2.7568153900) * s + 1.4234372777
    d = (1.2021132975e-1 * s + 7.3700164250e-1) * s + 1.0
    s = root - 5.0
    e = ((1.7337203997e-2 * s + 4.2868294337e-1) * s + 3.0812263860) * s + 6.6579051150
    f = (1.2258202635e-2 * s + 2.4197894225e-1) * s + 1.0
    middle = tl.abs(q) <= 0.425
    far = root > 5.0
    tail = tl.where(far, e, c)
    above = tl.where(middle, q * a, tl.where(q < 0.0, -tail, tail))
    return ratio(above, tl.where(middle, b, tl.where(far, f, d)))


@jit()
def normal_of(word):
    """The normal of the middle of one of 2**52 cells, by its distances to a half and to the nearer end.

    The leading 32 bits of the cell and the 20 others are brought to float32 one by one.
    """
    high = (word >> 32).to(tl.uint32).to(tl.int32, bitcast=True)
    low = ((word >> 12).to(tl.uint32) & 0xFFFFF).to(tl.int32, bitcast=True).to(tl.float32) + 0.5
    low = low * 9.5367431640625e-7
    q = ((high ^ -0x80000000).to(tl.float32) + low) * 2.3283064365386963e-10
    upper = high < 0
    p = tl.where(upper, ~high, high).to(tl.float32) + tl.where(upper, 1.0 - low, low)
    return quantile(q, p * 2.3283064365386963e-10)


@jit()
def box_muller(even, odd):
    """Two normals of two words."""
    share = (even.to(tl.float32) + 0.5) * 2.3283064365386963e-10
    angle = odd.to(tl.int32, bitcast=True).to(tl.float32) * 1.4629180792671596e-9
    if ON_DEVICE:
        radius = tl.sqrt(-1.3862943611198906 * libdevice.fast_log2f(share))
        return radius * libdevice.fast_cosf(angle), radius * libdevice.fast_sinf(angle)
    else:
        radius = tl.sqrt(-1.3862943611198906 * tl.log2(share))
        return radius * tl.cos(angle), radius * tl.sin(angle)


@jit()
def four_normals(seed, row, block, PORTABLE: tl.constexpr):
    """Normals of four neighbouring positions of a row, each of shape (blocks,)."""
    if PORTABLE:
        a, b, c, d = philox_long(seed, row, block)
        return normal_of(a), normal_of(b), normal_of(c), normal_of(d)
    else:
        a, b, c, d = philox_short(seed, row, block)
        w, x = box_muller(a, b)
        y, z = box_muller(c, d)
        return w, x, y, z


@jit()
def side_by_side(w, x, y, z):
    """Join what belongs to four neighbouring positions, shape (blocks, 2, 2): it moves data between threads."""
    return tl.join(tl.join(w, x), tl.join(y, z))


@jit()
def four_positions(block):
    """Where `four_normals` stand, `side_by_side`."""
    first = 4 * block
    return side_by_side(first, first + 1, first + 2, first + 3)
