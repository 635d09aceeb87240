// Functions of 16 numbers at once, to the rounding of float32.
#pragma once

#include <immintrin.h>

namespace amx {

// 2 to the power of x, for x <= 0; hardly anything (1e-38) where float32 has nothing left.
inline __m512 exp2_of(__m512 x) {
  x = _mm512_max_ps(x, _mm512_set1_ps(-126.0f));
  const __m512 whole = _mm512_roundscale_ps(x, _MM_FROUND_TO_NEAREST_INT);
  const __m512 rest = _mm512_sub_ps(x, whole);
  __m512 sum = _mm512_set1_ps(1.5403530393e-4f);  // ln(2)^n / n!, from n = 6
  sum = _mm512_fmadd_ps(sum, rest, _mm512_set1_ps(1.3333558146e-3f));
  sum = _mm512_fmadd_ps(sum, rest, _mm512_set1_ps(9.6181291076e-3f));
  sum = _mm512_fmadd_ps(sum, rest, _mm512_set1_ps(5.5504108665e-2f));
  sum = _mm512_fmadd_ps(sum, rest, _mm512_set1_ps(2.4022650696e-1f));
  sum = _mm512_fmadd_ps(sum, rest, _mm512_set1_ps(6.9314718056e-1f));
  sum = _mm512_fmadd_ps(sum, rest, _mm512_set1_ps(1.0f));
  return _mm512_scalef_ps(sum, whole);
}

// x times the normal distribution's share below it (exact GELU); erf by Abramowitz and Stegun, 7.1.26: off by 1.5e-7.
inline __m512 gelu(__m512 x) {
  const __m512 one = _mm512_set1_ps(1.0f);
  const __m512 z = _mm512_mul_ps(_mm512_abs_ps(x), _mm512_set1_ps(0.70710678f));
  const __m512 t = _mm512_div_ps(one, _mm512_fmadd_ps(z, _mm512_set1_ps(0.3275911f), one));
  __m512 sum = _mm512_set1_ps(1.061405429f);
  sum = _mm512_fmadd_ps(sum, t, _mm512_set1_ps(-1.453152027f));
  sum = _mm512_fmadd_ps(sum, t, _mm512_set1_ps(1.421413741f));
  sum = _mm512_fmadd_ps(sum, t, _mm512_set1_ps(-0.284496736f));
  sum = _mm512_fmadd_ps(sum, t, _mm512_set1_ps(0.254829592f));
  const __m512 bell = exp2_of(_mm512_mul_ps(_mm512_mul_ps(z, z), _mm512_set1_ps(-1.44269504f)));
  const __m512 beyond = _mm512_mul_ps(_mm512_mul_ps(sum, t), bell);  // 1 - erf(z)
  const __m512 lost = _mm512_mul_ps(_mm512_mul_ps(x, _mm512_set1_ps(0.5f)), beyond);
  const __mmask16 negative = _mm512_cmp_ps_mask(x, _mm512_setzero_ps(), _CMP_LT_OQ);
  return _mm512_mask_blend_ps(negative, _mm512_sub_ps(x, lost), lost);
}

}  // namespace amx
