use proptest::prelude::*;

use super::*;
use crate::domain::{
    json::{Duplicates, Limits},
    payload::{Bounds, reread},
    sale::{Adjustments, Taxes},
};

const BOUNDS: Bounds = Bounds {
    json: Limits {
        depth: 16,
        nodes: 1_000,
        duplicates: Duplicates::Refuse,
    },
    batch: 10,
    max_errors: 10,
};

/// The defaults that ship, not a copy of them.
fn rules() -> RuleSet {
    #[derive(Deserialize)]
    struct File {
        rules: RuleSet,
    }
    let text = include_str!("../../../config/default.toml");
    let file = config::File::from_str(text, config::FileFormat::Toml);
    config::Config::builder()
        .add_source(file)
        .build()
        .unwrap()
        .try_deserialize::<File>()
        .unwrap()
        .rules
}

fn sample(body: &[u8]) -> Sale {
    reread(body, &BOUNDS).unwrap().sales.remove(0)
}

fn v2() -> Sale {
    sample(include_bytes!("../../../tests/fixtures/env_single-v2.1.json"))
}

fn seed() -> Sale {
    sample(include_bytes!("../../../tests/fixtures/env_single-v1.json"))
}

fn money(minor: i64) -> Money {
    Money::from_minor(minor)
}

fn at(text: &str) -> Timestamp {
    Timestamp::parse(text).unwrap()
}

fn codes_at(sale: &Sale, received_at: Timestamp, rules: &RuleSet) -> Vec<String> {
    let findings = judge(sale, received_at, rules);
    assert!(
        findings
            .iter()
            .all(|finding| finding.severity == Severity::Error && !finding.message.is_empty())
    );
    findings.into_iter().map(|finding| finding.code).collect()
}

fn codes(sale: &Sale) -> Vec<String> {
    codes_at(sale, at("2025-08-19T10:00:00Z"), &rules())
}

const NONE: [&str; 0] = [];

/// A sale without discounts, VAT or anything that a rule could trip over, of this gross.
fn plain(gross: i64) -> Sale {
    let taxes = Taxes {
        sc_vat_exempt_sales: money(gross),
        ..Taxes::default()
    };
    Sale {
        gross_sales: Some(money(gross)),
        net_sales: Some(money(gross)),
        adjustments: Adjustments::default(),
        taxes,
        ..v2()
    }
}

#[test]
fn the_samples_are_valid() {
    assert_eq!(codes(&v2()), NONE);
    assert_eq!(codes(&seed()), NONE);
    assert_eq!(codes(&plain(1)), NONE);
}

#[test]
fn amount_within_limits() {
    assert_eq!(codes(&plain(0)), ["amount.not_positive"]);
    assert_eq!(codes(&plain(999_999_999)), NONE);
    assert_eq!(codes(&plain(1_000_000_000)), ["amount.too_large"]);
    let zero = Sale {
        base_amount: Some(money(0)),
        gross_sales: None,
        adjustments: Adjustments::default(),
        ..seed()
    };
    assert_eq!(codes(&zero), ["amount.not_positive"]);
}

#[test]
fn time_within_the_window() {
    let sale = v2();
    let sold_at = sale.transaction_timestamp;
    let second = Duration::from_secs(1);
    let (skew, age) = (second * 300, second * 86_400 * 30);
    let micro = Duration::from_micros(1);
    for (received_at, expected) in [
        (sold_at.minus(skew), None),
        (sold_at.minus(skew + micro), Some("time.future")),
        (sold_at.plus(age), None),
        (sold_at.plus(age + micro), Some("time.too_old")),
    ] {
        assert_eq!(
            codes_at(&sale, received_at, &rules()),
            Vec::from_iter(expected),
            "{received_at}"
        );
    }
}

#[test]
fn vat_is_the_rate_within_tolerance() {
    // 12 % of 821.43 is 98.5716, so that 98.56 to 98.59 lie within 0.02 of it.
    for (vat, fits) in [(9_855, false), (9_856, true), (9_859, true), (9_860, false)] {
        let mut sale = v2();
        sale.taxes.vat = money(vat);
        assert_eq!(
            codes(&sale),
            if fits { vec![] } else { vec!["vat.rate"] },
            "{vat}"
        );
    }
    for (vat, fits) in [(1_197, false), (1_198, true), (1_202, true), (1_203, false)] {
        let mut sale = plain(10_000);
        sale.taxes = Taxes {
            vat: money(vat),
            vatable_sales: money(10_000),
            ..Taxes::default()
        };
        sale.net_sales = Some(money(10_000 + vat));
        sale.gross_sales = sale.net_sales;
        assert_eq!(
            codes(&sale),
            if fits { vec![] } else { vec!["vat.rate"] },
            "{vat}"
        );
    }
    let mut early = seed();
    early.taxes.vat = money(12_000);
    assert_eq!(codes(&early), ["vat.rate"]);
    early.taxes.vatable_sales = money(0);
    assert_eq!(
        codes(&early),
        NONE,
        "the seed era need not send the base of the VAT"
    );
}

#[test]
fn net_is_the_sum_of_its_bases() {
    for (net, expected) in [
        (91_994, vec!["net.sum", "gross.sum"]),
        (91_995, vec![]),
        (92_005, vec![]),
    ] {
        assert_eq!(
            codes(&Sale {
                net_sales: Some(money(net)),
                ..v2()
            }),
            expected,
            "{net}"
        );
    }
    let without_vat = RuleSet {
        net_includes_vat: false,
        ..rules()
    };
    let now = at("2025-08-19T10:00:00Z");
    assert_eq!(codes_at(&v2(), now, &without_vat), ["net.sum"]);
    let mut sale = Sale {
        net_sales: Some(money(82_143)),
        ..v2()
    };
    sale.gross_sales = Some(money(82_143 + 7_000 + 1_000));
    assert_eq!(codes_at(&sale, now, &without_vat), NONE);
}

#[test]
fn gross_is_net_with_adjustments_and_other_tax() {
    for (gross, fits) in [(99_994, false), (99_995, true), (100_005, true), (100_006, false)] {
        let sale = Sale {
            gross_sales: Some(money(gross)),
            ..v2()
        };
        assert_eq!(
            codes(&sale),
            if fits { vec![] } else { vec!["gross.sum"] },
            "{gross}"
        );
    }
    let mut charged = v2();
    charged.adjustments.service_charge_distributed = money(5_000);
    assert_eq!(codes(&charged), ["gross.sum"]);
    charged.gross_sales = Some(money(105_000));
    assert_eq!(codes(&charged), NONE);
}

#[test]
fn the_seed_era_compares_base_and_gross() {
    for (gross, fits) in [(99_994, false), (99_995, true), (200_000, true)] {
        let sale = Sale {
            gross_sales: Some(money(gross)),
            ..seed()
        };
        assert_eq!(
            codes(&sale),
            if fits { vec![] } else { vec!["gross.below_base"] },
            "{gross}"
        );
    }
}

#[test]
fn discounts_and_charges_have_ceilings() {
    let adjusted = |adjustments: Adjustments, part: i64| {
        let mut sale = plain(100_000);
        sale.adjustments = adjustments;
        sale.net_sales = Some(money(100_000 - part));
        sale.taxes.sc_vat_exempt_sales = money(100_000 - part);
        codes(&sale)
    };
    let discounts = |last: i64| Adjustments {
        promo_discount: money(10_000),
        senior_discount: money(10_000),
        pwd_discount: money(5_000),
        vip_card_discount: money(4_000),
        employee_discount: money(last),
        ..Adjustments::default()
    };
    assert_eq!(adjusted(discounts(1_000), 30_000), NONE);
    assert_eq!(adjusted(discounts(1_001), 30_001), ["discount.ceiling"]);
    let charges = |last: i64| Adjustments {
        service_charge_distributed: money(10_000),
        service_charge_retained: money(last),
        ..Adjustments::default()
    };
    assert_eq!(adjusted(charges(5_000), 15_000), NONE);
    assert_eq!(adjusted(charges(5_001), 15_001), ["service_charge.ceiling"]);
}

#[test]
fn no_row_is_negative() {
    let mut sale = plain(1_000);
    sale.adjustments.pwd_discount = money(-1);
    sale.adjustments.employee_discount = money(-1);
    sale.taxes.other_tax = money(-1);
    assert_eq!(
        codes(&sale),
        ["adjustment.negative", "adjustment.negative", "tax.negative"]
    );
}

#[test]
fn all_findings_are_reported_remarks_first() {
    let mut sale = plain(-5);
    sale.adjustments.promo_discount = money(500);
    sale.taxes.vat = money(900);
    sale.transaction_timestamp = at("2020-01-01T00:00:00Z");
    let remark = Finding {
        code: "adjustment.repeated".to_owned(),
        severity: Severity::Error,
        message: "x".to_owned(),
    };
    sale.remarks = vec![remark];
    assert_eq!(
        codes(&sale),
        [
            "adjustment.repeated",
            "amount.not_positive",
            "time.too_old",
            "tax.negative",
            "vat.rate",
            "net.sum",
            "gross.sum",
            "discount.ceiling",
            "service_charge.ceiling",
        ]
    );
}

proptest! {
    #[test]
    fn extremes_never_overflow(minors in proptest::collection::vec(any::<i64>(), 13), micros in any::<i64>()) {
        let m = |n: usize| money(minors[n]);
        let sale = Sale {
            gross_sales: Some(m(0)), net_sales: Some(m(1)), base_amount: Some(m(2)),
            adjustments: Adjustments {
                promo_discount: m(3), senior_discount: m(4), pwd_discount: m(5), vip_card_discount: m(6),
                service_charge_distributed: m(7), service_charge_retained: m(8), employee_discount: m(9),
            },
            taxes: Taxes { vat: m(10), vatable_sales: m(11), sc_vat_exempt_sales: m(12), other_tax: m(0) },
            ..v2()
        };
        let received_at = Timestamp::from_micros(micros);
        prop_assert_eq!(judge(&sale, received_at, &rules()), judge(&sale, received_at, &rules()));
    }

    #[test]
    fn sales_built_by_the_formulas_are_valid(
        vatable in 0_i64..100_000_000, exempt in 0_i64..1_000_000, discount in 0_i64..100, other in 0_i64..1_000,
    ) {
        prop_assume!(vatable + exempt > 0);
        let vat = (vatable * 12 + 50) / 100;
        let net = vatable + vat + exempt;
        let discount = net * discount / 1_000;
        let mut sale = plain(1);
        sale.taxes = Taxes {
            vat: money(vat), vatable_sales: money(vatable), sc_vat_exempt_sales: money(exempt), other_tax: money(other),
        };
        sale.adjustments.senior_discount = money(discount);
        sale.net_sales = Some(money(net));
        sale.gross_sales = Some(money(net + discount + other));
        prop_assert_eq!(codes(&sale), NONE);
        // Swapping which discount it was changes no rule.
        let moved = Adjustments { employee_discount: money(discount), ..Adjustments::default() };
        let moved = Sale { adjustments: moved, ..sale.clone() };
        prop_assert_eq!(codes(&moved), codes(&sale));
    }
}
