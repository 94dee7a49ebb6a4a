// The portable normals of `kernels.normals`, and geometric Brownian motions that draw them on the way.

struct Words {
    ulong a;
    ulong b;
    ulong c;
    ulong d;
};

ulong high_product(ulong x, ulong y) {
    ulong low = 0xffffffffUL;
    ulong x0 = x & low;
    ulong x1 = x >> 32;
    ulong y0 = y & low;
    ulong y1 = y >> 32;
    ulong middle = x1 * y0 + ((x0 * y0) >> 32);
    ulong other = x0 * y1 + (middle & low);
    return x1 * y1 + (middle >> 32) + (other >> 32);
}

// Salmon et al. (2011), Philox 4x64 of ten rounds, as numpy counts: the first block is 1.
Words philox(ulong seed, ulong row, ulong block) {
    Words w;
    w.a = block + 1;
    w.b = 0;
    w.c = 0;
    w.d = 0;
    for (int i = 0; i < 10; i++) {
        ulong high_a = high_product(0xD2E7470EE14C6C93UL, w.a);
        ulong low_a = 0xD2E7470EE14C6C93UL * w.a;
        ulong high_c = high_product(0xCA5A826395121157UL, w.c);
        ulong low_c = 0xCA5A826395121157UL * w.c;
        w.a = high_c ^ w.b ^ seed;
        w.b = low_c;
        w.c = high_a ^ w.d ^ row;
        w.d = low_a;
        seed = seed + 0x9E3779B97F4A7C15UL;
        row = row + 0xBB67AE8584CAA73BUL;
    }
    return w;
}

ulong word_at(Words w, int place) {
    return place == 0 ? w.a : place == 1 ? w.b : place == 2 ? w.c : w.d;
}

// The middle of one of 2^52 cells. In units of 2^-53 its distance to a half and to the nearer end are whole numbers,
// which keep their digits in float32.
float normal_of(ulong word) {
    ulong cell = word >> 12;
    long centred = long(2 * cell + 1) - 0x10000000000000L;
    ulong end = cell < 0x8000000000000UL ? cell : 0xfffffffffffffUL - cell;
    float unit = 1.1102230246251565e-16f;
    return normal_quantile(float(centred) * unit, float(2 * end + 1) * unit);
}

// A thread makes a block of Philox: up to four neighbours of a row. Grid: rows times blocks of a row.
kernel void portable_normals(
    device float* normals,
    constant long& blocks,
    constant long& count,
    constant long& seed,
    constant long& start,
    uint index [[thread_position_in_grid]]
) {
    long row = long(index) / blocks;
    long block = start / 4 + long(index) % blocks;
    Words words = philox(ulong(seed), ulong(row), ulong(block));
    for (int i = 0; i < 4; i++) {
        long place = 4 * block + i - start;
        if (place >= 0 && place < count) normals[row * count + place] = normal_of(word_at(words, i));
    }
}

// A thread walks four paths through all steps, and their mirror images, if wanted, `count` places on.
// spots: (steps + 1, paths), sums of the normals so far: (steps, paths). Grid: blocks of a row.
kernel void portable_paths(
    device float* spots,
    device float* sums,
    constant long& steps,
    constant long& count,
    constant long& mirrored,
    constant long& seed,
    constant long& start,
    constant float& spot,
    constant float& drift,
    constant float& deviation,
    uint index [[thread_position_in_grid]]
) {
    long block = start / 4 + long(index);
    long paths = mirrored != 0 ? 2 * count : count;
    float sum[4] = {0.0f, 0.0f, 0.0f, 0.0f};
    float up[4] = {0.0f, 0.0f, 0.0f, 0.0f};
    float down[4] = {0.0f, 0.0f, 0.0f, 0.0f};
    for (long step = 0; step <= steps; step++) {
        Words words = philox(ulong(seed), ulong(step > 0 ? step - 1 : 0), ulong(block));
        for (int i = 0; i < 4; i++) {
            long place = 4 * block + i - start;
            if (place < 0 || place >= count) continue;
            if (step == 0) {
                spots[place] = spot;
                if (mirrored != 0) spots[count + place] = spot;
                continue;
            }
            float z = normal_of(word_at(words, i));
            sum[i] = sum[i] + z;
            up[i] = up[i] + (drift + deviation * z);
            spots[step * paths + place] = spot * exponential(up[i]);
            sums[(step - 1) * paths + place] = sum[i];
            if (mirrored == 0) continue;
            down[i] = down[i] + (drift - deviation * z);
            spots[step * paths + count + place] = spot * exponential(down[i]);
            sums[(step - 1) * paths + count + place] = -sum[i];
        }
    }
}
