// exp over a vector type V (see vector-inl.h), to be included in the anonymous namespace of V.

/// exp(x) to about one unit in the last place: x = n ln2 + r, |r| <= ln2 / 2, and the Taylor
/// polynomial of degree 7 in r. Results below the smallest normal float are 0.
inline V::Float exp(V::Float x) {
  const V::Float low = V::set(-87.33654F);
  // The second operand survives a NaN, so NaN comes out as NaN.
  const V::Float clamped = V::min(V::set(88.72283F), V::max(low, x));
  const V::Float n = V::round(V::mul(clamped, V::set(1.44269504F)));
  // ln2 in two parts, so that n * ln2 loses no bits.
  V::Float r = V::fma(n, V::set(-0.693359375F), clamped);
  r = V::fma(n, V::set(2.12194440e-4F), r);
  V::Float e = V::set(1.0F / 5040);
  e = V::fma(e, r, V::set(1.0F / 720));
  e = V::fma(e, r, V::set(1.0F / 120));
  e = V::fma(e, r, V::set(1.0F / 24));
  e = V::fma(e, r, V::set(1.0F / 6));
  e = V::fma(e, r, V::set(0.5F));
  e = V::fma(e, r, V::set(1.0F));
  e = V::fma(e, r, V::set(1.0F));
  return V::zero_where_less(x, low, V::scale(e, n));
}
