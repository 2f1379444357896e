//! Every vector type against arithmetic on single numbers.

use super::*;

/// Calls `$check::<V>()` for every vector type of this machine.
struct Operations;

impl<T: Scalar> Kernel<T> for Operations {
    type Output = ();

    #[inline(always)]
    fn run<V: Vector<Element = T>>(self) {
        let n = V::LANES;
        let a: Vec<T> = (0..n).map(|i| T::of(i as f64 * 1.25 - 3.5)).collect();
        let b: Vec<T> = (0..n).map(|i| T::of(2.0 - i as f64 * 0.75)).collect();
        let (va, vb) = (V::from_slice(&a), V::from_slice(&b));
        let check = |name: &str, found: V, expected: &dyn Fn(T, T) -> T| {
            let mut lanes = Lanes::of(found);
            for (i, &lane) in lanes.as_mut_slice().iter().enumerate() {
                assert_eq!(lane, expected(a[i], b[i]), "{name}, lane {i} of {n}");
            }
        };
        check("add", va + vb, &|a, b| a + b);
        check("sub", va - vb, &|a, b| a - b);
        check("mul", va * vb, &|a, b| a * b);
        check("div", va / vb, &|a, b| a / b);
        check("neg", -va, &|a, _| -a);
        check("mul_add", va.mul_add(vb, va), &|a, b| a * b + a);
        check("mul_sub", va.mul_sub(vb, va), &|a, b| a * b - a);
        check("neg_mul_add", va.neg_mul_add(vb, va), &|a, b| a - a * b);
        check("max", va.max(vb), &|a, b| a.max(b));
        check("min", va.min(vb), &|a, b| a.min(b));
        check("abs", va.abs(), &|a, _| a.abs());
        check("sqrt", (va * va).sqrt(), &|a, _| a.abs());
        check("copysign", va.copysign(vb), &|a, b| a.abs() * b.signum());
        check("ldexp", vb.ldexp(V::splat(T::of(-3.0))), &|_, b| b / T::of(8.0));
        check("mul_exp2", vb.mul_exp2(V::splat(T::of(-100.0))).mul_exp2(V::splat(T::of(127.0))), &|_, b| {
            b * T::of(27f64.exp2())
        });
        check("eq", V::select(va.eq(va.round()), va, vb), &|a, b| if a == a.round() { a } else { b });
        check("lt", V::select(va.lt(vb), va, vb), &|a, b| if a < b { a } else { b });
        check("floor", va.floor(), &|a, _| a.floor());
        let wide = [1e18, -1e18, 16_777_217.0, -8_388_609.0, f64::INFINITY, f64::NEG_INFINITY];
        for value in wide.map(T::of) {
            assert_eq!(V::splat(value).floor().max_lane(), value.floor(), "floor of {value}");
        }
        assert!(V::splat(T::nan()).floor().sum().is_nan());
        check("round", (va * V::splat(T::of(0.4))).round(), &|a, _| {
            let x = (a * T::of(0.4)).as_f64();
            T::of(x.round_ties_even())
        });
        let (m, e) = (va * va + V::splat(T::one())).frexp();
        check("frexp", m.ldexp(e), &|a, _| a * a + T::one());
        check("mantissa", V::select(m.lt(V::splat(T::of(2.0))), V::zero(), m), &|_, _| T::zero());
        let nan = V::splat(T::nan());
        check(
            "mul_exp2 of nan",
            V::select(nan.mul_exp2(V::splat(T::of(-127.0))).is_nan(), va, vb),
            &|a, _| a,
        );
        check("select nan", V::select((va / V::zero() * V::zero()).is_nan(), va, vb), &|a, _| a);
        let (low, high) = va.interleave(vb);
        let (mut low, mut high) = (Lanes::of(low), Lanes::of(high));
        let found = low.as_mut_slice().iter().chain(high.as_mut_slice().iter());
        for (i, &lane) in found.enumerate() {
            assert_eq!(lane, if i % 2 == 0 { a[i / 2] } else { b[i / 2] }, "interleave, lane {i} of {n}");
        }
        let (even, odd) = va.interleave(vb);
        let (even, odd) = even.deinterleave(odd);
        check("deinterleave, first", even, &|a, _| a);
        check("deinterleave, second", odd, &|_, b| b);
        assert_eq!(va.sum(), a.iter().copied().sum::<T>(), "sum of {n}");
        assert_eq!(va.max_lane(), a[n - 1], "max_lane of {n}");
        assert_eq!((-va).max_lane(), -a[0], "max_lane of {n}");
        let rows: Vec<V> = (0..n).map(|i| va * V::splat(T::of(i as f64 - 2.5)) + vb).collect();
        check("sums", V::sums(&rows), &|x, _| {
            let i = a.iter().position(|&y| y == x).expect("a lane");
            rows[i].sum()
        });
        for count in 0..=n {
            let mut lanes = Lanes::of(va.with_rest(count, vb));
            assert_eq!(lanes.as_mut_slice()[..count], a[..count], "first {count} of {n}");
            assert_eq!(lanes.as_mut_slice()[count..], b[count..], "all but the first {count} of {n}");
            let mut out = vec![T::of(7.0); n];
            V::from_slice(&a[..count]).write_to(&mut out);
            let expected: Vec<T> = a[..count].iter().copied().chain(vec![T::zero(); n - count]).collect();
            assert_eq!(out, expected, "load of {count} of {n}");
            let mut out = vec![T::of(7.0); n];
            va.write_to(&mut out[..count]);
            assert_eq!(out[..count], a[..count], "store of {count} of {n}");
            assert!(out[count..].iter().all(|&x| x == T::of(7.0)), "store of {count} of {n} wrote further");
            for start in 0..=n - count {
                let mut out = vec![T::of(7.0); n + 2];
                // SAFETY: the lanes are there, and room for all of them.
                unsafe { va.store_range(out[1..].as_mut_ptr(), start, count) };
                assert_eq!(out[1..=count], a[start..start + count], "lanes {start}.. of {n}");
                let around = out[..1].iter().chain(&out[count + 1..]);
                assert!(around.copied().all(|x| x == T::of(7.0)), "lanes {start}.. of {n} wrote further");
            }
        }
    }
}

#[test]
fn every_operation_agrees_with_numbers_on_every_instruction_set() {
    for isa in available() {
        run_on::<f32, _>(isa, Operations);
        run_on::<f64, _>(isa, Operations);
    }
    // A number alone is a vector too.
    Operations.run::<f32>();
    Operations.run::<f64>();
}

struct Halve<T>(T);

impl<T: Scalar> Kernel<T> for Halve<T> {
    type Output = T;

    #[inline(always)]
    fn run<V: Vector<Element = T>>(self) -> T {
        (V::splat(self.0) * V::splat(T::of(0.5))).max_lane()
    }
}

#[cfg(target_arch = "x86_64")]
#[test]
fn denormals_are_flushed_in_kernels_and_only_there() {
    let smallest = f32::MIN_POSITIVE;
    for isa in available() {
        assert_eq!(run_on(isa, Halve(smallest)), 0.0, "{isa}");
        assert!(std::hint::black_box(smallest) * 0.5 > 0.0);
    }
}

#[test]
fn names_of_instruction_sets_round_trip() {
    for isa in available() {
        assert_eq!(isa.to_string().parse::<Isa>(), Ok(isa));
    }
    let message = "sse9".parse::<Isa>().unwrap_err();
    assert_eq!(message, "unknown instruction set 'sse9': expected portable, avx2 or avx512");
}
