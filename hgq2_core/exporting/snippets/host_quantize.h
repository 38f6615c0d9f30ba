/* The integers of an export's input ports: C99 or C++, needs the C library alone.

   For each input there is a function host_quantize_NAME(x, out): x is one sample in C order, as the model takes it
   (where ports.json has a standardization, after it), out gets its port's elements, integers in units of 2^-f. It
   returns 0, or 1 if a value is NaN or infinite. */
#ifndef HGQ2_HOST_QUANTIZE_H
#define HGQ2_HOST_QUANTIZE_H

#include <math.h>
#include <stdint.h>

enum { HOST_TRN, HOST_TRN_ZERO, HOST_RND, HOST_RND_ZERO, HOST_RND_INF, HOST_RND_MIN_INF, HOST_RND_CONV };
enum { HOST_WRAP, HOST_WRAP_SM, HOST_SAT, HOST_SAT_SYM, HOST_SAT_ZERO };

/* An element of a port. Where `steps` is not negative it is a step function: `steps` is the place of its first
   threshold, `values` that of its first value, and there are `count` thresholds. */
typedef struct {
    int place, width, k, i, f, rounding, overflow, steps, values, count;
} host_element;

static inline double host_round(double floor_, double rest, int rounding) {
    int odd = fmod(floor_, 2.0) != 0.0, up = 0;
    switch (rounding) {
    case HOST_TRN: up = 0; break;
    case HOST_TRN_ZERO: up = rest > 0.0 && floor_ < 0.0; break;
    case HOST_RND: up = rest >= 0.5; break;
    case HOST_RND_ZERO: up = rest > 0.5 || (rest == 0.5 && floor_ < 0.0); break;
    case HOST_RND_INF: up = rest > 0.5 || (rest == 0.5 && floor_ >= 0.0); break;
    case HOST_RND_MIN_INF: up = rest > 0.5; break;
    default: up = rest > 0.5 || (rest == 0.5 && odd); break;
    }
    return floor_ + up;
}

static inline int64_t host_wrap(double q, const host_element *e) {
    int64_t size = (int64_t)1 << e->width, low = e->k ? -(size / 2) : 0;
    int64_t near_ = (int64_t)fmod(q, (double)size);
    if (near_ < low) return near_ + size;
    return near_ >= low + size ? near_ - size : near_;
}

static inline int host_bit(double q, int place) { return fmod(floor(ldexp(q, -place)), 2.0) != 0.0; }

static inline int64_t host_fixed_point(double x, const host_element *e) {
    int bits = e->i + e->f, wraps = e->overflow == HOST_WRAP || e->overflow == HOST_WRAP_SM;
    double most = ldexp(1.0, e->i + 1), tiny = ldexp(1.0, -e->f - 3), size = ldexp(1.0, bits);
    /* Values far outside give what they give within a few times the range, where 2^f scales them exactly. */
    double near_ = wraps ? fmod(x, ldexp(1.0, e->k + e->i + 1)) : x < -most ? -most : x > most ? most : x;
    int same = near_ == x, lost;
    if (near_ != 0.0 && fabs(near_) < tiny) near_ = near_ < 0.0 ? -tiny : tiny;
    double scaled = ldexp(near_, e->f), below = floor(scaled), q = host_round(below, scaled - below, e->rounding);
    int64_t high = ((int64_t)1 << bits) - 1, low = e->k ? -high - 1 : 0, wrapped;
    switch (e->overflow) {
    case HOST_WRAP: return host_wrap(q, e);
    case HOST_WRAP_SM:
        wrapped = host_wrap(q, e);
        lost = q == 0.0 && same ? 0 : host_bit(below, bits + 1);
        return lost != host_bit(q, bits) ? -1 - wrapped : wrapped;
    case HOST_SAT_ZERO: return q >= -(e->k * size) && q < size ? (int64_t)q : 0;
    case HOST_SAT_SYM:
        if (e->k) low = -high;
        /* fall through */
    default:
        if (q >= size) return high;
        return q <= (double)low ? low : (int64_t)q;
    }
}

static inline int64_t host_step(double x, const host_element *e, const double *thresholds, const int64_t *values) {
    int low = 0, high = e->count;
    while (low < high) {
        int middle = (low + high) / 2;
        if (x >= thresholds[e->steps + middle]) low = middle + 1;
        else high = middle;
    }
    return values[e->values + low];
}

