// Inputs of a model as rows of integers: what host_quantize.h makes of each number, a block of samples at a time.
#ifndef HGQ2_HOST_H
#define HGQ2_HOST_H

#include <cmath>

#include "host_quantize.h"
#include "hgq2_rows.h"

namespace hgq2 {

// Where the scaled numbers fit int32 and the mode is a common one, all samples at once; else one by one.
template <class T>
inline void enter_simply(const host_element &e, const double *HGQ2_RESTRICT scaled, T *HGQ2_RESTRICT to) {
    const double half = e.rounding == HOST_RND ? 0.5 : 1.0;  // TRN never reaches 1
    const int bits = e.i + e.f;
    const std::int32_t high = static_cast<std::int32_t>((std::int64_t(1) << bits) - 1);
    const std::int32_t low = !e.k ? 0 : e.overflow == HOST_SAT_SYM ? -high : -high - 1;
    const int spare = 32 - e.width;
    alignas(64) std::int32_t q[BLOCK];
    for (int s = 0; s < BLOCK; s++) {
        const std::int32_t cut = static_cast<std::int32_t>(scaled[s]);
        const std::int32_t floor = cut - (scaled[s] < cut ? 1 : 0);
        q[s] = floor + (scaled[s] - floor >= half ? 1 : 0);
    }
    if (e.overflow == HOST_WRAP && e.k)
        for (int s = 0; s < BLOCK; s++) to[s] = up<std::int32_t>(q[s], spare) >> spare;
    else if (e.overflow == HOST_WRAP)
        for (int s = 0; s < BLOCK; s++) to[s] = q[s] & high;
    else
        for (int s = 0; s < BLOCK; s++) to[s] = q[s] < low ? low : q[s] > high ? high : q[s];
}

// x: samples of `numbers` numbers each, of which `count` up to BLOCK are there. Returns false for NaN and infinities.
template <class F, class T>
bool enter(const host_element &e, const double *thresholds, const std::int64_t *values, const F *x, int numbers,
           int count, T *to) {
    const bool simple = e.steps < 0 && (e.rounding == HOST_RND || e.rounding == HOST_TRN) && e.width < 31 &&
                        e.i + e.f >= 0 && e.i + e.f < 31 && e.overflow != HOST_WRAP_SM && e.overflow != HOST_SAT_ZERO;
    alignas(64) double scaled[BLOCK] = {};
    const F *from = x + e.place;
    if (simple) {
        const double step = std::ldexp(1.0, e.f);
        bool small = true;
        for (int s = 0; s < count; s++) {
            scaled[s] = static_cast<double>(from[static_cast<std::ptrdiff_t>(s) * numbers]) * step;
            small &= std::fabs(scaled[s]) < 1073741824.0;  // false for NaN
        }
        if (small && sizeof(F) == sizeof(float)) {
            enter_simply(e, scaled, to);
            return true;
        }
    }
    for (int s = 0; s < BLOCK; s++) to[s] = 0;
    for (int s = 0; s < count; s++) {
        const double value = static_cast<double>(from[static_cast<std::ptrdiff_t>(s) * numbers]);
        if (!std::isfinite(value)) return false;
        to[s] = static_cast<T>(e.steps >= 0 ? host_step(value, &e, thresholds, values) : host_fixed_point(value, &e));
    }
    return true;
}

}  // namespace hgq2

#endif
