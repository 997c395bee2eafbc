//! Rows of text with their columns under one another.

/// As lines, each column as wide as its widest cell.
pub(crate) fn aligned<const N: usize>(rows: &[[String; N]]) -> String {
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or_default();
    let widths: [usize; N] = std::array::from_fn(width);
    let mut text = String::new();
    for row in rows {
        let cells = row.iter().zip(&widths).map(|(cell, &width)| format!("{cell:<width$}"));
        text += cells.collect::<Vec<_>>().join("  ").trim_end();
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_stand_under_one_another_and_lines_end_where_their_text_does() {
        let row = |cells: [&str; 3]| cells.map(str::to_owned);
        assert_eq!(aligned(&[row(["a", "bc", "d"]), row(["ef", "", ""])]), "a   bc  d\nef\n");
        assert_eq!(aligned::<3>(&[]), "");
    }
}
