// Recurrences over histories: a thread walks one series under one setting, bar by bar, as the streaming states do.
// Grid: settings times series; prices (series, bars), results (settings, series, bars).

// settings: (period, 1 / period, 1 - 1 / period) of each; NaN before bar `period`.
kernel void rsi_scan(
    device float* result,
    device const float* prices,
    device const float* settings,
    constant long& series,
    constant long& bars,
    uint index [[thread_position_in_grid]]
) {
    long setting = long(index) / series;
    long from = (long(index) % series) * bars;
    long to = long(index) * bars;
    long period = long(settings[3 * setting]);
    float weight = settings[3 * setting + 1];
    float keep = settings[3 * setting + 2];
    float gain = 0.0f;
    float loss = 0.0f;
    for (long t = 0; t < bars; t++) {
        float move = t > 0 ? prices[from + t] - prices[from + t - 1] : 0.0f;
        if (t > period) {
            gain = gain * keep;
            loss = loss * keep;
        }
        if (move > 0.0f) gain = gain + move * weight;
        else loss = loss - move * weight;
        float total = gain + loss;
        float value = total > 0.0f ? 100.0f * gain / total : 0.0f;
        result[to + t] = t < period ? not_a_number() : value;
    }
}

// The gap of an average to the newest price: the mean of n prices, then an EMA, see `kernels.macd`.
float next_gap(float gap, float move, long prices, long period, float keep) {
    if (prices <= 1) return 0.0f;
    float share = prices <= period ? float(prices - 1) / float(prices) : keep;
    return share * (gap - move);
}

// settings: (fast, slow, signal, decays of the three, rate of the signal) of each; the results are line, signal and
// histogram, each of the shape (settings, series, bars); NaN before bar slow + signal - 2.
kernel void macd_scan(
    device float* result,
    device const float* prices,
    device const float* settings,
    constant long& number,
    constant long& series,
    constant long& bars,
    uint index [[thread_position_in_grid]]
) {
    long row = 7 * (long(index) / series);
    long from = (long(index) % series) * bars;
    long to = long(index) * bars;
    long all = number * series * bars;
    long brief = long(settings[row]);
    long slow = long(settings[row + 1]);
    long signal = long(settings[row + 2]);
    long first = slow + signal - 2;
    float quick = 0.0f;
    float slack = 0.0f;
    float seed = 0.0f;
    float smooth = 0.0f;
    for (long t = 0; t < bars; t++) {
        float move = t > 0 ? prices[from + t] - prices[from + t - 1] : 0.0f;
        quick = next_gap(quick, move, t + 1 - (slow - brief), brief, settings[row + 3]);
        slack = next_gap(slack, move, t + 1, slow, settings[row + 4]);
        float line = quick - slack;
        if (t >= slow - 1 && t <= first) {
            seed = seed + line;
            smooth = seed / float(signal);
        } else if (t > first) {
            smooth = settings[row + 5] * smooth + settings[row + 6] * line;
        }
        result[to + t] = t < first ? not_a_number() : line;
        result[all + to + t] = t < first ? not_a_number() : smooth;
        result[2 * all + to + t] = t < first ? not_a_number() : line - smooth;
    }
}
