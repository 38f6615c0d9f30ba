// Loops over rows of integers: C++17, needs the standard library alone.
//
// A row holds one number of the model for each sample of a block. Every loop inside runs over the samples of a block,
// so that a compiler makes it vector instructions; the tables say which rows it takes, and how far it shifts them.
#ifndef HGQ2_ROWS_H
#define HGQ2_ROWS_H

#include <cstddef>
#include <cstdint>
#include <type_traits>

#if defined(_MSC_VER)
#define HGQ2_RESTRICT __restrict
#elif defined(__GNUC__)
#define HGQ2_RESTRICT __restrict__
#else
#define HGQ2_RESTRICT
#endif

namespace hgq2 {

constexpr int BLOCK = 64;

template <class T> using Row = T[BLOCK];

// Shifts that are defined for negative numbers too.
template <class T> inline T up(T x, int places) {
    using U = typename std::make_unsigned<T>::type;
    return static_cast<T>(static_cast<U>(x) << places);
}

// What the rounding modes add before the bits below a step are cut off.
struct TRN { template <class C> static C of(C, C, C, C) { return 0; } };
struct TRN_ZERO { template <class C> static C of(C x, C, C, C mask) { return x < 0 ? mask : 0; } };
struct RND { template <class C> static C of(C, C, C half, C) { return half; } };
struct RND_ZERO { template <class C> static C of(C x, C, C half, C) { return half - (x >= 0 ? 1 : 0); } };
struct RND_INF { template <class C> static C of(C x, C, C half, C) { return half - (x < 0 ? 1 : 0); } };
struct RND_MIN_INF { template <class C> static C of(C, C, C half, C) { return half - 1; } };
struct RND_CONV { template <class C> static C of(C, C floor, C half, C) { return half - 1 + (floor & 1); } };

// What the overflow modes make of rounded numbers.
struct NONE { template <class C> static C of(C x, C, C, C) { return x; } };
struct SAT { template <class C> static C of(C x, C, C low, C high) { return x < low ? low : x > high ? high : x; } };
using SAT_SYM = SAT;
struct SAT_ZERO { template <class C> static C of(C x, C, C low, C high) { return x < low || x > high ? 0 : x; } };
struct WRAP {
    template <class C> static C of(C x, C, C is_signed, C bits) {
        using U = typename std::make_unsigned<C>::type;
        const int spare = static_cast<int>(sizeof(C) * 8 - static_cast<std::size_t>(bits));
        const U top = static_cast<U>(x) << spare;
        return is_signed ? static_cast<C>(top) >> spare : static_cast<C>(top >> spare);
    }
};
struct WRAP_SM {
    template <class C> static C of(C x, C floor, C, C bits) {
        const C lost = (x == 0 ? 0 : floor) >> (bits + 1), wrapped = WRAP::of<C>(x, floor, 1, bits + 1);
        return ((lost ^ (x >> bits)) & 1) != 0 ? -1 - wrapped : wrapped;
    }
};

struct Add { template <class C> static C of(C x, C y) { return x + y; } };
struct Subtract { template <class C> static C of(C x, C y) { return x - y; } };
struct Multiply { template <class C> static C of(C x, C y) { return x * y; } };
struct Maximum { template <class C> static C of(C x, C y) { return x > y ? x : y; } };
struct Minimum { template <class C> static C of(C x, C y) { return x < y ? x : y; } };
struct Less { template <class C> static C of(C x, C y) { return x < y ? 1 : 0; } };

// C computes, A and B are read, D is written.
template <class Round, class Overflow, class C, class A, class D>
void quantize(int count, const std::int32_t *out, const std::int32_t *a, const std::uint8_t *places_up,
              const std::uint8_t *places_down, const C *p, const C *q, const Row<A> *x, Row<D> *y) {
    for (int n = 0; n < count; n++) {
        const A *HGQ2_RESTRICT from = x[a[n]];
        D *HGQ2_RESTRICT to = y[out[n]];
        const C first = p[n], second = q[n];
        const int more = places_up[n], down = places_down[n];
        if (down == 0) {
            for (int s = 0; s < BLOCK; s++) {
                const C value = up<C>(static_cast<C>(from[s]), more);
                to[s] = static_cast<D>(Overflow::template of<C>(value, value, first, second));
            }
            continue;
        }
        const C half = static_cast<C>(C(1) << (down - 1)), mask = static_cast<C>((C(1) << down) - 1);
        for (int s = 0; s < BLOCK; s++) {
            const C value = static_cast<C>(from[s]), floor = value >> down;
            const C rounded = (value + Round::template of<C>(value, floor, half, mask)) >> down;
            to[s] = static_cast<D>(Overflow::template of<C>(rounded, floor, first, second));
        }
    }
}

template <class Op, class C, class A, class B, class D>
void binary(int count, const std::int32_t *out, const std::int32_t *a, const std::uint8_t *up_a, const std::int32_t *b,
            const std::uint8_t *up_b, const Row<A> *x, const Row<B> *y, Row<D> *z) {
    for (int n = 0; n < count; n++) {
        const A *HGQ2_RESTRICT left = x[a[n]];
        const B *HGQ2_RESTRICT right = y[b[n]];
        D *HGQ2_RESTRICT to = z[out[n]];
        const int first = up_a[n], second = up_b[n];
        for (int s = 0; s < BLOCK; s++)
            to[s] = static_cast<D>(Op::template of<C>(up<C>(left[s], first), up<C>(right[s], second)));
    }
}

template <class C, class K, class A, class B, class D>
void select(int count, const std::int32_t *out, const std::int32_t *c, const std::int32_t *a, const std::uint8_t *up_a,
            const std::int32_t *b, const std::uint8_t *up_b, const Row<K> *w, const Row<A> *x, const Row<B> *y,
            Row<D> *z) {
    for (int n = 0; n < count; n++) {
        const K *HGQ2_RESTRICT condition = w[c[n]];
        const A *HGQ2_RESTRICT left = x[a[n]];
        const B *HGQ2_RESTRICT right = y[b[n]];
        D *HGQ2_RESTRICT to = z[out[n]];
        const int first = up_a[n], second = up_b[n];
        for (int s = 0; s < BLOCK; s++) {
            const C one = up<C>(left[s], first), other = up<C>(right[s], second);
            to[s] = static_cast<D>(condition[s] != 0 ? one : other);
        }
    }
}

template <class C, class A, class D>
void shift(int count, const std::int32_t *out, const std::int32_t *a, const std::uint8_t *places, const Row<A> *x,
           Row<D> *y) {
    for (int n = 0; n < count; n++) {
        const A *HGQ2_RESTRICT from = x[a[n]];
        D *HGQ2_RESTRICT to = y[out[n]];
        const int more = places[n];
        for (int s = 0; s < BLOCK; s++) to[s] = static_cast<D>(up<C>(from[s], more));
    }
}

// Entries of row n begin at start[n], with that of the number first[n].
template <class A, class E, class D>
void table(int count, const std::int32_t *out, const std::int32_t *a, const std::uint8_t *places_down,
           const A *first, const std::int32_t *start, const E *entries, const Row<A> *x, Row<D> *y) {
    for (int n = 0; n < count; n++) {
        const A *HGQ2_RESTRICT from = x[a[n]];
        D *HGQ2_RESTRICT to = y[out[n]];
        const E *own = entries + start[n];
        const int down = places_down[n];
        const A least = first[n];
        for (int s = 0; s < BLOCK; s++) to[s] = static_cast<D>(own[(from[s] >> down) - least]);
    }
}

// Sums of products with constants, by (group, row, column): column c of group g takes the places k of the sum from
// start[g * columns + c] on, whose rows are those of a, by (group, row, place).
template <class C, class W, class A>
void linear(int groups, int rows, int columns, int places, const std::int32_t *out, const std::int32_t *a,
            const std::int32_t *start, const std::int32_t *k, const W *weight, const Row<A> *x, Row<C> *y) {
    for (int g = 0; g < groups; g++)
        for (int r = 0; r < rows; r++) {
            const std::int32_t *own = a + (static_cast<std::ptrdiff_t>(g) * rows + r) * places;
            for (int c = 0; c < columns; c++) {
                alignas(64) C sum[BLOCK] = {};
                const std::int32_t *ends = start + static_cast<std::ptrdiff_t>(g) * columns + c;
                int n = ends[0];
                for (; n + 4 <= ends[1]; n += 4) {  // four at once, so that the sum is read and written less often
                    const A *HGQ2_RESTRICT from0 = x[own[k[n]]], *HGQ2_RESTRICT from1 = x[own[k[n + 1]]];
                    const A *HGQ2_RESTRICT from2 = x[own[k[n + 2]]], *HGQ2_RESTRICT from3 = x[own[k[n + 3]]];
                    const C factor0 = weight[n], factor1 = weight[n + 1], factor2 = weight[n + 2], factor3 = weight[n + 3];
                    for (int s = 0; s < BLOCK; s++)
                        sum[s] += factor0 * static_cast<C>(from0[s]) + factor1 * static_cast<C>(from1[s]) +
                                  factor2 * static_cast<C>(from2[s]) + factor3 * static_cast<C>(from3[s]);
                }
                for (; n < ends[1]; n++) {
                    const A *HGQ2_RESTRICT from = x[own[k[n]]];
                    const C factor = weight[n];
                    for (int s = 0; s < BLOCK; s++) sum[s] += factor * static_cast<C>(from[s]);
                }
                C *HGQ2_RESTRICT to = y[*out++];
                for (int s = 0; s < BLOCK; s++) to[s] = sum[s];
            }
        }
}

// Sums of products of data, by (group, row, column); b is by (group, column, place).
template <class C, class A, class B>
void products(int groups, int rows, int columns, int places, const std::int32_t *out, const std::int32_t *a,
              const std::int32_t *b, const Row<A> *x, const Row<B> *y, Row<C> *z) {
    for (int g = 0; g < groups; g++)
        for (int r = 0; r < rows; r++)
            for (int c = 0; c < columns; c++) {
                const std::int32_t *one = a + (static_cast<std::ptrdiff_t>(g) * rows + r) * places;
                const std::int32_t *other = b + (static_cast<std::ptrdiff_t>(g) * columns + c) * places;
                alignas(64) C sum[BLOCK] = {};
                for (int n = 0; n < places; n++) {
                    const A *HGQ2_RESTRICT left = x[one[n]];
                    const B *HGQ2_RESTRICT right = y[other[n]];
                    for (int s = 0; s < BLOCK; s++) sum[s] += static_cast<C>(left[s]) * static_cast<C>(right[s]);
                }
                C *HGQ2_RESTRICT to = z[*out++];
                for (int s = 0; s < BLOCK; s++) to[s] = sum[s];
            }
}

template <class T, class V> void fill(int count, const std::int32_t *out, const V *values, Row<T> *y) {
    for (int n = 0; n < count; n++)
        for (int s = 0; s < BLOCK; s++) y[out[n]][s] = static_cast<T>(values[n]);
}

}  // namespace hgq2

#endif
