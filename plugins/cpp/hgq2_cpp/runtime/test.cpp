// Compares the emulator with its test vectors; with the argument `speed` measures it, in batches of 4096.
#include <algorithm>
#include <array>
#include <chrono>
#include <cstdio>
#include <cstring>
#include <ctime>
#include <fstream>
#include <random>
#include <vector>

#include "@NAME@.h"

namespace model = hgq2::@NAME@;
using Numbers = std::vector<std::int64_t>;

// Reads samples of all ports, and gives each port's, sample after sample.
template <std::size_t COUNT>
static std::vector<Numbers> read(const char *path, const std::size_t (&sizes)[COUNT]) {
    std::ifstream file(path);
    std::vector<Numbers> ports(COUNT);
    for (std::int64_t number; file;)
        for (std::size_t port = 0; port < COUNT; port++)
            for (std::size_t n = 0; n < sizes[port] && file >> number; n++) ports[port].push_back(number);
    return ports;
}

// Whether each port has as many samples, and whole ones.
template <std::size_t COUNT>
static bool hold(const std::vector<Numbers> &ports, const std::size_t (&sizes)[COUNT], std::size_t samples) {
    for (std::size_t port = 0; port < COUNT; port++)
        if (ports[port].size() != samples * sizes[port]) return false;
    return true;
}

static int compare() {
    const auto given = read("vectors/inputs.txt", model::INPUT_ELEMENTS);
    const auto wanted = read("vectors/outputs.txt", model::OUTPUT_NUMBERS);
    const std::size_t samples = wanted[0].size() / model::OUTPUT_NUMBERS[0];
    if (samples == 0 || !hold(given, model::INPUT_ELEMENTS, samples) || !hold(wanted, model::OUTPUT_NUMBERS, samples)) {
        std::fprintf(stderr, "error: the test vectors are cut off, or of unequal length\n");
        return 2;
    }
    std::array<const std::int64_t *, model::INPUTS> inputs;
    std::array<std::int64_t *, model::OUTPUTS> outputs;
    std::vector<Numbers> got(wanted);
    for (std::size_t n = 0; n < inputs.size(); n++) inputs[n] = given[n].data();
    for (std::size_t n = 0; n < outputs.size(); n++) outputs[n] = got[n].data();
    model::Model emulator;
    emulator.run(inputs, outputs, samples);
    std::size_t mismatches = 0;
    for (std::size_t s = 0; s < samples; s++) {
        bool same = true;
        for (std::size_t n = 0; n < outputs.size(); n++) {
            const std::size_t size = model::OUTPUT_NUMBERS[n];
            same &= std::equal(got[n].begin() + s * size, got[n].begin() + (s + 1) * size, wanted[n].begin() + s * size);
        }
        mismatches += same ? 0 : 1;
    }
    std::printf("%zu mismatches in %zu samples\n", mismatches, samples);
    return mismatches == 0 ? 0 : 1;
}

static int measure() {
    constexpr std::size_t samples = 4096, repeats = 16;
    std::mt19937 generator(1);
    std::normal_distribution<float> normal(0.0f, 2.0f);
    std::vector<std::vector<double>> values(model::INPUTS + model::OUTPUTS);
    std::array<const void *, model::INPUTS> inputs;
    std::array<double *, model::OUTPUTS> outputs;
    for (std::size_t n = 0; n < inputs.size(); n++) {
        values[n].resize(samples * model::INPUT_NUMBERS[n]);
        float *numbers = reinterpret_cast<float *>(values[n].data());  // where a double is wanted, half of a pair of them
        for (std::size_t s = 0; s < values[n].size(); s++) numbers[s] = normal(generator);
        inputs[n] = numbers;
    }
    for (std::size_t n = 0; n < outputs.size(); n++) {
        values[model::INPUTS + n].resize(samples * model::OUTPUT_NUMBERS[n]);
        outputs[n] = values[model::INPUTS + n].data();
    }
    model::Model emulator;
    std::vector<double> rates[2];  // by the clock, and by the time of the processor
    for (int round = 0; round < 5; round++) {
        const auto start = std::chrono::steady_clock::now();
        const std::clock_t busy = std::clock();
        for (std::size_t n = 0; n < repeats; n++) emulator.predict(inputs, outputs, samples);
        const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - start;
        rates[0].push_back(samples * repeats / seconds.count());
        rates[1].push_back(samples * repeats / (static_cast<double>(std::clock() - busy) / CLOCKS_PER_SEC));
    }
    for (auto &each : rates) std::sort(each.begin(), each.end());
    std::printf("%.3g inferences a second by the clock, %.3g a second of one core (medians of 5, batches of %zu)\n",
                rates[0][2], rates[1][2], samples);
    return 0;
}

int main(int count, char **arguments) {
    return count > 1 && std::strcmp(arguments[1], "speed") == 0 ? measure() : compare();
}
