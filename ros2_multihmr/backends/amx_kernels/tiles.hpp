// Products of float32 matrices on Intel's AMX tiles, which multiply bfloat16 and add in float32.
//
// A float32 has 24 binary places, a bfloat16 has 8: three of these add up to one of those. Of the nine products of two
// such sums, six count (arXiv:1904.06376); the other three are below float32's own rounding. `Parts` says how many
// bfloat16 stand for a number: 3 for float32, 1 for bfloat16.
//
// A matrix that is multiplied lies in blocks of 32 rows (columns, for what stands on the right) and as deep as need be:
// step after step of 32 numbers of depth; in a step part after part, the largest first; of a part two tiles of 16.
#pragma once

#include <immintrin.h>

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <cstring>

namespace amx {

constexpr long SIDE = 32;          // rows and columns of a block of results, and numbers of depth in a step
constexpr long TILE = 1024;        // bytes of a tile: 16 rows of 64
constexpr long RESULTS = SIDE * SIDE;

template <int Parts>
constexpr long STEP = Parts * 2 * TILE;  // bytes of a step

inline long blocks_of(long count) { return (count + SIDE - 1) / SIDE; }

// While it lives, the thread's eight tiles have 16 rows of 64 bytes. What others had set comes back afterwards.
class TileSetting {
 public:
  TileSetting() {
    alignas(64) Config config;
    _tile_storeconfig(before_);
    _tile_loadconfig(&config);
  }
  ~TileSetting() { _tile_loadconfig(before_); }
  TileSetting(const TileSetting&) = delete;
  TileSetting& operator=(const TileSetting&) = delete;

 private:
  struct Config {
    uint8_t palette = 1, start_row = 0, reserved[14] = {};
    uint16_t row_bytes[16] = {64, 64, 64, 64, 64, 64, 64, 64};
    uint8_t rows[16] = {16, 16, 16, 16, 16, 16, 16, 16};
  };
  alignas(64) unsigned char before_[64];
};

// A thread's memory, kept from call to call.
class Workspace {
 public:
  unsigned char* of_size(long bytes) {
    if (bytes > size_) {
      std::free(data_);
      size_ = (bytes + 63) / 64 * 64;
      data_ = static_cast<unsigned char*>(std::aligned_alloc(64, size_));
      if (data_ == nullptr) std::abort();  // nobody could catch it on this thread
    }
    return data_;
  }
  ~Workspace() { std::free(data_); }

 private:
  unsigned char* data_ = nullptr;
  long size_ = 0;
};

// The nearest number of 8 binary places.
inline __m512 rounded(__m512 x) {
  const __m512i up = _mm512_add_epi32(_mm512_castps_si512(x), _mm512_set1_epi32(0x8000));
  return _mm512_castsi512_ps(_mm512_and_si512(up, _mm512_set1_epi32(static_cast<int>(0xFFFF0000u))));
}

// Two neighbours of 32 numbers of a row, at their place in a block.
template <int Parts>
inline void store_split(__m512 first, __m512 second, unsigned char* to) {
  for (int part = 0; part < Parts; part++, to += 2 * TILE) {
    const __m512 large = rounded(first), larger = rounded(second);
    _mm512_store_si512(to, reinterpret_cast<__m512i>(_mm512_cvtne2ps_pbh(larger, large)));
    first = _mm512_sub_ps(first, large);
    second = _mm512_sub_ps(second, larger);
  }
}

// Rows of a matrix as a block; rows that it lacks are zeros.
template <int Parts>
inline void split_rows(const float* matrix, long stride, long rows, long steps, float factor, unsigned char* to) {
  const __m512 by = _mm512_set1_ps(factor), zero = _mm512_setzero_ps();
  for (long row = 0; row < SIDE; row++) {
    const float* from = matrix + row * stride;
    unsigned char* place = to + row / 16 * TILE + row % 16 * 64;
    for (long step = 0; step < steps; step++, from += SIDE, place += STEP<Parts>) {
      const bool there = row < rows;
      store_split<Parts>(there ? _mm512_mul_ps(by, _mm512_loadu_ps(from)) : zero,
                         there ? _mm512_mul_ps(by, _mm512_loadu_ps(from + 16)) : zero, place);
    }
  }
}

// Rows of a matrix as columns of what stands on the right: pairs of neighbours stay together, as tiles want them.
template <int Parts>
inline void split_transposed(const float* matrix, long stride, long rows, long steps, unsigned char* to) {
  split_rows<Parts>(matrix, stride, rows, steps, 1.0f, to);
  for (unsigned char* tile = to; tile < to + steps * STEP<Parts>; tile += TILE) {
    uint32_t pairs[16][16], turned[16][16];
    std::memcpy(pairs, tile, TILE);
    for (int row = 0; row < 16; row++)
      for (int column = 0; column < 16; column++) turned[column][row] = pairs[row][column];
    std::memcpy(tile, turned, TILE);
  }
}

// Rows of a matrix, 32 columns wide, as one step of what stands on the right; rows that it lacks are zeros.
template <int Parts>
inline void split_depth(const float* matrix, long stride, long rows, unsigned char* to) {
  const __m512 zero = _mm512_setzero_ps();
  for (long row = 0; row < SIDE; row += 2)
    for (long half = 0; half < 2; half++) {
      const float* from = matrix + row * stride + half * 16;
      __m512 first = row < rows ? _mm512_loadu_ps(from) : zero;
      __m512 second = row + 1 < rows ? _mm512_loadu_ps(from + stride) : zero;
      unsigned char* place = to + half * TILE + row / 2 * 64;
      for (int part = 0; part < Parts; part++, place += 2 * TILE) {
        const __m512 large = rounded(first), larger = rounded(second);
        const __m512i low = _mm512_srli_epi32(_mm512_castps_si512(large), 16);
        _mm512_store_si512(place, _mm512_or_si512(low, _mm512_castps_si512(larger)));
        first = _mm512_sub_ps(first, large);
        second = _mm512_sub_ps(second, larger);
      }
    }
}

// The tiles' own work. Their numbers are part of the instructions: 0 to 3 the results, 4 and 5 rows, 6 and 7 columns.
inline void load_rows(const unsigned char* step, int part) {
  _tile_loadd(4, step + part * 2 * TILE, 64);
  _tile_loadd(5, step + part * 2 * TILE + TILE, 64);
}
inline void load_columns(const unsigned char* step, int part) {
  _tile_loadd(6, step + part * 2 * TILE, 64);
  _tile_loadd(7, step + part * 2 * TILE + TILE, 64);
}
inline void multiply() {
  _tile_dpbf16ps(0, 4, 6);
  _tile_dpbf16ps(1, 4, 7);
  _tile_dpbf16ps(2, 5, 6);
  _tile_dpbf16ps(3, 5, 7);
}

// results (32, 32) = rows (32, 32 * steps) columns (32 * steps, 32), or added to what is there.
template <int Parts>
inline void block_product(const unsigned char* rows, const unsigned char* columns, long steps, float* results,
                          bool add) {
  constexpr long LINE = SIDE * sizeof(float);
  if (add) {
    _tile_loadd(0, results, LINE);
    _tile_loadd(1, results + 16, LINE);
    _tile_loadd(2, results + 16 * SIDE, LINE);
    _tile_loadd(3, results + 16 * SIDE + 16, LINE);
  } else {
    _tile_zero(0);
    _tile_zero(1);
    _tile_zero(2);
    _tile_zero(3);
  }
  for (long step = 0; step < steps; step++, rows += STEP<Parts>, columns += STEP<Parts>) {
    load_rows(rows, 0);
    if constexpr (Parts == 3) {  // the small ones first, in the order that loads least
      load_columns(columns, 2);
      multiply();
      load_columns(columns, 1);
      multiply();
      load_rows(rows, 1);
      multiply();
      load_columns(columns, 0);
      multiply();
      load_rows(rows, 2);
      multiply();
      load_rows(rows, 0);
      multiply();
    } else {
      load_columns(columns, 0);
      multiply();
    }
  }
  _tile_stored(0, results, LINE);
  _tile_stored(1, results + 16, LINE);
  _tile_stored(2, results + 16 * SIDE, LINE);
  _tile_stored(3, results + 16 * SIDE + 16, LINE);
}

}  // namespace amx
