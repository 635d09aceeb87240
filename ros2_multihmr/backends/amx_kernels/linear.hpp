// Linear layers, with what follows them.
#pragma once

#include "functions.hpp"
#include "tiles.hpp"

namespace amx {

constexpr long GROUP = 128;  // most rows that a thread takes at once: their parts stay in its cache

// Rows that each thread takes at once, so that few rows are shared out evenly.
inline long group_of(long rows, long threads) {
  const long turns = std::max(1L, threads * ((rows + threads * GROUP - 1) / (threads * GROUP)));
  return std::min(GROUP, std::max(1L, blocks_of((rows + turns - 1) / turns)) * SIDE);
}

enum After { NOTHING = 0, GELU = 1, ADD = 2 };

// Splits weights (outputs, inputs), both multiples of 32.
template <int Parts>
void split_weights(const float* weights, long outputs, long inputs, unsigned char* to) {
  const long steps = inputs / SIDE;
  for (long output = 0; output < outputs; output += SIDE, to += steps * STEP<Parts>)
    split_transposed<Parts>(weights + output * inputs, inputs, SIDE, steps, to);
}

// out (rows, outputs) = x (rows, inputs) weights^T + bias, and what comes after; `added` (rows, outputs) is for ADD.
template <int Parts>
void linear(const float* x, long rows, long inputs, long outputs, const unsigned char* weights, const float* bias,
            After after, const float* added, float* out, int threads) {
  const long steps = inputs / SIDE, block = steps * STEP<Parts>;
  const long at_once = group_of(rows, threads), groups = (rows + at_once - 1) / at_once;
#pragma omp parallel num_threads(threads)
  {
    static thread_local Workspace own;
    const TileSetting tiles;
    unsigned char* split = own.of_size(GROUP / SIDE * block + RESULTS * sizeof(float));
    float* results = reinterpret_cast<float*>(split + GROUP / SIDE * block);
#pragma omp for schedule(dynamic)
    for (long group = 0; group < groups; group++) {
      const long first = group * at_once, count = std::min(at_once, rows - first);
      for (long row = 0; row < count; row += SIDE)
        split_rows<Parts>(x + (first + row) * inputs, inputs, std::min(SIDE, count - row), steps, 1.0f,
                          split + row / SIDE * block);
      for (long column = 0; column < outputs; column += SIDE)
        for (long row = 0; row < count; row += SIDE) {
          block_product<Parts>(split + row / SIDE * block, weights + column / SIDE * block, steps, results, false);
          for (long line = 0; line < std::min(SIDE, count - row); line++)
            for (long half = 0; half < SIDE; half += 16) {
              const long place = (first + row + line) * outputs + column + half;
              const __m512 product = _mm512_load_ps(results + line * SIDE + half);
              __m512 y = _mm512_add_ps(product, _mm512_loadu_ps(bias + column + half));
              if (after == GELU) y = gelu(y);
              if (after == ADD) y = _mm512_add_ps(y, _mm512_loadu_ps(added + place));
              _mm512_storeu_ps(out + place, y);
            }
        }
    }
  }
}

}  // namespace amx
