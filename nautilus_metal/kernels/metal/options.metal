// Losses of a book with options: a thread revalues the whole book in one scenario. The formula is that of
// `kernels.option_scenarios`, its terms are in the same units.

// returns, changes: (assets, count); factors: (volatilities, count), not read where `volatilities` is 0.
// terms: rows of moneyness, strike, total volatility, sign, base, notional, (6, options); places: row of the return
// and of the volatility, (2, options); plain: exposure, first and second derivative of the expansion, (3, assets);
// vegas: (volatilities,). losses, expanded: (count,). Grid: count.
kernel void book_losses(
    device float* losses,
    device float* expanded,
    device const float* returns,
    device const float* changes,
    device const float* factors,
    device const float* terms,
    device const long* places,
    device const float* plain,
    device const float* vegas,
    constant float& decay,
    constant long& count,
    constant long& assets,
    constant long& options,
    constant long& volatilities,
    uint index [[thread_position_in_grid]]
) {
    float profit = 0.0f;
    float expansion = decay;
    for (long a = 0; a < assets; a++) {
        float change = changes[a * count + index];
        profit = profit + plain[a] * change;
        expansion = expansion + (plain[assets + a] + plain[2 * assets + a] * change) * change;
    }
    for (long v = 0; v < volatilities; v++) {
        expansion = expansion + vegas[v] * (factors[v * count + index] - 1.0f);
    }
    for (long o = 0; o < options; o++) {
        long asset = places[o] * count + index;
        float total = terms[2 * options + o];
        if (volatilities > 0) total = total * factors[places[options + o] * count + index];
        total = total < 1e-7f ? 1e-7f : total;
        float middle = (returns[asset] + terms[o]) / total;
        float half_total = 0.5f * total;
        float scale = -0.70710678118654752f * terms[3 * options + o];
        float spot_part = complementary_error((middle + half_total) * scale);
        float strike_part = complementary_error((middle - half_total) * scale) * terms[options + o];
        float value = spot_part + spot_part * changes[asset] - strike_part;
        value = value * (0.5f * terms[3 * options + o]) - terms[4 * options + o];
        profit = profit + terms[5 * options + o] * value;
    }
    losses[index] = -profit;
    expanded[index] = -expansion;
}
