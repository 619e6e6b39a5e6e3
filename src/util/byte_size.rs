//! Sizes in bytes, in the formats of etcdctl and of progress bars.

use indicatif::{DecimalBytes, HumanBytes};

/// Formats a size as etcdctl does: `1.4 GB`.
pub fn decimal_bytes(bytes: u64) -> String {
    let text = DecimalBytes(bytes).to_string();
    match text.split_once(' ') {
        Some((number, unit)) if number.contains('.') => {
            let number: f64 = number.parse().unwrap_or_default();
            format!("{number:.1} {unit}")
        }
        _ => text,
    }
}

/// Formats a size in powers of 1024: `1.30 GiB`.
pub fn binary_bytes(bytes: u64) -> String {
    HumanBytes(bytes).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_formatted_in_powers_of_1000_and_of_1024() {
        assert_eq!(decimal_bytes(1_402_345_678), "1.4 GB");
        assert_eq!(decimal_bytes(512), "512 B");
        assert_eq!(binary_bytes(1_395_864_371), "1.30 GiB");
    }
}
