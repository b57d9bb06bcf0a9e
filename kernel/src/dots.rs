//! Products of one vector of bytes with many: one portable loop, which the compiler turns into the instructions that
//! the processor has. `unsafe` is needed to enter code that was compiled for such a processor, and to see the bytes of a
//! file as signed numbers without copying them.

/// `Σ a·b`, exact: at most 4,096 numbers, none of them -128, stay below 2^27.
pub fn dot(a: &[i8], b: &[i8]) -> i32 {
    let mut product = [0];
    dots(a, b, &mut product);
    product[0]
}

/// Bytes as the signed numbers that they are.
pub fn signed(bytes: &[u8]) -> &[i8] {
    // SAFETY: both have one byte and every value of it.
    unsafe { std::slice::from_raw_parts(bytes.as_ptr().cast(), bytes.len()) }
}

/// The product of `query` with each row of `rows`, which lie one behind the other and are as long as `query`.
pub fn dots(query: &[i8], rows: &[i8], products: &mut [i32]) {
    #[cfg(target_arch = "x86_64")]
    {
        if is_x86_feature_detected!("avx512bw") {
            // SAFETY: the processor has what the function was compiled for.
            return unsafe { dots_avx512(query, rows, products) };
        }
        if is_x86_feature_detected!("avx2") {
            // SAFETY: as above.
            return unsafe { dots_avx2(query, rows, products) };
        }
    }
    dots_anywhere(query, rows, products);
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx512bw")]
fn dots_avx512(query: &[i8], rows: &[i8], products: &mut [i32]) {
    dots_anywhere(query, rows, products);
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2")]
fn dots_avx2(query: &[i8], rows: &[i8], products: &mut [i32]) {
    dots_anywhere(query, rows, products);
}

#[inline(always)]
fn dots_anywhere(query: &[i8], rows: &[i8], products: &mut [i32]) {
    if query.is_empty() {
        return products.fill(0);
    }
    for (row, product) in rows.chunks_exact(query.len()).zip(products) {
        *product = query.iter().zip(row).map(|(a, b)| i32::from(*a) * i32::from(*b)).sum();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn every_path_gives_exactly_the_portable_result(
            query in prop::collection::vec(-127i8..=127, 1..600),
            rows in 0usize..9,
            seed in any::<u64>(),
        ) {
            let mut state = seed;
            let rows: Vec<i8> = (0..rows * query.len()).map(|_| {
                state = crate::checksum::mix(state.wrapping_add(0x9e37_79b9_7f4a_7c15));
                (state % 255) as i8
            }).map(|code| code.max(-127)).collect();
            let expected: Vec<i64> = rows.chunks_exact(query.len())
                .map(|row| query.iter().zip(row).map(|(a, b)| i64::from(*a) * i64::from(*b)).sum())
                .collect();
            type Path = fn(&[i8], &[i8], &mut [i32]);
            let paths: [Path; 2] = [dots, |query, rows, products| dots_anywhere(query, rows, products)];
            for path in paths {
                let mut products = vec![i32::MIN; expected.len()];
                path(&query, &rows, &mut products);
                prop_assert_eq!(products.iter().map(|product| i64::from(*product)).collect::<Vec<_>>(), expected.clone());
            }
            #[cfg(target_arch = "x86_64")]
            if is_x86_feature_detected!("avx2") {
                let mut products = vec![i32::MIN; expected.len()];
                // SAFETY: the processor has it.
                unsafe { dots_avx2(&query, &rows, &mut products) };
                prop_assert_eq!(products.iter().map(|product| i64::from(*product)).collect::<Vec<_>>(), expected);
            }
        }
    }
}
