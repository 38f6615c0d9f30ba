#!/bin/sh
# Compares the emulator with its test vectors: 0 mismatches. `./simulate.sh speed` measures it instead.
# CXX is the compiler; CXXFLAGS its options in place of -O1, or of -O3 -march=native for the speed.
set -e
cd "$(dirname "$0")"
if [ "$1" = speed ]; then flags="-O3 -march=native"; else flags="-O1"; fi
${CXX:-c++} -std=c++17 ${CXXFLAGS:-$flags} -o test test.cpp
./test "$@"
