// Elementary functions of float32 by addition, multiplication, division and square root alone, which are exact to
// rounding on every device, so that one text gives one answer wherever it runs. No product is fused with a sum.
#pragma METAL fp contract(off)

float not_a_number() {
    return as_type<float>(0x7fc00000u);
}

float power_of_two(int exponent) {
    return as_type<float>(uint(exponent + 127) << 23);
}

// Moshier, Cephes `expf`: 2e-7 relative. Below -87 it is 0, above 88 infinite.
float exponential(float x) {
    if (x != x) return x;
    if (x < -87.0f) return 0.0f;
    if (x > 88.0f) return as_type<float>(0x7f800000u);
    float whole = floor(1.44269504088896341f * x + 0.5f);
    x = x - whole * 0.693359375f;
    x = x - whole * -2.12194440e-4f;
    float p = 1.9875691500e-4f;
    p = p * x + 1.3981999507e-3f;
    p = p * x + 8.3334519073e-3f;
    p = p * x + 4.1665795894e-2f;
    p = p * x + 1.6666665459e-1f;
    p = p * x + 5.0000001201e-1f;
    float y = p * (x * x) + x + 1.0f;
    return y * power_of_two(int(whole));
}

// Moshier, Cephes `logf`: 2e-7 relative, for normal positive numbers.
float logarithm(float x) {
    uint bits = as_type<uint>(x);
    int exponent = int(bits >> 23) - 126;
    float m = as_type<float>((bits & 0x007fffffu) | 0x3f000000u);
    if (m < 0.707106781186547524f) {
        exponent = exponent - 1;
        m = m + m - 1.0f;
    } else {
        m = m - 1.0f;
    }
    float z = m * m;
    float p = 7.0376836292e-2f;
    p = p * m - 1.1514610310e-1f;
    p = p * m + 1.1676998740e-1f;
    p = p * m - 1.2420140846e-1f;
    p = p * m + 1.4249322787e-1f;
    p = p * m - 1.6668057665e-1f;
    p = p * m + 2.0000714765e-1f;
    p = p * m - 2.4999993993e-1f;
    p = p * m + 3.3333331174e-1f;
    float y = p * m * z;
    float e = float(exponent);
    y = y + e * -2.12194440e-4f;
    y = y - 0.5f * z;
    return m + y + e * 0.693359375f;
}

// Press et al. (1992), Numerical Recipes, section 6.2, `erfcc`: 1.2e-7 relative before rounding.
float complementary_error(float x) {
    float z = x < 0.0f ? -x : x;
    float t = 1.0f / (1.0f + 0.5f * z);
    float p = 0.17087277f;
    p = p * t - 0.82215223f;
    p = p * t + 1.48851587f;
    p = p * t - 1.13520398f;
    p = p * t + 0.27886807f;
    p = p * t - 0.18628806f;
    p = p * t + 0.09678418f;
    p = p * t + 0.37409196f;
    p = p * t + 1.00002368f;
    p = p * t - 1.26551223f;
    float tail = t * exponential(p - z * z);
    return x < 0.0f ? 2.0f - tail : tail;
}

// Wichura (1988), "Algorithm AS 241: the percentage points of the normal distribution", PPND7: 1e-7 relative.
// `q` is the probability less a half, `p` the probability or its complement, whichever is smaller; q has p's side.
float normal_quantile(float q, float p) {
    if (q >= -0.425f && q <= 0.425f) {
        float r = 0.180625f - q * q;
        float a = ((5.9109374720e1f * r + 1.5929113202e2f) * r + 5.0434271938e1f) * r + 3.3871327179f;
        float b = ((6.7187563600e1f * r + 7.8757757664e1f) * r + 1.7895169469e1f) * r + 1.0f;
        return q * a / b;
    }
    float r = sqrt(-logarithm(p));
    float z;
    if (r <= 5.0f) {
        r = r - 1.6f;
        float c = ((1.7023821103e-1f * r + 1.3067284816f) * r + 2.7568153900f) * r + 1.4234372777f;
        z = c / ((1.2021132975e-1f * r + 7.3700164250e-1f) * r + 1.0f);
    } else {
        r = r - 5.0f;
        float e = ((1.7337203997e-2f * r + 4.2868294337e-1f) * r + 3.0812263860f) * r + 6.6579051150f;
        z = e / ((1.2258202635e-2f * r + 2.4197894225e-1f) * r + 1.0f);
    }
    return q < 0.0f ? -z : z;
}
