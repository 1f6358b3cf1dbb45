//! The rows of adjustments and taxes.

use super::*;

#[test]
fn the_v2_era_names_all_types() {
    let missing = |array: &str, rows: Value| errors(&with(v2(), &format!("/transaction/{array}"), rows));
    assert_eq!(
        missing("adjustments", json!([])),
        [("/transaction/adjustments".to_owned(), "missing_type")]
    );
    assert_eq!(
        missing(
            "taxes",
            json!([{ "tax_type": "VAT", "amount": 0 }, { "tax_type": "VATABLE_SALES", "amount": 0 }])
        ),
        [("/transaction/taxes".to_owned(), "missing_type")]
    );
    let exempt = json!([{ "tax_type": "SC_VAT_EXEMPT_SALES", "amount": "920.00" }]);
    assert!(reread_value(&with(v2(), "/transaction/taxes", exempt)).is_ok());
    let both = json!([
        { "tax_type": "SC_VAT_EXEMPT_SALES", "amount": "20.00" }, { "tax_type": "VAT", "amount": 1 },
    ]);
    assert_eq!(
        missing("taxes", both),
        [("/transaction/taxes".to_owned(), "missing_type")]
    );
}

#[test]
fn odd_rows_become_remarks_not_refusals() {
    let body = with(v2(), "/transaction/adjustments/0/amount", json!("50.005"));
    let sale = &reread_value(&body).unwrap().sales[0];
    assert_eq!(codes(sale), ["amount.precision"]);
    assert_eq!(sale.adjustments.promo_discount, Money::from_minor(5_001));

    for (pointer, row, code) in [
        (
            "/transaction/adjustments",
            json!({ "adjustment_type": "coupon", "amount": 1 }),
            "adjustment.unknown_type",
        ),
        (
            "/transaction/adjustments",
            json!({ "adjustment_type": "pwd", "amount": 9 }),
            "adjustment.repeated",
        ),
        (
            "/transaction/taxes",
            json!({ "tax_type": "LUXURY", "amount": 1 }),
            "tax.unknown_type",
        ),
        (
            "/transaction/taxes",
            json!({ "tax_type": "VAT_AMOUNT", "amount": 1 }),
            "tax.repeated",
        ),
    ] {
        let mut body = v2();
        body.pointer_mut(pointer)
            .unwrap()
            .as_array_mut()
            .unwrap()
            .push(row);
        let sale = reread_value(&body).unwrap().sales.remove(0);
        assert_eq!(codes(&sale), [code]);
        let clean = reread_value(&v2()).unwrap().sales.remove(0);
        assert_eq!(
            (sale.adjustments, sale.taxes),
            (clean.adjustments, clean.taxes),
            "the first row stands"
        );
    }
    let rows: Vec<Value> = (0..500)
        .map(|n| json!({ "adjustment_type": format!("t{n}"), "amount": 1 }))
        .collect();
    let body = with(seed(), "/transaction/adjustments", json!(rows));
    assert_eq!(reread_value(&body).unwrap().sales[0].remarks.len(), 20);
}

#[test]
fn aliases_are_understood() {
    let body = with(
        v2(),
        "/transaction/adjustments/1/adjustment_type",
        json!("senior_citizen_discount"),
    );
    let body = with(
        body,
        "/transaction/adjustments/5/adjustment_type",
        json!("management_service_charge"),
    );
    let body = with(body, "/transaction/taxes/0/tax_type", json!("VAT_AMOUNT"));
    let (odd, plain) = (reread_value(&body).unwrap(), reread_value(&v2()).unwrap());
    assert_eq!(odd.sales, plain.sales);
}

proptest! {
    #[test]
    fn the_order_of_rows_never_matters(
        adjustments in Just(v2()["transaction"]["adjustments"].as_array().unwrap().clone()).prop_shuffle(),
        taxes in Just(v2()["transaction"]["taxes"].as_array().unwrap().clone()).prop_shuffle(),
    ) {
        let body = with(v2(), "/transaction/adjustments", Value::Array(adjustments));
        let body = with(body, "/transaction/taxes", Value::Array(taxes));
        prop_assert_eq!(reread_value(&body).unwrap().sales, reread_value(&v2()).unwrap().sales);
    }
}
