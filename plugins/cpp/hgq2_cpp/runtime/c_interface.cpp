// The C interface of an emulator, declared in @NAME@_c.h: compile it into a program, or into a shared library.
#include "@NAME@_c.h"

#include <array>
#include <new>

#include "@NAME@.h"

namespace model = hgq2::@NAME@;

namespace {
template <class T, std::size_t SIZE, class S> std::array<T, SIZE> gathered(S *const *from) {
    std::array<T, SIZE> all;
    for (std::size_t n = 0; n < SIZE; n++) all[n] = from[n];
    return all;
}
}  // namespace

extern "C" {

int @NAME@_inputs(void) { return model::INPUTS; }
int @NAME@_outputs(void) { return model::OUTPUTS; }
const char *@NAME@_input_name(int input) { return model::INPUT_NAMES[input]; }
const char *@NAME@_output_name(int output) { return model::OUTPUT_NAMES[output]; }
size_t @NAME@_input_numbers(int input) { return model::INPUT_NUMBERS[input]; }
size_t @NAME@_input_elements(int input) { return model::INPUT_ELEMENTS[input]; }
size_t @NAME@_output_numbers(int output) { return model::OUTPUT_NUMBERS[output]; }

int @NAME@_predict(const void *const *inputs, double *const *outputs, size_t samples) {
    try {
        model::Model emulator;
        return emulator.predict(gathered<const void *, model::INPUTS>(inputs),
                                gathered<double *, model::OUTPUTS>(outputs), samples) ? 0 : 1;
    } catch (const std::bad_alloc &) {
        return 2;
    }
}

int @NAME@_run(const int64_t *const *inputs, int64_t *const *outputs, size_t samples) {
    try {
        model::Model emulator;
        emulator.run(gathered<const std::int64_t *, model::INPUTS>(inputs),
                     gathered<std::int64_t *, model::OUTPUTS>(outputs), samples);
        return 0;
    } catch (const std::bad_alloc &) {
        return 2;
    }
}
}
