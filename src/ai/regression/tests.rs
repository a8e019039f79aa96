//! The data sets and certified values are those of NIST's Statistical Reference Datasets for linear regression:
//! <https://www.itl.nist.gov/div898/strd/lls/lls.shtml>.

use super::*;

const LONGLEY: [[f64; 7]; 16] = [
    [83.0, 234289.0, 2356.0, 1590.0, 107608.0, 1947.0, 60323.0],
    [88.5, 259426.0, 2325.0, 1456.0, 108632.0, 1948.0, 61122.0],
    [88.2, 258054.0, 3682.0, 1616.0, 109773.0, 1949.0, 60171.0],
    [89.5, 284599.0, 3351.0, 1650.0, 110929.0, 1950.0, 61187.0],
    [96.2, 328975.0, 2099.0, 3099.0, 112075.0, 1951.0, 63221.0],
    [98.1, 346999.0, 1932.0, 3594.0, 113270.0, 1952.0, 63639.0],
    [99.0, 365385.0, 1870.0, 3547.0, 115094.0, 1953.0, 64989.0],
    [100.0, 363112.0, 3578.0, 3350.0, 116219.0, 1954.0, 63761.0],
    [101.2, 397469.0, 2904.0, 3048.0, 117388.0, 1955.0, 66019.0],
    [104.6, 419180.0, 2822.0, 2857.0, 118734.0, 1956.0, 67857.0],
    [108.4, 442769.0, 2936.0, 2798.0, 120445.0, 1957.0, 68169.0],
    [110.8, 444546.0, 4681.0, 2637.0, 121950.0, 1958.0, 66513.0],
    [112.6, 482704.0, 3813.0, 2552.0, 123366.0, 1959.0, 68655.0],
    [114.2, 502601.0, 3931.0, 2514.0, 125368.0, 1960.0, 69564.0],
    [115.7, 518173.0, 4806.0, 2572.0, 127852.0, 1961.0, 69331.0],
    [116.9, 554894.0, 4007.0, 2827.0, 130081.0, 1962.0, 70551.0],
];

/// y and x.
const FILIP: [(f64, f64); 82] = [
    (0.8116, -6.860120914),
    (0.9072, -4.324130045),
    (0.9052, -4.358625055),
    (0.9039, -4.358426747),
    (0.8053, -6.955852379),
    (0.8377, -6.661145254),
    (0.8667, -6.355462942),
    (0.8809, -6.118102026),
    (0.7975, -7.115148017),
    (0.8162, -6.815308569),
    (0.8515, -6.519993057),
    (0.8766, -6.204119983),
    (0.8885, -5.853871964),
    (0.8859, -6.109523091),
    (0.8959, -5.79832982),
    (0.8913, -5.482672118),
    (0.8959, -5.171791386),
    (0.8971, -4.851705903),
    (0.9021, -4.517126416),
    (0.909, -4.143573228),
    (0.9139, -3.709075441),
    (0.9199, -3.499489089),
    (0.8692, -6.300769497),
    (0.8872, -5.953504836),
    (0.89, -5.642065153),
    (0.891, -5.031376979),
    (0.8977, -4.680685696),
    (0.9035, -4.329846955),
    (0.9078, -3.928486195),
    (0.7675, -8.56735134),
    (0.7705, -8.363211311),
    (0.7713, -8.107682739),
    (0.7736, -7.823908741),
    (0.7775, -7.522878745),
    (0.7841, -7.218819279),
    (0.7971, -6.920818754),
    (0.8329, -6.628932138),
    (0.8641, -6.323946875),
    (0.8804, -5.991399828),
    (0.7668, -8.781464495),
    (0.7633, -8.663140179),
    (0.7678, -8.473531488),
    (0.7697, -8.247337057),
    (0.77, -7.971428747),
    (0.7749, -7.676129393),
    (0.7796, -7.352812702),
    (0.7897, -7.072065318),
    (0.8131, -6.774174009),
    (0.8498, -6.478861916),
    (0.8741, -6.159517513),
    (0.8061, -6.835647144),
    (0.846, -6.53165267),
    (0.8751, -6.224098421),
    (0.8856, -5.910094889),
    (0.8919, -5.598599459),
    (0.8934, -5.290645224),
    (0.894, -4.974284616),
    (0.8957, -4.64454848),
    (0.9047, -4.290560426),
    (0.9129, -3.885055584),
    (0.9209, -3.408378962),
    (0.9219, -3.13200249),
    (0.7739, -8.726767166),
    (0.7681, -8.66695597),
    (0.7665, -8.511026475),
    (0.7703, -8.165388579),
    (0.7702, -7.886056648),
    (0.7761, -7.588043762),
    (0.7809, -7.283412422),
    (0.7961, -6.995678626),
    (0.8253, -6.691862621),
    (0.8602, -6.392544977),
    (0.8809, -6.067374056),
    (0.8301, -6.684029655),
    (0.8664, -6.378719832),
    (0.8834, -6.065855188),
    (0.8898, -5.752272167),
    (0.8964, -5.132414673),
    (0.8963, -4.811352704),
    (0.9074, -4.098269308),
    (0.9119, -3.66174277),
    (0.9228, -3.2644011),
];

fn solve(rows: &[Vec<f64>]) -> Result<Solution, Unsolvable> {
    gather(rows).solve()
}

fn gather(rows: &[Vec<f64>]) -> Rows {
    let mut all = Rows::new(rows[0].len() - 1);
    rows.iter().for_each(|row| all.push(row));
    all
}

/// Rows of the powers of x from the first to the one of `degree`, and y.
fn powers(points: impl IntoIterator<Item = (f64, f64)>, degree: i32) -> Vec<Vec<f64>> {
    let rows = points.into_iter().map(|(y, x)| {
        let powers = (1..=degree).map(|n| x.powi(n));
        powers.chain([y]).collect()
    });
    rows.collect()
}

/// How many digits the worst coefficient has right.
fn digits(solution: &Solution, certified: &[f64]) -> f64 {
    let found = std::iter::once(&solution.intercept).chain(&solution.coefficients);
    let digits = found.zip(certified).map(|(found, certified)| {
        let error = ((found - certified) / certified).abs();
        -error.max(1e-16).log10()
    });
    digits.fold(f64::INFINITY, f64::min)
}

#[test]
fn longley_is_solved_to_ten_digits() {
    let rows: Vec<_> = LONGLEY.iter().map(|row| row.to_vec()).collect();
    let certified = [
        -3_482_258.634_595_82,
        15.061_872_271_373_3,
        -0.035_819_179_292_591,
        -2.020_229_803_816_83,
        -1.033_226_867_173_59,
        -0.051_104_105_653_580_7,
        1_829.151_464_613_55,
    ];

    let solution = solve(&rows).unwrap();

    let digits = digits(&solution, &certified);
    assert!(digits > 10.0, "{digits}");
}

#[test]
fn wampler_s_five_are_solved() {
    // Orthogonal to all polynomials up to the fifth degree, so that they do not change the solution.
    const NOISE: [f64; 21] = [
        759.0, -2048.0, 2048.0, -2048.0, 2523.0, -2048.0, 2048.0, -2048.0, 1838.0, -2048.0, 2048.0,
        -2048.0, 1838.0, -2048.0, 2048.0, -2048.0, 2523.0, -2048.0, 2048.0, -2048.0, 759.0,
    ];
    let set = |base: f64, noise: f64| -> Vec<Vec<f64>> {
        let points = NOISE.iter().zip(0..).map(|(delta, x)| {
            let x = f64::from(x);
            let y: f64 = (0..=5).map(|n| (base * x).powi(n)).sum();
            (y + noise * delta, x)
        });
        powers(points, 5)
    };
    let second: Vec<f64> = (0..=5).map(|n| 0.1_f64.powi(n)).collect();
    let worst = [
        digits(&solve(&set(1.0, 0.0)).unwrap(), &[1.0; 6]),
        digits(&solve(&set(0.1, 0.0)).unwrap(), &second),
        digits(&solve(&set(1.0, 1.0)).unwrap(), &[1.0; 6]),
        digits(&solve(&set(1.0, 100.0)).unwrap(), &[1.0; 6]),
        digits(&solve(&set(1.0, 10_000.0)).unwrap(), &[1.0; 6]),
    ];

    // The last one's residuals are a thousand times its target. scikit-learn has less than one digit of each.
    let least = [9.0, 13.0, 9.0, 7.5, 5.5];
    let is_enough = worst
        .iter()
        .zip(least)
        .all(|(digits, least)| *digits > least);
    assert!(is_enough, "{worst:?}");
}

#[test]
fn filip_is_solved_to_six_digits() {
    let certified = [
        -1_467.489_614_229_80,
        -2_772.179_591_933_42,
        -2_316.371_081_608_93,
        -1_127.973_940_983_72,
        -354.478_233_703_349,
        -75.124_201_739_375_7,
        -10.875_318_035_534_3,
        -1.062_214_985_889_47,
        -0.067_019_115_459_340_8,
        -0.002_467_810_782_754_79,
        -0.000_040_296_252_508_040_4,
    ];

    let solution = solve(&powers(FILIP, 10)).unwrap();

    let digits = digits(&solution, &certified);
    assert!(digits > 6.0, "{digits}");
}

/// Rows of `features` random numbers from -1 to 1 and a target.
fn random_rows(count: usize, features: usize, target: impl Fn(&[f64]) -> f64) -> Vec<Vec<f64>> {
    let mut random = Random::new(1, "rows");
    let row = |_| {
        let number = |_| random.below(2_000_001) as f64 / 1e6 - 1.0;
        let mut row: Vec<f64> = (0..features).map(number).collect();
        row.push(target(&row));
        row
    };
    (0..count).map(row).collect()
}

#[test]
fn many_blocks_have_the_solution_of_one_and_so_do_few_rows() {
    for (count, features) in [(4, 3), (5, 3), (100_000, 3), (3_000, 50), (500, 200)] {
        let target = |row: &[f64]| {
            2.0 + row
                .iter()
                .zip(1..)
                .map(|(x, n)| x * f64::from(n))
                .sum::<f64>()
        };

        let solution = solve(&random_rows(count, features, target)).unwrap();

        let certified: Vec<f64> = (0..=features)
            .map(|n| if n == 0 { 2.0 } else { n as f64 })
            .collect();
        let digits = digits(&solution, &certified);
        assert!(digits > 9.0, "{count} {features}: {digits}");
    }
}

#[test]
fn columns_of_any_scale_are_solved() {
    for (first, second, target) in [
        (1e-300, 1e300, 1.0),
        (1e250, 1e-12, 1e200),
        (1e-200, 1e-200, 1e-290),
        (1e-3, 1e9, 1e300),
    ] {
        let mut rows = random_rows(20_000, 2, |row| 3.0 * row[0] - 5.0 * row[1] + 1.0);
        for (row, n) in rows.iter_mut().zip(0..) {
            // The first block holds nothing, so that the scale has to grow.
            let part = if n < 10_000 { 0.0 } else { 1.0 };
            row[0] *= first * part;
            row[1] *= second * part;
            row[2] = (row[2] * part + (1.0 - part)) * target;
        }
        let certified = [target, 3.0 * target / first, -5.0 * target / second];

        let mut gathered = gather(&rows);
        let solution = gathered.solve();

        if certified.iter().all(|value| value.is_finite()) {
            let solution = solution.unwrap();
            let digits = digits(&solution, &certified);
            assert!(digits > 9.0, "{first} {second} {target}: {digits}");
            let quality = gathered.quality(&solution).unwrap();
            assert!(quality.r2 > 1.0 - 1e-9 && quality.rmse < 1e-9 * target);
        } else {
            assert_eq!(solution, Err(Unsolvable::OutOfRange));
        }
    }
}

#[test]
fn what_has_no_single_solution_is_refused() {
    let base = random_rows(30_000, 2, |row| row[0] - row[1]);
    let with = |more: &dyn Fn(&[f64]) -> f64| -> Vec<Vec<f64>> {
        let rows = base
            .iter()
            .map(|row| vec![row[0], row[1], more(row), row[2]]);
        rows.collect()
    };

    assert_eq!(
        solve(&with(&|row| row[0] - 3.0 * row[1])),
        Err(Unsolvable::Dependent(2))
    );
    assert_eq!(
        solve(&with(&|row| 7.0 - row[0])),
        Err(Unsolvable::Dependent(2))
    );
    assert_eq!(solve(&with(&|row| row[1])), Err(Unsolvable::Dependent(2)));
    assert_eq!(solve(&with(&|_| 0.1)), Err(Unsolvable::Constant(2)));
    assert_eq!(solve(&with(&|_| 0.0)), Err(Unsolvable::Constant(2)));
    // Nearly the same, but not quite.
    assert!(solve(&with(&|row| row[0] + 1e-9 * row[1].powi(2))).is_ok());
    let few = Unsolvable::TooFewRows {
        rows: 2,
        coefficients: 3,
    };
    assert_eq!(solve(&base[..2]), Err(few));
    assert!(solve(&base[..3]).is_ok());
}

#[test]
fn quality_is_that_of_the_formulas() {
    let rows: Vec<Vec<f64>> = FILIP.iter().map(|(y, x)| vec![*x, *y]).collect();
    let solution = Solution {
        intercept: 1.05,
        coefficients: vec![0.03],
    };
    let residuals: Vec<f64> = FILIP.iter().map(|(y, x)| y - 1.05 - 0.03 * x).collect();
    let mean = FILIP.iter().map(|(y, _)| y).sum::<f64>() / 82.0;
    let squares: f64 = residuals.iter().map(|r| r * r).sum();
    let distances: f64 = FILIP.iter().map(|(y, _)| (y - mean).powi(2)).sum();

    let quality = gather(&rows).quality(&solution).unwrap();

    assert!((quality.rmse - (squares / 82.0).sqrt()).abs() < 1e-14);
    assert!((quality.r2 - (1.0 - squares / distances)).abs() < 1e-12);
    let flat: Vec<Vec<f64>> = rows.iter().map(|row| vec![row[0], 0.3]).collect();
    let perfect = Solution {
        intercept: 0.3,
        coefficients: vec![0.0],
    };
    assert_eq!(gather(&flat).quality(&perfect).unwrap().r2, 1.0);
    assert_eq!(gather(&flat).quality(&solution).unwrap().r2, 0.0);
    assert_eq!(gather(&flat[..1]).quality(&solution).unwrap().r2, 0.0);
}

#[test]
fn a_share_of_the_rows_is_for_testing_and_the_seed_says_which() {
    let dealt = |share, seed, rows| -> Vec<bool> {
        let mut split = Split::new(share, seed);
        (0..rows).map(|_| split.is_test()).collect()
    };
    let tests = |share, rows| {
        dealt(share, 0, rows)
            .iter()
            .filter(|is_test| **is_test)
            .count()
    };

    assert_eq!(tests(0.3, 10_000), 3_000);
    assert_eq!(tests(0.25, 1_000), 250);
    assert_eq!(tests(0.001, 10_000), 10);
    assert_eq!(tests(0.999, 10_000), 9_990);
    assert_eq!(dealt(0.3, 1, 100), dealt(0.3, 1, 100));
    assert_ne!(dealt(0.3, 1, 100), dealt(0.3, 2, 100));
    assert_ne!(dealt(0.3, 1, 100), dealt(0.3, -1, 100));
}
