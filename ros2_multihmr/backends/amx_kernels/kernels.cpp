// The functions that Python calls, see backends/amx_library.py. Threads are those of the OpenMP that PyTorch has loaded.
#include <type_traits>

#include "attention.hpp"
#include "linear.hpp"

namespace {

constexpr int INTERFACE = 1;  // one more whenever a function here takes or means something else

// Calls work<Parts>; returns false if nobody made it for so many.
template <typename Work>
bool with_parts(int parts, const Work& work) {
  switch (parts) {
    case 1: return work(std::integral_constant<int, 1>()), true;
    case 3: return work(std::integral_constant<int, 3>()), true;
    default: return false;
  }
}

}  // namespace

extern "C" {

// Python asks before it calls anything else: an installation may have been left half renewed.
int multihmr_amx_interface() { return INTERFACE; }

// Splits weights (outputs, inputs) into parts * 2 * outputs * inputs bytes.
bool multihmr_amx_split(int parts, const float* weights, long outputs, long inputs, unsigned char* to) {
  return with_parts(parts, [&](auto p) { amx::split_weights<p()>(weights, outputs, inputs, to); });
}

bool multihmr_amx_linear(int parts, const float* x, long rows, long inputs, long outputs, const unsigned char* weights,
                         const float* bias, int after, const float* added, float* out, int threads) {
  return with_parts(parts, [&](auto p) {
    amx::linear<p()>(x, rows, inputs, outputs, weights, bias, static_cast<amx::After>(after), added, out, threads);
  });
}

bool multihmr_amx_attention(int parts, const float* queries, const float* keys, const float* values, long stride,
                            long batch, long tokens, long heads, long depth, float* out, int threads) {
  const amx::Layout at{batch, tokens, heads, depth, stride};
  return with_parts(parts, [&](auto p) { amx::attention<p()>(queries, keys, values, at, out, threads); });
}
}
