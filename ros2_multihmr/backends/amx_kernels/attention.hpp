// Softmax attention of all tokens with all, block after block, so that no matrix of scores is ever in memory
// (arXiv:2205.14135).
#pragma once

#include <cmath>

#include "functions.hpp"
#include "tiles.hpp"

namespace amx {

constexpr long KEYS = 8;  // blocks of keys whose scores a thread has at once: 32 x 256, in its first cache

// Where everything lies: queries, keys and values are rows of `stride` numbers, heads beside each other.
struct Layout {
  long batch, tokens, heads, depth, stride;
  long blocks() const { return blocks_of(tokens); }
  long steps() const { return depth / SIDE; }
  long row(long head, long block) const { return head / heads * tokens + block * SIDE; }
  long column(long head) const { return head % heads * depth; }
  long rows(long block) const { return std::min(SIDE, tokens - block * SIDE); }
};

// What is known of 32 queries so far.
struct Running {
  float largest[SIDE], sum[SIDE];
  Running() {
    std::fill_n(largest, SIDE, -INFINITY);
    std::fill_n(sum, SIDE, 0.0f);
  }
};

// Scores (32 queries, 32 * blocks keys), block after block, to weights. What was summed up before shrinks as the
// largest score grows.
template <int Parts>
inline void weigh(const float* scores, long blocks, bool first, long steps, Running& running, unsigned char* weights,
                  float* outputs) {
  for (long row = 0; row < SIDE; row++) {
    const float* line = scores + row * SIDE;
    __m512 most = _mm512_set1_ps(running.largest[row]);
    for (long block = 0; block < blocks; block++) {
      most = _mm512_max_ps(most, _mm512_load_ps(line + block * RESULTS));
      most = _mm512_max_ps(most, _mm512_load_ps(line + block * RESULTS + 16));
    }
    const float largest = _mm512_reduce_max_ps(most);
    const __m512 top = _mm512_set1_ps(largest);
    __m512 sum = _mm512_setzero_ps();
    unsigned char* place = weights + row / 16 * TILE + row % 16 * 64;
    for (long block = 0; block < blocks; block++, place += STEP<Parts>) {
      const __m512 left = exp2_of(_mm512_sub_ps(_mm512_load_ps(line + block * RESULTS), top));
      const __m512 right = exp2_of(_mm512_sub_ps(_mm512_load_ps(line + block * RESULTS + 16), top));
      sum = _mm512_add_ps(sum, _mm512_add_ps(left, right));
      store_split<Parts>(left, right, place);
    }
    const float keep = first ? 0.0f : std::exp2(running.largest[row] - largest);
    running.sum[row] = running.sum[row] * keep + _mm512_reduce_add_ps(sum);
    running.largest[row] = largest;
    if (first || keep == 1.0f) continue;
    for (long part = 0; part < 2 * steps; part++) {
      float* output = outputs + part / 2 * RESULTS + row * SIDE + part % 2 * 16;
      _mm512_store_ps(output, _mm512_mul_ps(_mm512_load_ps(output), _mm512_set1_ps(keep)));
    }
  }
}

// A thread's memory for 32 queries.
template <int Parts>
struct Desk {
  unsigned char *queries, *weights;
  float *scores, *outputs;
  Desk(Workspace& own, long steps) {
    queries = own.of_size((steps + KEYS) * (STEP<Parts> + RESULTS * static_cast<long>(sizeof(float))));
    weights = queries + steps * STEP<Parts>;
    scores = reinterpret_cast<float*>(weights + KEYS * STEP<Parts>);
    outputs = scores + KEYS * RESULTS;
  }
};

// What 32 queries get, unless there are fewer.
template <int Parts>
void attend_block(const float* queries, const unsigned char* keys, const unsigned char* values, const Layout& at,
                  long head, long block, const Desk<Parts>& desk, float* out) {
  const long steps = at.steps(), blocks = at.blocks(), width = at.heads * at.depth, first = at.row(head, block);
  // Exponentials are of base 2, so the scores come in such units.
  const float scale = static_cast<float>(1.4426950408889634 / std::sqrt(static_cast<double>(at.depth)));
  queries += first * at.stride + at.column(head);
  split_rows<Parts>(queries, at.stride, at.rows(block), steps, scale, desk.queries);
  Running running;
  for (long from = 0; from < blocks; from += KEYS) {
    const long count = std::min(KEYS, blocks - from);
    for (long key = 0; key < count; key++)
      block_product<Parts>(desk.queries, keys + (head * blocks + from + key) * steps * STEP<Parts>, steps,
                           desk.scores + key * RESULTS, false);
    for (long key = at.tokens - from * SIDE; key < count * SIDE; key++)  // beyond the last token
      for (long row = 0; row < SIDE; row++) desk.scores[key / SIDE * RESULTS + row * SIDE + key % SIDE] = -INFINITY;
    weigh<Parts>(desk.scores, count, from == 0, steps, running, desk.weights, desk.outputs);
    for (long step = 0; step < steps; step++)
      block_product<Parts>(desk.weights, values + ((head * steps + step) * blocks + from) * STEP<Parts>, count,
                           desk.outputs + step * RESULTS, from > 0);
  }
  for (long row = 0; row < at.rows(block); row++) {
    const __m512 by = _mm512_set1_ps(1.0f / running.sum[row]);
    float* line = out + (first + row) * width + at.column(head);
    for (long part = 0; part < 2 * steps; part++) {
      const float* from = desk.outputs + part / 2 * RESULTS + row * SIDE + part % 2 * 16;
      _mm512_storeu_ps(line + part * 16, _mm512_mul_ps(by, _mm512_load_ps(from)));
    }
  }
}

// out (batch, tokens, heads * depth); depth is a multiple of 32.
template <int Parts>
void attention(const float* queries, const float* keys, const float* values, const Layout& at, float* out,
               int threads) {
  static thread_local Workspace shared;  // of the thread that calls
  const long heads = at.batch * at.heads, blocks = at.blocks(), steps = at.steps();
  const long split = heads * blocks * steps * STEP<Parts>;
  unsigned char* const split_keys = shared.of_size(2 * split);
  unsigned char* const split_values = split_keys + split;
#pragma omp parallel num_threads(threads)
  {
    static thread_local Workspace own;
    const TileSetting tiles;
    const Desk<Parts> desk(own, steps);
#pragma omp for schedule(dynamic)
    for (long task = 0; task < heads * blocks; task++) {
      const long head = task / blocks, block = task % blocks, rows = at.rows(block);
      const long place = at.row(head, block) * at.stride + at.column(head);
      split_transposed<Parts>(keys + place, at.stride, rows, steps, split_keys + task * steps * STEP<Parts>);
      for (long step = 0; step < steps; step++)
        split_depth<Parts>(values + place + step * SIDE, at.stride, rows,
                           split_values + ((head * steps + step) * blocks + block) * STEP<Parts>);
    }
#pragma omp for schedule(dynamic)
    for (long task = 0; task < heads * blocks; task++)
      attend_block<Parts>(queries, split_keys, split_values, at, task / blocks, task % blocks, desk, out);
  }
}

}  // namespace amx
