//! Numbers of a vector as bytes with one scale: where vectors are kept, compared and cached they are this, so that a
//! vector is the same wherever it comes from. A vector that was made so and back is made so again without a change.

/// The scale and the codes of a vector: each number is about `scale · code`, off by half a scale at most. All zeros,
/// with scale 0, for a vector of zeros or with a number that is none.
pub fn quantise(vector: &[f32]) -> (f32, Vec<i8>) {
    let largest = vector.iter().fold(0f32, |largest, number| largest.max(number.abs()));
    if largest == 0.0 || vector.iter().any(|number| !number.is_finite()) {
        return (0.0, vec![0; vector.len()]);
    }
    let scale = largest / 127.0;
    (scale, vector.iter().map(|number| (number / scale).round() as i8).collect())
}

/// The vector that codes stand for.
pub fn dequantise(scale: f32, codes: impl Iterator<Item = i8>) -> Vec<f32> {
    codes.map(|code| scale * f32::from(code)).collect()
}

/// `1 / |codes|`, or 0 for zeros: what makes a vector of unit length of them.
pub fn unit_scale(codes: &[i8]) -> f32 {
    let square: u32 = codes.iter().map(|code| u32::from(code.unsigned_abs()).pow(2)).sum();
    if square == 0 { 0.0 } else { (1.0 / f64::from(square).sqrt()) as f32 }
}

/// The cosine of two vectors from the product of their codes and the [`unit_scale`] of each: the same wherever the
/// vectors are.
#[inline]
pub fn cosine(product: i32, a: f32, b: f32) -> f32 {
    (f64::from(product) * f64::from(a) * f64::from(b)).clamp(-1.0, 1.0) as f32
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::dots::dot;

    proptest! {
        #[test]
        fn a_cosine_survives_quantisation(
            a in prop::collection::vec(-1f32..1.0, 384),
            b in prop::collection::vec(-1f32..1.0, 384),
        ) {
            let product = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| f64::from(a * b)).sum::<f64>();
            let truth = product(&a, &b) / (product(&a, &a) * product(&b, &b)).sqrt();
            let (a, b) = (quantise(&a).1, quantise(&b).1);
            let found = f64::from(cosine(dot(&a, &b), unit_scale(&a), unit_scale(&b)));
            prop_assert!((found - truth).abs() < 0.004, "{found} for {truth}");
            prop_assert!(cosine(dot(&a, &a), unit_scale(&a), unit_scale(&a)) > 0.999_999);
        }

        #[test]
        fn what_was_quantised_is_quantised_the_same_again(vector in prop::collection::vec(-1f32..1.0, 1..500)) {
            let (scale, codes) = quantise(&vector);
            let again = quantise(&dequantise(scale, codes.iter().copied()));
            prop_assert_eq!(&again.1, &codes);
            prop_assert!((again.0 - scale).abs() <= scale * 1e-6);
            for (number, code) in vector.iter().zip(codes) {
                prop_assert!((number - scale * f32::from(code)).abs() <= scale * 0.5001);
            }
        }
    }

    #[test]
    fn no_number_is_no_vector() {
        for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
            assert_eq!(quantise(&[0.5, bad]), (0.0, vec![0, 0]));
        }
        assert_eq!(quantise(&[0.0, 0.0]), (0.0, vec![0, 0]));
    }
}
